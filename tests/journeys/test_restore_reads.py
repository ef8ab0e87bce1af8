"""A whole restore reads no byte of an archive twice, also where forks share the files out among them."""

import os
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.journeys import trees
from tests.journeys.recording import Recorder
from tests.journeys.stage import Copy, Stage, backup, below, prepared

assert sys.platform == "linux"

FILES = 2_000  # more than one process writes alone
LARGE = 24 << 20


@pytest.fixture
def many(opened: Stage, copy_of: Copy, room: Path) -> tuple[Stage, Path]:
    """A stage, and the tree that is backed up in it."""
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


def test_what_a_killed_process_was_to_write_is_written_all_the_same(
    many: tuple[Stage, Path], room: Path
) -> None:
    stage, source = many
    stage.command = prepared(
        "import os\n"
        "from seed.contents import Contents as C\n"
        "first, write = os.getpid(), C._write_chunk\n"
        "def dying(self, raw, pieces):\n"
        "    write(self, raw, pieces)\n"
        f"    if os.getpid() != first: os.close(os.open({str(room / 'died')!r}, os.O_CREAT)); os._exit(9)\n"
        "C._write_chunk = dying"
    )
    restored(stage, source, room / "restored")
    if len(os.sched_getaffinity(0)) > 1:
        assert (room / "died").exists()
