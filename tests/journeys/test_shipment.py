"""Reverse shipment: people without keys write a point from the vault onto disks, and a user restores it."""

import json
import signal
import sys
from pathlib import Path

import pytest

from formats.documents import envelope
from formats.documents.disk import Inventory, Label, SetDocument
from formats.documents.vault import Descriptor
from formats.store.local import LocalStore
from tests.conftest import LoopDisks
from tests.journeys import moments, trees
from tests.journeys.stage import (
    Copy,
    Stage,
    backup,
    below,
    disks,
    ended,
    flip,
    kept,
    refused,
    snapshot,
    to,
)

assert sys.platform == "linux"

MIB = 1 << 20


@pytest.fixture
def sent(copy_of: Copy, lived: Stage) -> Stage:
    """Return a machine with two points in the vault, which has accepted the machine."""
    lived.run("importer", "points", "--vault", lived.at)
    return lived


def ship(stage: Stage, *words: object, code: int = 0) -> dict[str, object]:
    found: dict[str, object] = stage.run(
        "importer", "export", *words, "--vault", stage.at, "--json", code=code
    ).json
    return found


def inspected(stage: Stage, *paths: Path, code: int = 0) -> list[dict[str, object]]:
    found: list[dict[str, object]] = stage.run(
        "importer", "inspect", *paths, "--read", "--json", code=code
    ).json["disks"]
    return found


def restored(
    stage: Stage, target: Path, source: Path, *words: object, code: int = 0, point: str = "latest"
) -> Path:
    """Restore with nothing but the disks and the passphrase."""
    stage.run(
        "seed", "restore", point, "--target", target, *words, "--passphrase-file", stage.secret,
        code=code, SEED_HOME=stage.folder / "no home",
    )  # fmt: skip
    return below(target, source)


def of(*paths: Path) -> list[object]:
    return [word for path in paths for word in ("--from", path)]


@pytest.mark.needs("loop", "root")
def test_a_point_on_two_disks_is_restored_without_the_vault(
    copy_of: Copy, opened: Stage, room: Path, loop_disk: LoopDisks
) -> None:
    stage = copy_of(opened)
    source = trees.long_tree(room / "source", files=6)
    backup(stage, source)
    first, second = loop_disk(48 * MIB, "ext4"), loop_disk(96 * MIB, "ext4")
    begun = ship(stage, "latest", "--to", first, code=4)
    assert (begun["finished"], begun["disks"][0]["full"]) == (False, True)  # type: ignore[index]
    assert begun["left"] > 0  # type: ignore[operator]
    (open_disk,) = inspected(stage, first)
    assert (open_disk["closed"], open_disk["finished"], open_disk["outbound"]) == (True, False, True)
    done = ship(stage, "latest", "--to", second)
    assert (done["finished"], done["left"], done["set"]) == (True, 0, begun["set"])
    written = begun["disks"][0]["archives"] + done["disks"][0]["archives"]  # type: ignore[index]
    catalogs = written - done["archives"]
    assert catalogs == 1, "its catalog lies on both, and nothing else does"
    for disk in inspected(stage, first, second):
        assert (disk["findings"], disk["read"]["damaged"], disk["machine_name"]) == (0, 0, "web1")  # type: ignore[index]
    job, second_run = stage.run("importer", "jobs", "--vault", stage.at, "--json").json
    assert (job["kind"], job["machines"], job["finished"] is None) == ("export", ["web1"], False)
    assert (job["state"], second_run["state"]) == ("unfinished", "done")
    stage.vault.rename(stage.folder / "gone")
    one = stage.run(
        "seed", "points", *of(second), "--passphrase-file", stage.secret, "--json", SEED_HOME=room / "none"
    ).json
    assert [d["number"] for d in one[0]["awaited_disks"]] == [1], "it says which disk to attach"
    assert trees.differences(source, restored(stage, room / "back", source, *of(second, first))) == []


def test_all_that_is_new_on_a_disk_is_signed_by_the_authority(sent: Stage) -> None:
    ship(sent, "latest", "--to", sent.disk)
    with LocalStore.open(sent.at, read_only=True) as vault:
        ((name, _),) = vault.list("descriptor")
        key = bytes.fromhex(envelope.read(vault.get(name), name).peek(Descriptor).authority)
    (label,) = [envelope.read((sent.seeded / "label").read_bytes(), "label").verify(Label, key)]
    assert (label.authority, label.machine_name) == (key.hex(), "web1")
    for path in sent.objects("inventories"):
        envelope.read(path.read_bytes(), path.name).verify(Inventory, key)
    (document,) = sent.objects("sets")
    told = envelope.read(document.read_bytes(), "set").verify(SetDocument, key)
    assert (told.set, told.point) == (label.set, label.point)
    assert len(sent.objects("slots")) == 1, "so that the passphrase opens it"


