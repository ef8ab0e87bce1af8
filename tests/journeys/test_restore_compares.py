"""Comparison by content on request, and verification after a restore."""

import os
import sys
from pathlib import Path

import pytest

from tests.journeys import trees
from tests.journeys.stage import Stage, below, flip, snapshot

assert sys.platform == "linux"


def rot(path: Path) -> bytes:
    """Change a byte and set the time back, as a bad disk or an intruder does. Return the old content."""
    before, status = path.read_bytes(), path.stat()
    flip(path, len(before) // 2)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    return before


@pytest.fixture
def target(exported: Stage, room: Path) -> Path:
    """Return a restored tree, where tests damage one small and one large file."""
    exported.restore(room / "restored", "--from", exported.disk)
    return room / "restored"


def rotten(target: Path, source: Path) -> list[Path]:
    names = ("docs/0/letter 0.txt", "media/photo.raw")
    found = [below(target, source) / name for name in names]
    for path in found:
        rot(path)
    return found


def test_overwrite_replaces_rot_of_equal_size_and_time(
    exported: Stage, small_tree: Path, target: Path
) -> None:
    rotten(target, small_tree)
    done = exported.restore(target, "--from", exported.disk, "--overwrite")
    assert (done["files"], done["same_by_time"], done["findings"]) == (2, 0, [])
    assert trees.differences(small_tree, below(target, small_tree)) == []


def test_without_it_the_times_count_and_that_is_said(exported: Stage, small_tree: Path, target: Path) -> None:
    rotten(target, small_tree)
    words = ("restore", "latest", "--from", exported.disk, "--target", target)
    said = exported.run("seed", *words).stdout
    assert "by size and time alone; --compare content reads them" in said
    done = exported.restore(target, "--from", exported.disk, "--overwrite", "--compare", "times")
    assert (done["files"], done["same_by_time"] > 2) == (0, True)


def test_compared_by_content_what_differs_is_listed_and_left_alone(
    exported: Stage, small_tree: Path, target: Path
) -> None:
    spoilt = {str(path): path.read_bytes() for path in rotten(target, small_tree)}
    for more in ((), ("--dry-run",)):
        done = exported.restore(target, "--from", exported.disk, "--compare", "content", *more, code=3)
        assert {f["subject"].rpartition("/")[2] for f in done["findings"]} == {Path(p).name for p in spoilt}
        assert (done["left_alone"], done["same_by_time"]) == (2, 0)
    assert {path: Path(path).read_bytes() for path in spoilt} == spoilt


def test_what_is_not_to_be_had_whole_replaces_nothing(
    exported: Stage, small_tree: Path, target: Path
) -> None:
    """Keep the present files, even rotten ones, if their archives are gone."""
    stage = exported.copy(target.parent / "copy")
    rotten(target, small_tree)
    before = snapshot(target)
    for path in stage.objects("archives"):
        if path.stat().st_size > 500_000:  # the content; the catalog lies in a small one
            path.write_bytes(bytes(path.stat().st_size))
    done = stage.restore(target, "--from", stage.disk, "--overwrite", code=3)
    assert done["failed"] == len(done["findings"]) > 0
    assert snapshot(target) == before


def test_a_pipe_in_the_place_of_a_file_is_never_opened(
    exported: Stage, small_tree: Path, target: Path
) -> None:
    """Leave a pipe in the place of a file unopened: to open it would block for ever."""
    path = below(target, small_tree) / "docs/0/letter 0.txt"
    path.unlink()
    os.mkfifo(path)
    left = exported.restore(target, "--from", exported.disk, "--compare", "content", "--verify", code=3)
    assert {f["code"] for f in left["findings"]} == {"target-exists", "target-differs"}
    exported.restore(target, "--from", exported.disk, "--overwrite")
    assert trees.differences(small_tree, below(target, small_tree)) == []


def test_a_file_of_another_time_and_equal_content_is_the_same(
    exported: Stage, small_tree: Path, target: Path
) -> None:
    path = below(target, small_tree) / "media/photo.raw"
    os.utime(path, (1, 1))
    done = exported.restore(target, "--from", exported.disk)
    assert (done["files"], done["left_alone"], done["findings"]) == (0, 0, [])
    assert path.stat().st_mtime == 1
    exported.restore(target, "--from", exported.disk, "--overwrite")
    assert trees.differences(small_tree, below(target, small_tree)) == []


def test_a_restore_is_verified_after_it(exported: Stage, small_tree: Path, room: Path) -> None:
    target = room / "verified"
    done = exported.restore(target, "--from", exported.disk, "--verify")
    assert done["verified"]["files"] == done["files"]
    assert done["verified"]["differ"] == 0
    rotten(target, small_tree)
    again = exported.run(
        "seed", "restore", "latest", "--from", exported.disk, "--target", target, "--verify", code=3
    )
    assert "2 of " in again.stdout
    assert again.stderr.count("target-differs") >= 2
