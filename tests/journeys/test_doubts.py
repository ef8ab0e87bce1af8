"""A source that is not mounted: all commands report it, good points stay, and the user decides."""

import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.facilities import LoopDisk
from tests.journeys import devices, trees
from tests.journeys.stage import Copy, Stage, backup, below

assert sys.platform == "linux"

FILES = 50
PROMETHEUS = "metrics.prom"


@pytest.fixture
def disk(rack: devices.Rack) -> LoopDisk:
    """Return a file system that is backed up."""
    disk = rack.disk(32 << 20)
    for number in range(FILES):
        (disk.path / f"{number}").write_bytes(b"content")
    return disk


@pytest.fixture
def etc(room: Path) -> Path:
    (room / "etc").mkdir()
    (room / "etc/conf").write_bytes(b"conf")
    return room / "etc"


@pytest.fixture
def stage(copy_of: Copy, opened: Stage, disk: LoopDisk, etc: Path) -> Stage:
    stage = copy_of(opened)
    backup(stage, disk.path, etc)
    told = f"cat >> {stage.folder}/told; echo >> {stage.folder}/told"
    stage.run("seed", "notify", "set", "--command", told, "--metrics", stage.folder / PROMETHEUS)
    return stage


@pytest.mark.needs("loop")
def test_a_file_system_that_is_not_mounted_is_told_everywhere(
    stage: Stage, disk: LoopDisk, etc: Path, room: Path
) -> None:
    good = str(stage.run("seed", "points", "--json").json[0]["point"])
    disk.unmount()
    done = stage.run("seed", "backup", code=3)
    assert "item-doubted" in done.stderr
    assert f"{disk.path}: a file system began there, and none does now" in done.stderr
    assert "1 item, listed: this point takes no other's place" in done.stdout

    assert '"event": "doubt"' in (stage.folder / "told").read_text()
    families = text_string_to_metric_families((stage.folder / PROMETHEUS).read_text())
    samples = [s for family in families for s in family.samples if s.name == "offseed_job_last_doubted_items"]
    assert [(s.labels["kind"], s.value) for s in samples] == [("backup", 1)]
    status = stage.run("seed", "status")
    assert f"DOUBTED      {disk.path}" in status.stdout
    assert stage.run("seed", "status", "--json").json["doubts"][0]["why"] == "unmounted"
    check = stage.run("seed", "notify", "check", code=3)
    assert "the last backup doubts 1 item" in check.stdout
    points = stage.run("seed", "points")
    assert f"{disk.path}: a file system began there" in points.stdout
    assert [p["doubted"] for p in stage.run("seed", "points", "--json").json] == [False, True]
    assert ", doubted" in stage.run("importer", "points", "--vault", stage.at).stdout
    check = stage.run("importer", "notify", "check", code=3, IMPORTER_VAULT=stage.at)
    assert "web1 of Backups: its last backup is doubted" in check.stdout
    for command in (("ls", "latest"), ("restore", "latest", "--target", room / "now")):
        told = stage.run("seed", *command).stderr
        assert f"is doubted: {disk.path}: a file system began there" in told
    assert "doubted" not in stage.run("seed", "ls", good).stderr
    stage.run("seed", "restore", good, "--target", room / "good")
    assert len(list((below(room / "good", disk.path)).glob("[0-9]*"))) == FILES
    assert "kept while it is doubted" in stage.run("seed", "retention", "show").stdout

    disk.mount()
    stage.run("seed", "backup")
    assert stage.run("seed", "status", "--json").json["doubts"] == []
    assert stage.run("seed", "notify", "check").stdout == "nothing is overdue\n"
    stage.run("seed", "restore", "latest", "--target", room / "again")
    assert trees.differences(disk.path, below(room / "again", disk.path)) == []


@pytest.mark.needs("loop")
def test_a_seed_of_it_is_doubted_too(stage: Stage, disk: LoopDisk, etc: Path) -> None:
    disk.unmount()
    for offline in ([], ["--offline"]):
        exported = stage.run("seed", "export", "--again", "--to", stage.disk, *offline, code=3)
        assert f"{disk.path}: a file system began there, and none does now" in exported.stderr
    stage.import_()
    points = stage.run("importer", "points", "--vault", stage.at, "--json").json
    assert [p["doubted"] for p in points] == [False, True, True]
    disk.mount()
    stage.run("seed", "export", "--again", "--to", stage.disk)


@pytest.mark.needs("loop")
def test_the_users_word_ends_a_doubt(stage: Stage, disk: LoopDisk, etc: Path) -> None:
    assert stage.run("seed", "items", "confirm").stdout == "Nothing is doubted.\n"
    disk.unmount()
    backup(stage, code=3)
    confirmed = stage.run("seed", "items", "confirm")
    assert str(disk.path) in confirmed.stdout
    backup(stage)
    assert stage.run("seed", "status", "--json").json["doubts"] == []
    (etc / "conf").unlink()
    assert "it is empty; point" in stage.run("seed", "backup", code=3).stderr


@pytest.mark.needs("loop")
def test_what_lies_below_the_mount_point_hides_nothing(stage: Stage, disk: LoopDisk) -> None:
    disk.unmount()
    for number in range(2 * FILES):
        (disk.path / f"of the system {number}").write_bytes(b"it filled its own disk")
    assert "a file system began there, and none does now" in stage.run("seed", "backup", code=3).stderr


@pytest.mark.needs("loop")
def test_a_file_system_below_an_item_that_is_not_mounted(
    copy_of: Copy, opened: Stage, disk: LoopDisk, room: Path
) -> None:
    """Report an empty folder in place of a file system, even if most of the item is still there."""
    stage = copy_of(opened)
    item = disk.path.parent
    (item / "much").mkdir()
    for number in range(4 * FILES):
        (item / f"much/{number}").write_bytes(b"much more than on the disk")
    wanted = ("--exclude", "/**/copy", "--exclude", "/**/stage")
    backup(stage, item, *wanted)
    disk.unmount()
    assert f"{disk.path}: a file system began there" in stage.run("seed", "backup", code=3).stderr
    stage.run("seed", "items", "confirm")
    backup(stage)
    disk.mount()
    backup(stage)
    disk.unmount()
    disk.path.rmdir()
    backup(stage)
    disk.path.mkdir()