def test_what_is_newer_than_the_disks_comes_from_the_vault(sent: Stage, source: Path, room: Path) -> None:
    ship(sent, "latest", "--to", sent.disk)
    shipped = kept(source, room, "shipped")
    (source / "newer").write_bytes(trees.incompressible(3 * MIB, 9))
    backup(sent)
    assert trees.differences(shipped, restored(sent, room / "old", source, *of(sent.disk))) == []
    both = (*of(sent.disk), "--vault", sent.at)
    for archive in sent.objects("archives"):  # the vault is not asked for archives that the disk has
        (sent.vault / archive.relative_to(sent.seeded)).unlink()
    assert trees.differences(source, restored(sent, room / "new", source, *both)) == []


def test_an_older_point_is_named_by_its_id(sent: Stage, source: Path) -> None:
    points = sent.run("importer", "points", "--vault", sent.at, "--json").json
    done = ship(sent, points[0]["point"][:10], "--to", sent.disk)
    assert done["point"] == points[0]["point"]
    refused(
        sent.run("importer", "export", "ffffffff", "--to", sent.disk, "--vault", sent.at, "--json", code=2),
        "point-unknown",
    )
    refused(
        sent.run("importer", "export", "latest", "--machine", "no", "--to", sent.disk, "--vault", sent.at, "--json", code=2),
        "machine-unknown",
    )  # fmt: skip


def test_killed_again_and_again_it_completes(copy_of: Copy, opened: Stage, room: Path) -> None:
    stage = copy_of(opened)
    source = trees.long_tree(room / "source", files=8)
    backup(stage, source)
    paths = disks(stage, 2)
    words = ("export", "latest", *to(*paths), "--vault", stage.at)

    for _ in range(3):
        moments.killed(stage, moments.at("placed", signal.SIGKILL, *paths), "importer", *words)
    done = json.loads(stage.run("importer", *words, "--json").stdout)
    assert done["finished"]
    assert stage.run("importer", *words, "--json").json["disks"] == [], "a further run has nothing to do"
    assert all(disk["read"]["damaged"] == 0 for disk in inspected(stage, *paths))  # type: ignore[index]
    stage.vault.rename(stage.folder / "gone")
    assert trees.differences(source, restored(stage, room / "back", source, *of(*paths))) == []


def test_ctrl_c_ends_it_cleanly_and_it_goes_on(copy_of: Copy, opened: Stage, room: Path) -> None:
    stage = copy_of(opened)
    source = trees.long_tree(room / "source", files=8)
    backup(stage, source)
    words = ("export", "latest", "--to", stage.disk, "--vault", stage.at)
    with moments.using(stage, moments.at("placed", signal.SIGINT, stage.disk)):
        stage.run("importer", *words, code=130)
    (disk,) = inspected(stage, stage.disk)
    assert (disk["closed"], disk["finished"]) == (True, False)
    assert stage.run("importer", *words, "--json").json["finished"]


