"""Names that are equal on the target: one comes back, the others are findings, and no file is overwritten."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.facilities import LoopDisk
from tests.journeys import devices, trees
from tests.journeys.stage import Copy, Stage, backup, below, prepared, snapshot

assert sys.platform == "linux"

pytestmark = pytest.mark.needs("root")

MIB = devices.MIB
FORKED = "import seed.restore.parallel; seed.restore.parallel.FILES_MIN = 2"  # else one process writes all


@pytest.fixture
def saved(opened: Stage, copy_of: Copy, room: Path) -> tuple[Stage, Path]:
    """Return a stage and a tree of files, folders, links and pipes with names that differ only by case."""
    stage, source = copy_of(opened), room / "source"
    for name in (
        "README",
        "readme",
        "Docs/a",
        "Docs/own",
        "docs/a",
        "docs/other",
        "Mixed/file",
        "file",
        "FILE",
        "plain",
    ):
        trees.small_file(source / name, os.fsencode(f"content of {name}"))
    trees.small_file(source / "mixed", b"a file beside a folder")
    trees.small_file(source / "Twice", b"one file of two names")
    os.link(source / "Twice", source / "twice")
    for at in source.rglob("*"):  # size and time are no help
        os.utime(at, (1_700_000_000, 1_700_000_000))
    backup(stage, source)
    return stage, source


def names(folder: Path) -> set[str]:
    return {os.path.relpath(path, folder) for path in folder.rglob("*")}


def left(done: Any) -> set[str]:
    """Return the entries left out because of their name, relative to the source."""
    return {f["subject"].rpartition("source/")[2] for f in done["findings"] if f["code"] == "target-exists"}


def check(stage: Stage, source: Path, disk: LoopDisk) -> None:
    """Check the first restore and later ones with each comparison: no file has a byte of another."""
    target = disk.path / "back"
    done = stage.restore(target, "--vault", stage.at, code=3)
    told = left(done)
    there = names(below(target, source))
    assert told == names(source) - there
    assert (done["left_alone"], done["failed"]) == (len(told), 0)
    assert "plain" in there
    assert len({name.casefold() for name in there}) == len(there)
    for name in there:
        if (source / name).is_file():
            assert (below(target, source) / name).read_bytes() == (source / name).read_bytes(), name
    before = snapshot(target)
    for more in ((), ("--overwrite",), ("--compare", "content"), ("--overwrite", "--compare", "times")):
        again = stage.restore(target, "--vault", stage.at, *more, code=3)
        assert left(again) == told, more
        assert snapshot(target) == before, more
    planned = stage.restore(target, "--vault", stage.at, "--overwrite", "--dry-run", code=3)
    assert (planned["files"], planned["left_alone"]) == (0, len(told))
    looked = stage.restore(target, "--vault", stage.at, "--verify", code=3)
    assert looked["verified"]["differ"] == len(told)


@pytest.mark.parametrize("forked", [False, True], ids=["one process", "forks"])
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.needs(kind)) for kind in ("exfat", "vfat")]
)
def test_of_twins_one_comes_back_and_the_others_are_findings(
    saved: tuple[Stage, Path], rack: devices.Rack, kind: str, forked: bool
) -> None:
    stage, source = saved
    if forked:
        stage.command = prepared(FORKED)
    check(stage, source, rack.disk(64 * MIB, kind))


def test_where_all_names_can_be_had_all_come_back(saved: tuple[Stage, Path], room: Path) -> None:
    stage, source = saved
    for more in ((), (), ("--overwrite",)):
        stage.restore(room / "back", "--vault", stage.at, *more, "--verify")
    assert trees.differences(source, below(room / "back", source)) == []


@pytest.mark.needs("exfat")
def test_what_another_has_put_there_under_a_like_name_stays(
    saved: tuple[Stage, Path], rack: devices.Rack
) -> None:
    stage, source = saved
    target = rack.disk(64 * MIB, "exfat").path / "back"
    own = below(target, source) / "PLAIN"
    trees.small_file(own, b"mine")
    done = stage.restore(target, "--vault", stage.at, "--include", "plain", "--overwrite", code=3)
    (detail,) = (f["detail"] for f in done["findings"] if f["code"] == "target-exists")
    assert "PLAIN" in detail
    assert own.read_bytes() == b"mine"
