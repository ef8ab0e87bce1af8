"""Passphrases that are added, changed and removed: which passphrase opens which data, and until when."""

import shutil
import sys
from pathlib import Path

import pytest

from formats.ids import MachineId, fingerprint
from tests.journeys import trees
from tests.journeys.stage import PASSPHRASE, Copy, Result, Stage, backup, below, prepared, refused, snapshot

assert sys.platform == "linux"

NEW = "seven new words nobody says together"


@pytest.fixture
def source(small_tree: Path) -> Path:
    return small_tree


@pytest.fixture
def lived(copy_of: Copy, opened: Stage, source: Path) -> Stage:
    """Return a machine with a point in the vault, and the same point on a disk."""
    stage = copy_of(opened)
    stage.export(source)
    stage.import_()
    return stage


def secret(stage: Stage, text: str) -> Path:
    path = stage.folder / f"{len(text)} characters"
    path.write_text(text + "\n")
    return path


def key(stage: Stage, *words: object, code: int = 0) -> Result:
    return stage.run("seed", "key", *words, "--json", code=code)


def change(stage: Stage, *words: object, code: int = 0) -> Result:
    given = ("--passphrase-file", stage.secret, "--new-passphrase-file", secret(stage, NEW))
    return key(stage, "change", *given, *words, code=code)


def opens(stage: Stage, text: str, *where: object) -> bool:
    """Return whether a passphrase opens the data at `where`, or the vault by default, without a home."""
    found = stage.run(
        "seed", "points", *(where or ("--vault", stage.at)), "--passphrase-file", secret(stage, text), "--json",
        code=None, SEED_HOME=stage.folder / "none",
    )  # fmt: skip
    if found.code == 1:
        refused(found, "passphrase-wrong")
    return found.code in (0, 3)


def drop_keys(stage: Stage, code: int = 0) -> Result:
    (machine,) = stage.run("importer", "machines", "list", "--vault", stage.at, "--json").json
    wanted = fingerprint(MachineId(machine["machine"]))
    return stage.run("importer", "machines", "drop-keys", wanted, "--vault", stage.at, "--json", code=code)


def revisions(stage: Stage) -> list[int]:
    return sorted(int(p.name[:10]) for p in (stage.vault / "slots").rglob("*-*"))


def test_a_changed_passphrase_opens_and_the_old_one_until_it_is_removed(
    lived: Stage, source: Path, room: Path
) -> None:
    stage = lived
    said = stage.run(
        "seed",
        "key",
        "change",
        "--passphrase-file",
        stage.secret,
        "--new-passphrase-file",
        secret(stage, NEW),
    ).stdout
    assert "still opens disks that were written before" in said
    assert "importer machines drop-keys" in said
    assert opens(stage, NEW)
    assert opens(stage, PASSPHRASE), "the vault has the earlier revision"
    assert revisions(stage) == [1, 2]
    assert len(drop_keys(stage).json["dropped"]) == 1
    assert revisions(stage) == [2]
    assert opens(stage, NEW)
    assert not opens(stage, PASSPHRASE)
    disk = ("--from", stage.disk)
    assert opens(stage, PASSPHRASE, *disk), "as it said"
    assert not opens(stage, NEW, *disk)
    words = ("--vault", stage.at, "--passphrase-file", secret(stage, NEW), "--target", room / "back")
    stage.run("seed", "restore", "latest", *words, SEED_HOME=stage.folder / "none")
    assert trees.differences(source, below(room / "back", source)) == []


def test_an_old_disk_brings_no_removed_slots_in_again(lived: Stage) -> None:
    stage = lived
    change(stage)
    drop_keys(stage)
    for receipt in (stage.vault / "jobs").rglob("*-*"):
        receipt.unlink()  # as if the disk had never come
    stage.import_()
    assert revisions(stage) == [2]
    assert not opens(stage, PASSPHRASE)


