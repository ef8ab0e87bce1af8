"""`seed verify` of disks with an unfinished export, and of real disks: warm caches, failures, deaths."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import LoopDisks
from tests.journeys import moments, trees
from tests.journeys.readings import MIB, codes, flip_middle, halve, inventories, remove, verify
from tests.journeys.stage import Copy, Stage, below, in_parallel, prepared, refused, snapshot

assert sys.platform == "linux"


# Sets that are still open


@pytest.fixture(scope="module")
def source(ground: Path) -> Path:
    return trees.long_tree(ground / "shorter tree", files=5)


@pytest.fixture(scope="module")
def begun(ground: Path, opened: Stage, source: Path) -> Stage:
    """Return a stage with a part of the tree, as far as the disk had room: its set is open."""
    stage = opened.copy(ground / "begun")
    words = ("export", source, "--to", stage.disk, "--use-at-most", "25MB", "--json")
    refused(stage.run("seed", *words, code=4), "disk-full")
    assert len(stage.objects("archives")) > 1
    return stage


def made_good(stage: Stage, source: Path, room: Path, disks: int = 1) -> None:
    """Run the same export again, and check that the disk is whole and gives back everything."""
    stage.export(source)
    done = verify(stage)
    assert [d["damaged"] for d in done["disks"]] == [0] * disks
    assert stage.import_()["disks"][0]["may_be_erased"]
    target = room / f"restored {stage.folder.name}"
    stage.restore(target, "--from", stage.disk)
    assert trees.differences(source, below(target, source)) == []
    shutil.rmtree(target)


def test_an_open_set_is_certified_and_gone_on_with(
    copy_of: Copy, begun: Stage, source: Path, room: Path
) -> None:
    stage = copy_of(begun)
    before = inventories(stage)[-1]["generation"]
    (disk,) = verify(stage)["disks"]
    assert (disk["certified"], disk["generation"]) == (True, before + 1)
    assert stage.import_()["disks"][0]["generation"] == before + 1
    made_good(stage, source, room)


@pytest.mark.parametrize(
    "prefixes", [("archives",), ("holdings", "slots", "requests", "inventories")], ids=["archive", "others"]
)
def test_the_same_export_writes_again_what_is_damaged(
    begun: Stage, source: Path, room: Path, prefixes: tuple[str, ...]
) -> None:
    def attempt(damage: Callable[[Path], None]) -> None:
        stage = begun.copy(room / damage.__name__)
        stage.import_()  # the vault has seen the first inventory, so no other may ever have its number
        for prefix in prefixes:
            damage(stage.objects(prefix)[-1])
        result = stage.run("seed", "verify", stage.disk, "--json", code=3)
        assert "run the same export again" in result.stderr or "inventories" in prefixes
        assert "disk-unfinished" in codes(verify(stage, code=3))
        made_good(stage, source, room)

    in_parallel(attempt, (remove, flip_middle, halve))


def test_a_lost_label_costs_the_disk(copy_of: Copy, begun: Stage, source: Path, room: Path) -> None:
    stage = copy_of(begun)
    flip_middle(stage.seeded / "label")
    result = stage.run("seed", "verify", stage.disk, "--json", code=3)
    assert "--without 1" in result.stderr
    stage.disk = room / "another disk"
    stage.disk.mkdir()
    stage.export(source, "--without", 1)
    (disk,) = verify(stage)["disks"]
    assert (disk["number"], disk["certified"]) == (2, True)


def test_an_export_that_was_killed_leaves_an_open_disk(
    copy_of: Copy, opened: Stage, long_tree: Path, room: Path
) -> None:
    stage = copy_of(opened)
    kill = moments.at("placed", signal.SIGKILL, stage.disk)
    moments.killed(stage, kill, "seed", "export", long_tree, "--to", stage.disk)
    result = stage.run("seed", "verify", stage.disk, "--json", code=3)
    (disk,) = result.json["disks"]
    assert codes(result.json) == {"disk-unfinished"}
    assert (disk["certified"], disk["generation"], disk["damaged"]) == (False, 0, 0)
    assert disk["records"] > 0
    assert codes(verify(stage, "--passphrase-file", stage.secret, code=3)) == {"disk-unfinished"}
    flip_middle(stage.objects("archives")[0])
    assert codes(verify(stage, code=3)) == {"disk-unfinished", "object-damaged"}
    made_good(stage, long_tree, room)


# Endings


# Ctrl-C while the first archive is read, however busy the machine is.
INTERRUPTED = """
import signal, threading, seed.verify.readback as readback
read = readback.Readback._read
def interrupted(self, name):
    if name.startswith("archives/"):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        while not self._monitor.stopping():
            pass
    return read(self, name)
