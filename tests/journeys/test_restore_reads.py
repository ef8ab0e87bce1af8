"""The reads of a whole restore: no byte of an archive is read twice, even if forks share the files."""

import os
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.journeys import trees
from tests.journeys.recording import Recorder
from tests.journeys.stage import Copy, Stage, backup, below, prepared

assert sys.platform == "linux"

FILES = 2_000  # enough for several processes to share
LARGE = 24 << 20


@pytest.fixture
def many(opened: Stage, copy_of: Copy, room: Path) -> tuple[Stage, Path]:
    """Return a stage, and the tree that is backed up in it."""
    stage, source = copy_of(opened), room / "many"
    for number in range(FILES):
        file = source / f"{number % 20}" / f"{number}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(os.urandom(number % 9_000))
    (source / "large").write_bytes(os.urandom(LARGE))
    os.link(source / "1" / "1", source / "2" / "link")
    backup(stage, source)
    return stage, source


def restored(stage: Stage, source: Path, target: Path) -> None:
    stage.restore(target, "--vault", stage.at)
    assert trees.differences(source, below(target, source)) == []
    assert [p for p in target.iterdir() if p.name.startswith(".offseed")] == []


def test_no_byte_is_read_twice_and_each_share_forwards(many: tuple[Stage, Path], room: Path) -> None:
    stage, source = many
    calls = Recorder(stage)
    restored(stage, source, room / "restored")
    content = [c for c in calls.vault("part", "archives") if c.bytes > 1_000]
    spans = sorted((c.name, c.start, c.bytes) for c in content)
    for (name, start, size), (other, begin, _) in pairwise(spans):
        assert name != other or start + size <= begin, "no byte is read twice"
    processes = {c.process for c in content}
    for process in processes:
        reads = [(c.name, c.start) for c in content if c.process == process]
        assert reads == sorted(reads, key=lambda read: (list(dict(reads)).index(read[0]), read[1]))
    if len(os.sched_getaffinity(0)) > 1:
        assert len(processes) > 1, "files were shared out"


# A fork dies after one of its first chunks, or after one of its files has got its name.
DYING = """
import os
from seed.restore.file_writer import FileWriter
from seed.restore.tree.system import TreeWriter
owner, name = {{"chunk": (FileWriter, "_write_chunk"), "name": (TreeWriter, "publish")}}[{step!r}]
first, step = os.getpid(), getattr(owner, name)
def dying(*words):
    step(*words)
    if os.getpid() != first:
        os.close(os.open({died!r}, os.O_CREAT))
        os._exit(9)
setattr(owner, name, dying)
"""


@pytest.mark.parametrize("more", [(), ("--overwrite",)], ids=["anew", "over"])
@pytest.mark.parametrize("step", ["chunk", "name"])
def test_what_a_killed_process_was_to_write_is_written_all_the_same(
    many: tuple[Stage, Path], room: Path, step: str, more: tuple[str, ...]
) -> None:
    stage, source = many
    if more:  # each file is to be replaced
        for file in source.rglob("*"):
            if file.is_file():
                other = below(room / "restored", source) / file.relative_to(source)
                other.parent.mkdir(parents=True, exist_ok=True)
                other.write_bytes(b"another")
    stage.command = prepared(DYING.format(step=step, died=str(room / "died")))
    done = stage.restore(room / "restored", "--vault", stage.at, *more)
    written = done["files"] + (
        min(done["same"], 4) if more else 0
    )  # files that a fork had named are compared, and found equal
    assert (min(written, FILES + 2), done["findings"]) == (FILES + 2, [])
    assert trees.differences(source, below(room / "restored", source)) == []
    if len(os.sched_getaffinity(0)) > 1:
        assert (room / "died").exists()
