"""Targets that keep times in steps of two seconds, one second or 100 ns.

A second restore finds every file there, and a notice tells of times that were cut.
"""

import os
import sys
from pathlib import Path

import pytest

from tests.journeys import devices, trees
from tests.journeys.stage import Copy, Stage, backup, below, prepared

assert sys.platform == "linux"

pytestmark = pytest.mark.needs("root", "loop")

MIB = devices.MIB
SECOND = 10**9
KINDS = [
    "ext4-128",
    pytest.param("exfat", marks=pytest.mark.needs("exfat")),
    pytest.param("ntfs", marks=pytest.mark.needs("ntfs")),
    pytest.param("vfat", marks=pytest.mark.needs("vfat")),
]


@pytest.fixture
def saved(opened: Stage, copy_of: Copy, room: Path) -> tuple[Stage, Path]:
    stage, source = copy_of(opened), room / "source"
    for number, moment in enumerate(
        (1_600_000_001_999_999_999, 1_600_000_003_000_000_001, 1_600_000_000_000_000_000)
    ):
        path = trees.small_file(source / f"{number}", os.urandom(3000))
        os.utime(path, ns=(moment, moment))
    backup(stage, source)
    return stage, source


@pytest.mark.parametrize("forked", [False, True], ids=["one process", "forks"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_second_restore_finds_everything_there(
    saved: tuple[Stage, Path], rack: devices.Rack, kind: str, forked: bool
) -> None:
    stage, source = saved
    if forked:
        stage.command = prepared("import seed.restore.parallel; seed.restore.parallel.FILES_MIN = 2")
    words = (f"latest:{source}", "--target", rack.disk(64 * MIB, kind).path / "back", "--vault", stage.at)
    first = stage.run("seed", "restore", *words)
    assert first.stderr.count("note: times were restored as finely as") == 1
    for more, by_time in (((), 3), (("--overwrite",), 0), (("--compare", "content"), 0)):
        again = stage.run("seed", "restore", *words, *more, "--json").json
        counts = [again[k] for k in ("files", "same", "same_by_time", "left_alone", "findings")]
        assert counts == [0, 3, by_time, 0, []], more


def test_a_time_that_cannot_be_kept_is_told_and_no_obstacle_later(
    saved: tuple[Stage, Path], rack: devices.Rack
) -> None:
    stage, source = saved
    late = trees.small_file(source / "late", b"x")
    os.utime(late, ns=(6_000_000_000 * SECOND,) * 2)
    backup(stage, source)
    words = (
        f"latest:{source}",
        "--target",
        rack.disk(64 * MIB, "ext4-128").path / "back",
        "--vault",
        stage.at,
        "--json",
    )
    first = stage.run("seed", "restore", *words, code=3).json
    assert [(f["code"], f["subject"]) for f in first["findings"]] == [("target-failed", "late")]
    assert "time" in first["findings"][0]["detail"]
    again = stage.run("seed", "restore", *words).json
    assert (again["same"], again["left_alone"], again["findings"]) == (4, 0, [])


def test_where_times_are_fine_another_time_is_another(saved: tuple[Stage, Path], room: Path) -> None:
    """Compare the content of a file with another time, and restore its time with --overwrite."""
    stage, source = saved
    words = ("seed", "restore", f"latest:{source}", "--target", room / "back", "--vault", stage.at)
    stage.run(*words)
    path = room / "back" / "0"
    moment = 1_600_000_001 * SECOND
    os.utime(path, ns=(moment, moment))
    again = stage.run(*words, "--json").json
    assert (again["same"], again["same_by_time"]) == (3, 2)
    stage.run(*words, "--overwrite")
    assert path.stat().st_mtime_ns == (source / "0").stat().st_mtime_ns
    path.write_bytes(bytes(3000))
    os.utime(path, ns=(moment, moment))
    left = stage.run(*words, "--json", code=3).json
    assert left["left_alone"] == 1
    assert below(room / "back", Path("/0")).read_bytes() == bytes(3000)
