"""One disk set over disks with every common file system: all of them return an odd tree unchanged.

Every disk is unmounted before its import and then mounted read-only, like a courier's disk.
"""

import shutil
import sys
from pathlib import Path

import pytest

from tests.journeys import devices, trees
from tests.journeys.stage import Stage, below

assert sys.platform == "linux"

MIB = devices.MIB

SIZE = 320 * MIB

KINDS = [
    pytest.param(("ext4", "exfat", "xfs"), marks=pytest.mark.needs("root", "loop", "exfat", "xfs")),
    pytest.param(("vfat", "ntfs"), marks=pytest.mark.needs("root", "vfat", "ntfs")),
]


@pytest.mark.needs("rsync")
@pytest.mark.parametrize("kinds", KINDS, ids="-".join)
def test_a_set_over_disks_of_different_kinds_comes_back_equal(
    rack: devices.Rack, opened: Stage, odd_tree: Path, long_tree: Path, room: Path, kinds: tuple[str, ...]
) -> None:
    folder = rack.memory / "stage"
    folder.mkdir()
    fleet = devices.Fleet(opened.copy(folder), long_tree, [rack.disk(SIZE, kind) for kind in kinds])
    fleet.export(odd_tree)
    assert all(devices.archives(disk) for disk in fleet.disks)
    for disk in fleet.disks:
        disk.unmount()
        disk.mount("ro")
    fleet.deliver()
    for place in (["--vault", fleet.stage.at], fleet.named("--from")):
        restored = room / "restored"
        fleet.stage.restore(restored, *place)
        for source in (odd_tree, long_tree):
            assert trees.differences(source, below(restored, source)) == []
            assert trees.rsync(source, below(restored, source)) == ""
        shutil.rmtree(restored)
