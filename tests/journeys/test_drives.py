"""`seed disks`: the disks at this machine, our folders on them, and reasons against their use."""

from pathlib import Path
from typing import Any

import pytest

from tests.commands import installed
from tests.conftest import LoopDisks
from tests.facilities import LoopDisk
from tests.journeys.stage import Copy, Stage

MIB = 1 << 20
pytestmark = pytest.mark.needs("loop")


def at(stage: Stage, disk: Path) -> Any:
    found = [row for row in stage.run("seed", "disks", "--json").json if row["mounted"] == str(disk)]
    assert len(found) == 1
    return found[0]


def test_a_seed_is_seen_on_its_disk(
    copy_of: Copy, opened: Stage, small_tree: Path, loop_disk: LoopDisks
) -> None:
    stage = copy_of(opened)
    stage.disk = loop_disk(64 * MIB, "ext4")
    empty = at(stage, stage.disk)
    assert (empty["filesystem"], empty["holds"], empty["read_only"]) == ("ext4", [], False)
    assert 0 < empty["free_bytes"] <= empty["bytes"] <= 64 * MIB
    assert empty["warnings"].keys() == {"disk-nearly-full"}
    stage.export(small_tree)
    held = at(stage, stage.disk)["holds"]
    assert [(h["number"], h["machine_name"], h["closed"], h["verified"]) for h in held] == [
        (1, "web1", True, False)
    ]
    stage.run("seed", "verify", stage.disk)
    assert at(stage, stage.disk)["holds"][0]["verified"]
    said = stage.run("seed", "disks").stdout
    assert f"{stage.disk}: ext4" in said
    assert f"disk 1 of set {held[0]['set'][:8]} of web1 for vault Backups: verified" in said


def test_a_disk_that_cannot_be_written_says_so(stage: Stage, tmp_path: Path) -> None:
    disk = LoopDisk(tmp_path, 16 * MIB, "ext4")
    disk.mount("ro")
    try:
        assert "disk-read-only" in at(stage, disk.path)["warnings"]
    finally:
        disk.unmount()


def test_what_somebody_put_there_is_passed_over(stage: Stage, loop_disk: LoopDisks) -> None:
    disk = loop_disk(16 * MIB, "ext4")
    folder = disk / "offseed" / f"{'ab' * 16}-1"
    folder.mkdir(parents=True)
    (folder / "label").write_bytes(b"no label")
    (disk / "offseed" / "a file").write_text("")
    (disk / "offseed" / f"{'cd' * 16}-2").symlink_to("/")
    assert at(stage, disk)["holds"] == []


@pytest.mark.needs("root")
def test_a_rescue_system_without_proc_is_told_what_it_lacks(
    copy_of: Copy, opened: Stage, small_tree: Path
) -> None:
    stage = copy_of(opened)
    stage.run("seed", "backup", small_tree)
    stage.command = lambda program: (
        "unshare", "-m", "sh", "-c", 'umount -l /proc && exec "$@"', "sh", *installed(program),
    )  # fmt: skip
    told = stage.run("seed", "disks")
    assert "cannot list mounted disks here" in told.stderr
    assert "not mounted" not in told.stdout
    rows = stage.run("seed", "disks", "--json").json
    assert not any("disk-unmounted" in row["warnings"] for row in rows)
    stage.run("seed", "restore", "latest", "--target", stage.folder / "back")
    for command in ("jobs", "status", "points", "plan"):
        stage.run("seed", command, *([small_tree] if command == "plan" else []))