def test_what_stands_in_for_damaged_archives_is_shipped(sent: Stage, source: Path, room: Path) -> None:
    state = kept(source, room, "state")
    for archive in (sent.vault / "archives").glob("*/*"):
        flip(archive, archive.stat().st_size // 2)
    sent.run("importer", "validate", "--vault", sent.at, code=3)
    sent.run("seed", "repair")
    done = ship(sent, "latest", "--to", sent.disk)
    assert (done["finished"], done["lost"], done["findings"]) == (True, 0, [])
    sent.vault.rename(sent.folder / "gone")
    assert trees.differences(state, restored(sent, room / "back", source, *of(sent.disk))) == []


def test_what_the_vault_holds_in_name_only_is_told_and_comes_once_it_was_mended(
    sent: Stage, source: Path, room: Path
) -> None:
    state = kept(source, room, "state")
    archive = max((sent.vault / "archives").glob("*/*"), key=lambda p: p.stat().st_size)
    flip(archive, archive.stat().st_size // 2)
    done = ship(sent, "latest", "--to", sent.disk, code=3)
    assert (done["finished"], done["lost"]) == (False, 1)
    assert [f["code"] for f in done["findings"]] == ["object-damaged"]  # type: ignore[attr-defined]
    (disk,) = inspected(sent, sent.disk)
    assert (disk["read"]["damaged"], disk["finished"]) == (0, False)  # type: ignore[index]
    restored(sent, room / "in part", source, *of(sent.disk), code=3)
    sent.run("importer", "validate", "--vault", sent.at, code=3)
    sent.run("seed", "repair")
    again = ship(sent, "latest", "--to", sent.disk)
    assert (again["finished"], again["set"], again["lost"]) == (True, done["set"], 0)
    sent.vault.rename(sent.folder / "gone")
    assert trees.differences(state, restored(sent, room / "back", source, *of(sent.disk))) == []


def test_what_only_a_disk_has_any_more_is_kept_there(sent: Stage, source: Path, room: Path) -> None:
    """Keep the disk's archives that the vault has lost since, when the same command runs again."""
    first, second = disks(sent, 2)
    ship(sent, "latest", "--to", first)
    (folder,) = (first / "offseed").iterdir()
    (shipment,) = (path for path in (sent.vault / "shipments").iterdir() if "-" not in path.name)
    shipment.rename(sent.folder / "never finished")
    before = {path.name for path in folder.glob("archives/*/*")}
    for archive in (sent.vault / "archives").glob("*/*"):
        archive.unlink()
    ship(sent, "latest", *to(first, second), code=3)
    assert {path.name for path in folder.glob("archives/*/*")} == before
    assert trees.differences(source, restored(sent, room / "back", source, *of(first))) == []


def test_damage_on_the_way_is_seen_without_keys_and_made_good_by_the_vault(
    sent: Stage, source: Path, room: Path
) -> None:
    ship(sent, "latest", "--to", sent.disk)
    archive = sent.objects("archives")[0]
    flip(archive, archive.stat().st_size // 2)
    (disk,) = inspected(sent, sent.disk, code=3)
    assert disk["read"]["damaged"] == 1  # type: ignore[index]
    assert sent.run("seed", "verify", sent.disk, "--json", code=None).code != 0
    assert (
        trees.differences(source, restored(sent, room / "back", source, *of(sent.disk), "--vault", sent.at))
        == []
    )


def test_such_a_disk_is_imported_into_no_vault_and_verified_by_its_machine(sent: Stage) -> None:
    ship(sent, "latest", "--to", sent.disk)
    before = snapshot(sent.vault)
    refused(
        sent.run("importer", "import", sent.disk, "--vault", sent.at, "--json", code=1),
        "disk-outbound",
    )
    assert snapshot(sent.vault) == before
    on_disk = snapshot(sent.disk)
    sent.run("seed", "verify", sent.disk)
    assert snapshot(sent.disk) == on_disk, "only a vault signs it"


def never_finished(stage: Stage, shipment: object) -> None:
    (stage.vault / "shipments" / str(shipment)).rename(stage.folder / f"never finished {shipment}")


def test_a_lost_disk_is_gone_on_without_and_stays_lost(sent: Stage) -> None:
    one, two, three = disks(sent, 3)
    first = ship(sent, "latest", "--to", one)
    never_finished(sent, first["set"])
    result = sent.run(
        "importer", "export", "latest", "--to", two, "--without", "7", "--vault", sent.at, "--json", code=2
    )
    refused(result, "usage")
    for archive in (sent.vault / "archives").glob("*/*"):  # so that the run does not finish
        archive.rename(archive.with_name(f"{archive.name}.away"))
    ship(sent, "latest", "--to", two, "--without", "1", code=3)
    for archive in (sent.vault / "archives").glob("*/*.away"):
        archive.rename(archive.with_suffix(""))
    last = ship(sent, "latest", "--to", three)
    assert last["set"] == first["set"]
    assert last["disks"][0]["archives"] == first["disks"][0]["archives"], "all that disk 1 held, again"  # type: ignore[index]
    told = envelope.read(next((three / "offseed").glob("*/sets/*/*")).read_bytes(), "set").peek(SetDocument)
    assert 1 not in [disk.number for disk in told.disks]


def test_a_finished_shipment_says_so_and_another_is_begun_by_again(sent: Stage) -> None:
    one, two = disks(sent, 2)
    first = ship(sent, "latest", "--to", one)
    (document,) = one.glob("offseed/*/sets/*/*")
    document.unlink()  # the disk was absent when the shipment was finished
    same = ship(sent, "latest", *to(one, two))
    assert (same["set"], same["disks"], list(two.iterdir())) == (first["set"], [], [])
    assert document.exists()
    assert ship(sent, "latest", "--to", two, "--again")["set"] != first["set"]


def test_no_link_on_a_disk_leads_out_of_it(sent: Stage) -> None:
    """Follow no link on a disk.

    Each holder of a disk knows the number of its shipment, and may prepare such a folder.
    """
    one, two = disks(sent, 2)
    done = ship(sent, "latest", "--to", one)
    never_finished(sent, done["set"])
    before = snapshot(sent.vault)
    words = ("export", "latest", "--to", two, "--vault", sent.at, "--json")
    (two / "offseed").mkdir()
    (two / "offseed" / f"{done['set']}-1").symlink_to(sent.vault)
    refused(sent.run("importer", *words, code=1), "disk-foreign")
    assert snapshot(sent.vault) == before, "what lies in the vault is not swept away as if it were a disk's"
    (two / "offseed" / f"{done['set']}-1").unlink()
    (two / "offseed").rmdir()
    (two / "offseed").symlink_to(sent.folder / "elsewhere", target_is_directory=True)
    (sent.folder / "elsewhere").mkdir()
    refused(sent.run("importer", *words, code=1), "disk-foreign")
    assert list((sent.folder / "elsewhere").iterdir()) == []
    (two / "offseed").unlink()
    (two / "README-offseed.txt").symlink_to(sent.folder / "made through a link")
    ship(sent, "latest", "--to", two)
    assert not (sent.folder / "made through a link").exists()


def test_one_export_of_a_home_works_at_a_time(copy_of: Copy, opened: Stage, room: Path) -> None:
    stage = copy_of(opened)
    backup(stage, trees.long_tree(room / "source", files=8))
    one, two = disks(stage, 2)
    with moments.using(stage, moments.at("placed", signal.SIGSTOP, one, prefix="label")):
        running = stage.start("importer", "export", "latest", "--to", one, "--vault", stage.at)
    with moments.stopped(running):
        words = ("export", "latest", "--to", two, "--vault", stage.at, "--json")
        refused(stage.run("importer", *words, code=1), "home-busy")
    assert ended(running).code == 0


def test_a_disk_that_only_says_so_is_no_disk_of_the_shipment(sent: Stage) -> None:
    one, two = disks(sent, 2)
    done = ship(sent, "latest", "--to", one)
    never_finished(sent, done["set"])
    (folder,) = (one / "offseed").iterdir()
    (two / "offseed" / folder.name).mkdir(parents=True)
    (two / "offseed" / folder.name / "label").write_bytes(b"another")
    for number in (1, 7):
        folder = two / "offseed" / f"{done['set']}-{number}"
        if number == 7:
            (two / "offseed" / f"{done['set']}-1").rename(folder)
        result = sent.run("importer", "export", "latest", "--to", two, "--vault", sent.at, "--json", code=1)
        refused(result, "disk-foreign")
        assert (folder / "label").read_bytes() == b"another"


def test_wrong_paths_are_refused_before_anything_is_written(sent: Stage, room: Path) -> None:
    before = snapshot(sent.vault)
    (room / "file").write_bytes(b"")
    words = ("export", "latest", "--vault", sent.at, "--json")
    refused(sent.run("importer", *words, "--to", sent.vault / "archives", code=2), "target-inside-source")
    refused(sent.run("importer", *words, *to(sent.disk, sent.disk), code=2), "usage")
    for path in (room / "nowhere", room / "file"):
        result = sent.run("importer", "export", "latest", "--to", path, "--vault", sent.at, "--json", code=1)
        refused(result, "disk-missing")
    assert snapshot(sent.vault) == before
    assert not (room / "nowhere").exists()


def test_no_number_that_anybody_takes_stands_in_the_way_of_a_shipment(sent: Stage, source: Path) -> None:
    """Finish a shipment even if junk takes the places of a thousand labels and the highest inventory."""
    one, two = disks(sent, 2)
    shipment = ship(sent, "latest", "--to", one)["set"]
    never_finished(sent, shipment)
    for number in range(2, 1001):
        junk(sent, f"shipments/{shipment}-{number}/0000000000-{'0' * 64}")
    junk(sent, f"shipments/{shipment}-1/9999999999-{'0' * 32}")
    found = ship(sent, "latest", "--to", two, "--without", "1", code=3)
    assert (found["finished"], found["disks"][0]["number"]) == (True, 2)  # type: ignore[index]


def junk(stage: Stage, name: str) -> None:
    path = stage.vault / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"junk")