def test_removing_keys_again_changes_nothing(lived: Stage) -> None:
    stage = lived
    assert drop_keys(stage).json["dropped"] == []
    change(stage)
    drop_keys(stage)
    before = snapshot(stage.vault)
    assert drop_keys(stage).json["dropped"] == []
    assert snapshot(stage.vault) == before


def test_a_further_passphrase_opens_beside_the_first(lived: Stage) -> None:
    stage = lived
    made = key(stage, "add", "--new-passphrase-file", secret(stage, NEW)).json
    assert made["in_vault"]
    assert opens(stage, NEW)
    assert opens(stage, PASSPHRASE)
    shown = key(stage, "show", "--passphrase-file", secret(stage, NEW)).json
    assert [slot["id"] for slot in shown["slots"]][1] == shown["opened"] == made["slot"]
    assert drop_keys(stage).json["dropped"] == [], "nobody asked for it"
    assert revisions(stage) == [1, 2]


def test_a_passphrase_is_taken_away_but_never_the_last(lived: Stage) -> None:
    stage = lived
    key(stage, "add", "--new-passphrase-file", secret(stage, NEW))
    first, second = (slot["id"] for slot in key(stage, "show").json["slots"])
    refused(key(stage, "remove", "00000000", code=1), "slot-missing")
    key(stage, "remove", first)
    drop_keys(stage)
    assert revisions(stage) == [3]
    assert opens(stage, NEW)
    assert not opens(stage, PASSPHRASE)
    refused(key(stage, "remove", second, code=1), "slot-last")


def test_the_key_takes_sixteen_passphrases(lived: Stage) -> None:
    stage = lived
    stage.command = prepared(
        "from formats.keyed import slots as s; s.make_slot.__kwdefaults__.update(salt=None); "
        "s.make_slot.__defaults__ = (s.KdfCost(memory_kib=19 << 10, time=1, lanes=1),)"
    )
    for number in range(2, 17):
        key(stage, "add", "--new-passphrase-file", secret(stage, NEW + f" {number:02}" + "y" * number))
    refused(key(stage, "add", "--new-passphrase-file", secret(stage, NEW), code=2), "slots-full")
    assert len(key(stage, "show").json["slots"]) == 16


def test_what_is_typed_wrong_changes_nothing(lived: Stage, room: Path) -> None:
    stage = lived
    before = snapshot(stage.home), snapshot(stage.vault)
    wrong = ("--passphrase-file", secret(stage, "not that one at all, no"))
    new = ("--new-passphrase-file", secret(stage, NEW))
    refused(key(stage, "change", *wrong, *new, code=1), "passphrase-wrong")
    refused(key(stage, "change", *wrong, "--generate-passphrase", room / "p", code=1), "passphrase-wrong")
    weak = ("--new-passphrase-file", secret(stage, "aaaaaaaaaaaaaaaaaaaaaaaa"))
    refused(key(stage, "add", *weak, code=2), "passphrase-weak")
    refused(key(stage, "add", *new, "--generate-passphrase", room / "p", code=2), "usage")
    refused(key(stage, "add", code=2), "passphrase-missing")
    assert not (room / "p").exists()
    lock = stage.home / "lock"
    lock.unlink(missing_ok=True)
    assert (snapshot(stage.home), snapshot(stage.vault)) == (
        {n: d for n, d in before[0].items() if n != "lock"},
        before[1],
    )


def test_a_generated_passphrase_opens(lived: Stage, room: Path) -> None:
    stage = lived
    key(stage, "change", "--passphrase-file", stage.secret, "--generate-passphrase", room / "made")
    assert (room / "made").stat().st_mode & 0o777 == 0o600
    assert opens(stage, (room / "made").read_text().splitlines()[0])


def test_at_a_terminal_all_three_are_asked_for(lived: Stage) -> None:
    stage = lived
    old, new = PASSPHRASE.encode() + b"\n", NEW.encode() + b"\n"
    shown = stage.type("seed", "key", "change", answers=[b"not that one at all, no\n", old, new, new]).stdout
    assert shown.count("opens none of the key slots") == 1
    assert NEW not in shown
    assert PASSPHRASE not in shown
    assert opens(stage, NEW)


