"""A parcel of disks: labelled, sent, received and imported, with the status of both sides at each step."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from formats import layout
from formats.ids import MachineId, SetId
from formats.rules.disk_code import code_of
from tests.journeys.stage import Copy, Stage, disks, refused, to

assert sys.platform == "linux"

VAULT = "/srv/vault"


@pytest.fixture
def parcel(copy_of: Copy, opened: Stage, source: Path) -> tuple[Stage, list[Path], str]:
    """Return a machine that has written three disks, their paths, and their set."""
    stage = copy_of(opened)
    paths = disks(stage, 3)
    found = stage.run("seed", "export", source, "--use-at-most", "14MiB", *to(*paths), "--json").json
    return stage, paths, found["set"]


def datacenter(stage: Stage, code: int = 0) -> list[str]:
    (machine,) = stage.run("importer", "status", "--vault", stage.at, "--json", code=code).json
    (found,) = machine["sets"]
    return [disk["state"] for disk in found["disks"]]


def server(stage: Stage) -> list[str]:
    return [disk["state"] for disk in stage.run("seed", "set", "show", "--json").json["disks"]]


def custody(stage: Stage) -> list[list[str]]:
    """Return the events of each disk, after a check that both sides see the same."""
    (machine,) = stage.run("importer", "status", "--vault", stage.at, "--json").json
    seen = [[step["event"] for step in disk["custody"]] for disk in machine["sets"][0]["disks"]]
    here = stage.run("seed", "set", "show", "--json").json["disks"]
    assert [[step["event"] for step in disk["custody"]] for disk in here] == seen
    return seen


def test_a_parcel_of_three_disks_of_which_one_is_lost(
    parcel: tuple[Stage, list[Path], str], source: Path, room: Path
) -> None:
    stage, paths, which = parcel
    stage.run("importer", "machines", "list", "--vault", stage.at)
    stage.run("seed", "verify", *paths)
    assert datacenter(stage) == ["awaited"] * 3

    sent = stage.run(
        "seed", "set", "ship", "--carrier", "DHL", "--tracking", "0034", "--on", "2026-11-20", "--json"
    ).json
    assert (sent["disks"], sent["told"]) == ([1, 2, 3], True)
    assert datacenter(stage) == ["on its way"] * 3
    assert server(stage) == ["awaited by the vault"] * 3
    assert (
        "2026-11-20 00:00:00  sent by DHL, 0034"
        in stage.run("importer", "status", "--vault", stage.at).stdout
    )

    said = stage.run("importer", "receive", f"{which[:8]}/1", "--vault", stage.at).stdout
    assert f"still to come of set {which[:8]}: disk 2, 3 of 3" in said
    machine = MachineId(stage.run("seed", "status", "--json").json["machine"])
    long_code = code_of(machine, SetId(which), 3)
    stage.run("importer", "receive", long_code, "--note", "box is wet", "--vault", stage.at)
    assert datacenter(stage) == [
        "has come, and is to be imported",
        "on its way",
        "has come, and is to be imported",
    ]

    stage.run("importer", "import", paths[0], paths[2], "--vault", stage.at)
    kept = [path.name[:10] for path in (stage.vault / "disks").glob(f"*/{which}-1/*")]
    assert sorted(kept) == ["0000000000", "0000000002"], "the label, and of two inventories the newest"
    assert datacenter(stage) == ["received, may be erased", "on its way", "received, may be erased"]
    assert server(stage) == ["arrived in the vault", "awaited by the vault", "arrived in the vault"]
    papers = ["written", "closed", "verified"]
    came = [["sent", "received", *papers, "imported", "erasable"], ["sent"]]
    assert custody(stage) == [came[0], came[1], came[0]]

    stage.run("seed", "resend", f"{which[:8]}/2")
    assert datacenter(stage) == [
        "received, may be erased",
        "given up by its machine",
        "received, may be erased",
    ]
    assert server(stage) == ["arrived in the vault", "given up", "arrived in the vault"]
    assert stage.run("seed", "set", "ship", "--json").json["disks"] == [], "none is there that was not sent"
    assert "were sent before" in stage.run("seed", "set", "ship").stdout
    again = stage.run("importer", "receive", f"{which[:8]}/1", "--json", "--vault", stage.at).json["disks"]
    assert [disk["new"] for disk in again] == [False]
    late = stage.run("importer", "receive", f"{which[:8]}/2", "--vault", stage.at)
    assert "was given up by its machine" in late.stderr
    stage.run("importer", "import", paths[0], paths[2], "--vault", stage.at)
    assert custody(stage) == [came[0], [*came[1], "received"], came[0]], "nothing is told twice"
    history = stage.run("importer", "status", "--vault", stage.at, "--json").json[0]["sets"][0]["disks"][2][
        "history"
    ]
    assert [line[21:] for line in history] == [
        "sent by DHL, 0034", "label written", "closed", "verified", "received (box is wet)", "imported whole", "may be erased",
    ]  # fmt: skip  # by the time of each: it was said to be sent a week before it was written


def test_what_comes_before_its_export_ends_may_be_erased_once_it_has(
    copy_of: Copy, opened: Stage, source: Path
) -> None:
    stage = copy_of(opened)
    paths = disks(stage, 3)
    words = ("seed", "export", source, "--use-at-most", "14MiB")
    stage.run(*words, *to(paths[0]), code=4)
    notices = stage.run("seed", "set", "ship", "--carrier", "bicycle").stderr
    assert "was not read back" in notices
    stage.run("importer", "machines", "list", "--vault", stage.at)
    (which,) = {p.name[:8] for p in paths[0].glob("offseed/*")}
    refused(
        stage.run("importer", "receive", "fffff/1", "--json", "--vault", stage.at, code=2), "disk-unknown"
    )
    said = stage.run("importer", "receive", f"{which}/1", "--vault", stage.at).stdout
    assert "is known once it was announced" in said
    stage.run("importer", "import", paths[0], "--vault", stage.at)
    assert custody(stage) == [["sent", "received", "written", "closed", "imported"]]
    stage.run(*words, *to(*paths[1:]))
    stage.run("importer", "import", *paths[1:], "--vault", stage.at)
    came = ["written", "closed", "received", "imported", "erasable"]
    assert custody(stage) == [["sent", "received", "written", "closed", "imported", "erasable"], came, came]


def test_without_a_vault_it_is_kept_and_told_later(parcel: tuple[Stage, list[Path], str]) -> None:
    stage, _, which = parcel
    away = stage.folder / "away"
    stage.vault.rename(away)
    sent = stage.run("seed", "set", "ship", f"{which[:6]}/2", "--note", "by hand", "--json").json
    assert sent["told"] is False
    stage.run("seed", "set", "ship", f"{which[:6]}/2", "--note", "by hand", "--on", "2026-11-01", "--json")
    (untold,) = [
        d["history"] for d in stage.run("seed", "set", "show", "--json").json["disks"] if d["number"] == 2
    ]
    assert [line.endswith("not told to the vault yet") for line in untold] == [False, False, True, True]
    away.rename(stage.vault)
    stage.run("seed", "status")
    stage.run("importer", "machines", "list", "--vault", stage.at)
    assert custody(stage) == [[], ["sent", "sent"], []]
    stage.run("seed", "status")
    assert custody(stage) == [[], ["sent", "sent"], []]
    stage.vault.rename(away)
    assert "not told" not in stage.run("seed", "set", "show").stdout
    away.rename(stage.vault)


def test_what_is_said_of_a_disk_that_was_booked_in_is_kept(parcel: tuple[Stage, list[Path], str]) -> None:
    stage, _, which = parcel
    stage.run("importer", "machines", "list", "--vault", stage.at)
    for words, new in (((), True), ((), False), (("--note", "torn"), True), (("--note", "torn"), False)):
        words = ("importer", "receive", f"{which}/1", *words, "--vault", stage.at, "--json")
        assert [disk["new"] for disk in stage.run(*words).json["disks"]] == [new]
    stage.run("seed", "set", "ship", f"{which}/1", "--note", "again")
    stage.run("importer", "receive", f"{which}/1", "--vault", stage.at)
    assert custody(stage)[0] == ["received", "received", "sent", "received"]


def test_a_damaged_disk_is_told_as_such_until_it_is_whole(parcel: tuple[Stage, list[Path], str]) -> None:
    stage, paths, _ = parcel
    stage.run("importer", "machines", "list", "--vault", stage.at)
    archive = max(paths[1].glob("offseed/*/archives/*/*"), key=lambda p: p.stat().st_size)
    good = archive.read_bytes()
    middle = len(good) // 2
    archive.write_bytes(good[:middle] + bytes(4096) + good[middle + 4096 :])
    stage.run("importer", "import", *paths, "--vault", stage.at, code=3)
    assert custody(stage)[1] == ["written", "closed", "received", "imported"]
    archive.write_bytes(good)
    stage.run("importer", "import", *paths, "--vault", stage.at, code=None)
    assert custody(stage)[1] == ["written", "closed", "received", "imported", "imported", "erasable"]


def test_damage_on_one_disk_keeps_no_other(parcel: tuple[Stage, list[Path], str]) -> None:
    stage, paths, _ = parcel
    stage.run("importer", "machines", "list", "--vault", stage.at)
    archive = max(paths[0].glob("offseed/*/archives/*/*"), key=lambda p: p.stat().st_size)
    with archive.open("r+b") as file:
        file.seek(archive.stat().st_size // 2)
        file.write(bytes(64))
    for path, code, word in zip(
        paths, (3, 0, 3), ("KEEP IT", "it may be erased", "it may be erased"), strict=True
    ):
        assert word in stage.run("importer", "import", path, "--vault", stage.at, code=code).stdout
    keep, erase = "received, not all of it has arrived: keep it", "received, may be erased"
    assert datacenter(stage) == [keep, erase, erase]
    stage.run("seed", "repair")
    said = stage.run("importer", "import", paths[0], "--vault", stage.at, code=None)
    assert "it may be erased" in said.stdout
    assert datacenter(stage) == [erase] * 3


def test_a_neighbour_tells_nothing_of_anothers_disk(
    parcel: tuple[Stage, list[Path], str], room: Path
) -> None:
    stage, paths, which = parcel
    stage.run("importer", "machines", "list", "--vault", stage.at)
    machine = stage.run("seed", "status", "--json").json["machine"]
    prefix = layout.custody_prefix(MachineId(machine), SetId(which), 1)
    stage.run("seed", "set", "ship", f"{which}/1")
    step = stage.vault / layout.custody_name(prefix, 1)
    for number in (2, 3):
        (stage.vault / layout.custody_name(prefix, number)).write_bytes(step.read_bytes())
    stranger = stage.vault / layout.custody_name(
        layout.custody_prefix(MachineId(machine), SetId("ab" * 16), 1), 1
    )
    stranger.parent.mkdir()
    stranger.write_bytes(b"rubbish")
    found = stage.run("importer", "status", "--vault", stage.at)
    assert "2 objects without a step of this disk" in found.stderr
    assert "set abababab" not in found.stdout
    stage.run("importer", "import", *paths, "--vault", stage.at)
    disks_told = stage.run("importer", "status", "--vault", stage.at, "--json").json[0]["sets"][0]["disks"]
    told = [(s["event"], s["by"]) for s in disks_told[0]["custody"]]
    assert told[0] == ("sent", "machine")
    assert {by for _, by in told[1:]} == {"authority"}
    assert told[-1][0] == "erasable"
    stage.run("importer", "validate", "--vault", stage.at)


@pytest.mark.needs("root")
def test_where_nothing_can_be_told_the_import_goes_on(parcel: tuple[Stage, list[Path], str]) -> None:
    """Go on with the import even if a file blocks the `custody` folder and cannot be moved away.

    A mount holds the file in its place.
    """
    stage, paths, which = parcel
    stage.run("importer", "machines", "list", "--vault", stage.at)
    place = stage.vault / "custody"
    place.write_text("in the way")
    subprocess.run(["mount", "--bind", place, place], check=True)
    try:
        found = stage.run("importer", "import", *paths, "--vault", stage.at)
        assert "cannot note the step" in found.stderr
        assert found.stdout.count("it may be erased") == 3
        assert "cannot read the history" in stage.run("importer", "status", "--vault", stage.at).stderr
        stage.run("seed", "status")
        shipped = stage.run("seed", "set", "ship", f"{which}/1", "--json")
        assert shipped.json["told"] is False
        assert "cannot be told" in shipped.stderr
    finally:
        subprocess.run(["umount", place], check=True)


def test_an_import_moves_away_what_keeps_it_from_telling(parcel: tuple[Stage, list[Path], str]) -> None:
    stage, paths, _ = parcel
    stage.run("importer", "machines", "list", "--vault", stage.at)
    (stage.vault / "custody").write_text("in the way")
    found = stage.run("importer", "import", *paths, "--vault", stage.at, code=3)
    assert "obstructed: custody" in found.stderr
    assert "cannot note the step" not in found.stderr
    assert len(list((stage.vault / "custody").rglob("0*"))) > 3


def test_labels_are_written_for_each_disk_and_say_where_to(parcel: tuple[Stage, list[Path], str]) -> None:
    stage, _, which = parcel
    out = stage.folder / "to print"
    made = stage.run("seed", "set", "labels", "--out", out, "--contact", "Example Ltd", "--json").json
    assert {p.name for p in out.iterdir()} == set(made["files"]) == {
        *(f"{which[:8]}-disk-{n}.svg" for n in (1, 2, 3)), "labels.html", "slip.html",
    }  # fmt: skip
    assert "Disk 2 of 3" in (out / f"{which[:8]}-disk-2.svg").read_text()
    slip = (out / "slip.html").read_text()
    assert f"{which[:8]}/3" in slip
    assert "Example Ltd" in slip
    stage.run("seed", "set", "labels", "--out", out)
    (file := stage.folder / "file").touch()
    refused(stage.run("seed", "set", "labels", "--out", file, "--json", code=2), "path-not-found")


def test_what_cannot_be_is_refused(parcel: tuple[Stage, list[Path], str]) -> None:
    stage, _, which = parcel
    stage.run("importer", "machines", "list", "--vault", stage.at)

    def receive(*words: object, code: str, exit_code: int = 2) -> None:
        refused(stage.run("importer", "receive", *words, "--vault", stage.at, "--json", code=exit_code), code)

    receive("hello", code="code-unreadable")
    receive(f"{which[:8]}/4", code="disk-unknown")
    receive(f"{which[:8]}/0", code="code-unreadable")
    receive(f"{which[:8]}/1", "--note", "two\nlines", code="usage")
    receive(f"{which[:8]}/1", "--tracking", "0" * 101, code="usage")
    for words in (
        ("ship", "--note", "\udcff"),
        ("labels", "--out", stage.folder / "x", "--contact", "a\x01b"),
    ):
        refused(stage.run("seed", "set", *words, "--json", code=2), "usage")
    refused(stage.run("seed", "set", "ship", f"{which}/{'9' * 5000}", "--json", code=2), "usage")
    receive(f"{which[:8]}/1", "--on", "tomorrow", code="date-unreadable")
    receive(f"{which[:8]}/1", "--on", "2999-01-01", code="date-unreadable")
    receive(code_of(MachineId("ab" * 16), SetId(which), 1), code="machine-unknown", exit_code=1)
    refused(stage.run("seed", "set", "ship", f"{which}/9", "--json", code=2), "disk-unknown")
    refused(stage.run("seed", "set", "ship", "--on", "1969-12-31", "--json", code=2), "date-unreadable")
    assert not (stage.vault / "custody").exists()


def test_of_a_home_that_has_written_nothing_there_is_nothing_to_ship(opened: Stage, copy_of: Copy) -> None:
    stage = copy_of(opened)
    refused(stage.run("seed", "set", "ship", "--json", code=2), "set-unknown")
    found: Any = stage.run("seed", "set", "labels", "--out", stage.folder / "x", "--json", code=2)
    refused(found, "set-unknown")
