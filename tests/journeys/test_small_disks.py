"""Full and unwritable disks: finished work stays good, and the same command goes on."""

import os
import sys
from pathlib import Path

import pytest

from seed.targets.disk_writer import LEAST
from tests.conftest import LoopDisks
from tests.journeys import trees
from tests.journeys.stage import Copy, Stage, below, refused, snapshot

assert sys.platform == "linux"

pytestmark = pytest.mark.needs("loop", "root")

MIB = 1 << 20


def fill(folder: Path, leave: int) -> Path:
    """Write a file that leaves only `leave` bytes of room."""
    status = os.statvfs(folder)
    path = folder / "filler"
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, status.f_bavail * status.f_frsize - leave)
    return path


def test_a_full_disk_is_closed_and_can_be_imported_and_gone_on_with(
    copy_of: Copy, opened: Stage, room: Path, loop_disk: LoopDisks
) -> None:
    stage = copy_of(opened)
    source = trees.long_tree(room / "source", files=6)
    stage.disk = loop_disk(96 * MIB, "ext4")
    filler = fill(stage.disk, 30 * MIB)
    for _ in range(2):
        result = stage.run("seed", "export", source, "--to", stage.disk, "--json", code=4)
        refused(result, "disk-full")
        (disk,) = stage.run("importer", "inspect", stage.disk, "--json").json["disks"]
        assert (disk["closed"], disk["finished"], disk["findings"]) == (True, False, 0)
        assert disk["archives"] > 0
    early = stage.import_()
    assert early["disks"][0]["copied"] == disk["archives"]
    filler.unlink()
    assert stage.export(source)["resumed"]
    assert stage.import_()["disks"][0]["may_be_erased"]
    stage.restore(room / "restored", "--vault", stage.at)
    assert trees.differences(source, below(room / "restored", source)) == []


def test_a_disk_too_small_for_anything_says_so(
    copy_of: Copy, opened: Stage, small_tree: Path, loop_disk: LoopDisks
) -> None:
    stage = copy_of(opened)
    stage.disk = loop_disk(4 * MIB, "ext4")
    result = stage.run("seed", "export", small_tree, "--to", stage.disk, "--json", code=4)
    refused(result, "disk-small")


def test_a_grant_that_no_disk_can_use_is_refused(copy_of: Copy, opened: Stage, small_tree: Path) -> None:
    stage = copy_of(opened)
    words = ("seed", "export", small_tree, "--to", stage.disk, "--use-at-most")
    refused(stage.run(*words, "3MB", "--json", code=2), "usage")
    assert not list(stage.disk.iterdir())


def test_a_disk_that_can_take_nothing_is_none_of_the_set(
    copy_of: Copy, opened: Stage, room: Path, loop_disk: LoopDisks
) -> None:
    """Leave a disk out of the set that has room for a start, but none for the needs of the point."""
    stage = copy_of(opened)
    source = trees.long_tree(room / "source", files=2)
    for number in range(40_000):
        os.close(os.open(source / f"a file with a name {number}", os.O_CREAT, 0o600))
    nearly, stage.disk = loop_disk(16 * MIB, "ext4"), loop_disk(96 * MIB, "ext4")
    fill(nearly, LEAST + 64 * 1024)
    before = {path.name for path in nearly.iterdir()}
    words = ("seed", "export", source, "--to", nearly)
    told = stage.run(*words, code=4)
    assert "has no room for anything, and is none of the set" in told.stderr
    assert {path.name for path in nearly.iterdir()} == before
    assert stage.run("seed", "set", "show", "--json").json["disks"] == []
    refused(stage.run("seed", "backup", "--json", code=2), "export-unfinished")
    done = stage.run(*words, "--to", stage.disk, "--json").json
    assert done["disks"] in ([1], [2])
    assert {path.name for path in nearly.iterdir()} == before
    assert stage.import_()["disks"][0]["may_be_erased"]


def test_a_read_only_disk_is_refused_and_nothing_is_remembered(
    copy_of: Copy, opened: Stage, small_tree: Path, loop_disk: LoopDisks
) -> None:
    from tests.facilities import _run

    stage = copy_of(opened)
    good, stage.disk = stage.disk, loop_disk(16 * MIB, "ext4")
    _run("mount", "-o", "remount,ro", str(stage.disk))
    refused(stage.run("seed", "export", small_tree, "--to", stage.disk, "--json", code=1), "read-only")
    stage.disk = good
    assert not stage.export(small_tree / "docs")["resumed"]


def test_a_full_vault_takes_the_rest_once_there_is_room(
    wide: Stage, stage: Stage, long_tree: Path, loop_disk: LoopDisks
) -> None:
    place = loop_disk(256 * MIB, "ext4")
    stage.vault = place / "vault"
    stage.open()
    stage.export(long_tree)
    filler = fill(place, 80 * MIB)
    words = ("import", stage.disk, "--vault", stage.at, "--json")
    refused(stage.run("importer", *words, code=4), "disk-full")
    filler.unlink()
    (disk,) = stage.import_()["disks"]
    assert disk["may_be_erased"]
    assert disk["already"] > 0


def test_a_full_target_takes_the_rest_once_there_is_room(
    wide: Stage, long_tree: Path, loop_disk: LoopDisks
) -> None:
    target = loop_disk(256 * MIB, "ext4")
    filler = fill(target, 50 * MIB)
    words = ("restore", "latest", "--from", wide.disk, "--target", target, "--json")
    refused(wide.run("seed", *words, code=4), "disk-full")
    filler.unlink()
    done = wide.restore(target, "--from", wide.disk)
    assert done["same"] > 0
    assert trees.differences(long_tree, below(target, long_tree)) == []


def test_a_read_only_target_is_refused(exported: Stage, loop_disk: LoopDisks) -> None:
    from tests.facilities import _run

    target = loop_disk(16 * MIB, "ext4")
    _run("mount", "-o", "remount,ro", str(target))
    for folder in (target, target / "new"):
        words = ("restore", "latest", "--from", exported.disk, "--target", folder, "--json")
        refused(exported.run("seed", *words, code=1), "read-only")


def test_a_home_without_room_is_refused_before_anything_is_written(
    copy_of: Copy, opened: Stage, small_tree: Path, loop_disk: LoopDisks
) -> None:
    stage = copy_of(opened)
    home = loop_disk(16 * MIB, "ext4") / "home"
    os.system(f"cp -a '{stage.home}' '{home}'")
    before = snapshot(stage.disk)
    words = ("export", small_tree, "--to", stage.disk, "--json")
    refused(stage.run("seed", *words, code=1, SEED_HOME=home), "home-room")
    assert snapshot(stage.disk) == before