def test_the_vault_hears_of_it_by_the_next_backup(lived: Stage) -> None:
    stage = lived
    stage.vault.rename(stage.folder / "away")
    assert not change(stage).json["in_vault"]
    (stage.folder / "away").rename(stage.vault)
    assert not opens(stage, NEW)
    backup(stage)
    assert opens(stage, NEW)


def test_the_next_disk_carries_it(lived: Stage, source: Path) -> None:
    stage = lived
    change(stage)
    shutil.rmtree(stage.disk / "offseed")
    stage.export(source, "--again")
    disk = ("--from", stage.disk)
    assert opens(stage, NEW, *disk)
    assert not opens(stage, PASSPHRASE, *disk)


def test_who_takes_the_place_of_a_machine_keeps_its_passphrases_and_may_remove_all_before(
    lived: Stage, source: Path
) -> None:
    stage = lived
    change(stage)
    shutil.rmtree(stage.home)
    stage.issue()
    stage.run(
        "seed", "register", "--replace", "--credential", stage.credential, "--name", "web1", "--vault", stage.at,
        "--passphrase-file", stage.secret,
    )  # fmt: skip
    machines = stage.run("importer", "machines", "list", "--vault", stage.at, "--json").json
    shown = key(stage, "show", "--passphrase-file", stage.secret).json
    assert shown["opened"] is None, "by the old passphrase it took the place, and has the new slots alone"
    assert key(stage, "show", "--passphrase-file", secret(stage, NEW)).json["opened"]
    assert opens(stage, PASSPHRASE)
    last = "a third passphrase, eleven crows"
    new = ("--passphrase-file", secret(stage, NEW), "--new-passphrase-file", secret(stage, last))
    key(stage, "change", *new)
    (active,) = (m for m in machines if m["status"] == "active")
    wanted = fingerprint(MachineId(active["machine"]))
    stage.run("importer", "machines", "drop-keys", wanted, "--vault", stage.at)
    assert opens(stage, last)
    assert not opens(stage, NEW)
    assert not opens(stage, PASSPHRASE)
    stage.import_()  # the disk of the machine before
    assert not opens(stage, PASSPHRASE)


def test_what_another_machine_signs_is_no_request(lived: Stage) -> None:
    """Ignore slots that do not verify, and refuse a machine that is no member."""
    stage = lived
    change(stage)
    for path in stage.vault.glob("**/slots/*/0000000002-*"):
        data = path.read_bytes()
        at = data.index(b'"sig":"') + 8
        path.write_bytes(data[:at] + (b"A" if data[at : at + 1] != b"A" else b"B") + data[at + 1 :])
    assert drop_keys(stage, code=3).json["dropped"] == []
    assert opens(stage, PASSPHRASE)
    words = ("importer", "machines", "drop-keys", "-".join(["0000"] * 8), "--vault", stage.at, "--json")
    refused(stage.run(*words, code=1), "machine-unknown")


def test_a_byte_order_mark_is_no_part_of_a_passphrase(lived: Stage) -> None:
    """Ignore a byte order mark before a passphrase in a file, at the registration too."""
    marked = lived.folder / "marked"
    for text in (f"\ufeff{PASSPHRASE}\r\n", f"\ufeff{PASSPHRASE}"):
        marked.write_text(text, encoding="utf-8", newline="")
        given = ("--vault", lived.at, "--passphrase-file", marked)
        lived.run("seed", "points", *given, SEED_HOME=lived.folder / "none")
    marked.write_text(f"\ufeff{NEW}\r\n", encoding="utf-8", newline="")
    key(lived, "change", "--passphrase-file", lived.secret, "--new-passphrase-file", marked)
    assert opens(lived, NEW)