readback.Readback._read = interrupted
"""


def test_ctrl_c_ends_it_and_writes_nothing(copy_of: Copy, wide: Stage) -> None:
    stage = copy_of(wide)
    before = snapshot(stage.disk)
    plain, stage.command = stage.command, prepared(INTERRUPTED)
    stopped = stage.run("seed", "verify", stage.disk, "--json", code=130)
    assert json.loads(stopped.stdout)["error"]["code"] == "interrupted"
    stage.command = plain
    assert snapshot(stage.disk) == before
    assert verify(stage)["disks"][0]["generation"] == 2


def test_several_disks_are_verified_at_once(
    copy_of: Copy, opened: Stage, long_tree: Path, room: Path
) -> None:
    stage = copy_of(opened)
    other = room / "second disk"
    other.mkdir()
    stage.export(long_tree, "--to", other)
    done = stage.run("seed", "verify", stage.disk, other, "--json").json
    assert sorted(d["number"] for d in done["disks"]) == [1, 2]
    assert all(d["certified"] and d["generation"] == 2 for d in done["disks"])
    both = ("import", stage.disk, other, "--vault", stage.at, "--json")
    assert all(d["may_be_erased"] for d in stage.run("importer", *both).json["disks"])
    shutil.rmtree(other / "offseed")
    result = stage.run("seed", "verify", stage.disk, other, "--json", code=1)
    refused(result, "disk-empty")


# Real disks


@pytest.mark.needs("loop", "root")
def test_damage_on_the_medium_is_found_behind_a_warm_cache(
    copy_of: Copy, opened: Stage, small_tree: Path, loop_disk: LoopDisks
) -> None:
    from tests.store.test_uncached import damage_medium

    stage = copy_of(opened)
    stage.disk = loop_disk(64 * MIB, "ext4")
    stage.export(small_tree)
    (disk,) = verify(stage)["disks"]
    assert (disk["cached"], disk["damaged"]) == (False, 0)
    assert inventories(stage)[-1]["verified"]["cached"] is False
    path = stage.objects("archives")[0]
    whole = path.read_bytes()
    damage_medium(path, len(whole) // 2)
    assert path.read_bytes() == whole
    done = verify(stage, code=3)
    assert codes(done) == {"object-damaged"}
    assert inventories(stage)[-1]["verified"]["damaged"] == 1


@pytest.mark.needs("exfat")
def test_behind_fuse_the_certificate_says_cached(
    copy_of: Copy, opened: Stage, small_tree: Path, loop_disk: LoopDisks
) -> None:
    stage = copy_of(opened)
    stage.disk = loop_disk(64 * MIB, "exfat")
    stage.export(small_tree)
    said = stage.run("seed", "verify", stage.disk)
    assert "cached: the system would not let the page cache be passed" in said.stdout
    assert inventories(stage)[-1]["verified"]["cached"] is True


@pytest.mark.needs("loop", "root")
def test_a_read_only_disk_is_verified_without_a_certificate(
    copy_of: Copy, opened: Stage, small_tree: Path, loop_disk: LoopDisks
) -> None:
    stage = copy_of(opened)
    stage.disk = loop_disk(64 * MIB, "ext4")
    stage.export(small_tree)
    remount(stage, "ro")
    result = stage.run("seed", "verify", stage.disk, "--json")
    (disk,) = result.json["disks"]
    assert (disk["certified"], disk["generation"], disk["damaged"], disk["cached"]) == (False, 1, 0, False)
    assert "cannot sign the result onto" in result.stderr
    assert "the medium cannot be written" in result.stderr
    remount(stage, "rw")
    assert verify(stage)["disks"][0]["generation"] == 2


@pytest.mark.needs("loop", "root")
def test_a_disk_that_no_longer_answers_is_not_called_damaged(
    copy_of: Copy, begun: Stage, loop_disk: LoopDisks
) -> None:
    from tests.store.test_disks import cut_power

    stage = copy_of(begun)
    good, stage.disk = stage.disk, loop_disk(128 * MIB, "ext4")
    shutil.copytree(good / "offseed", stage.disk / "offseed")
    assert verify(stage)["disks"][0]["certified"]
    before = snapshot(stage.home)
    cut_power(stage.disk)
    result = stage.run("seed", "verify", stage.disk, "--json", code=1)
    assert result.json["error"]["code"] in ("disk-missing", "io-error")
    assert snapshot(stage.home) == before


def remount(stage: Stage, how: str) -> None:
    assert os.system(f"mount -o remount,{how} '{stage.disk}'") == 0
