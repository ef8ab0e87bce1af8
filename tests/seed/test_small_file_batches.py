"""Small files come whole and named, and lie at their reported places, with any number of workers.

A fault of one file concerns that file alone.
"""

import errno
import os
import random
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from formats.errors import HomeError
from formats.ids import ChunkId, content_id
from formats.keyed.catalog import FILE, CatalogEntry
from formats.keyed.chunk import ChunkSealer
from formats.keyed.keys import MasterKey
from formats.tables.index import CONTENT, record_digest
from seed.pipeline.chunks import PendingChunk, Sealed
from seed.pipeline.row import PlacedEntry
from seed.pipeline.small_file_batches import Answer, SmallFileBatches
from seed.pipeline.small_file_verdict import ReadBatch, Verdict
from seed.pipeline.small_file_worker import InlineWorker, Worker, small_file_workers
from seed.source.system import Wanted
from tests.effort import examples

if sys.platform == "win32":
    pytest.skip("trees are not read on Windows yet", allow_module_level=True)

MASTER = MasterKey(bytes(range(32)))
SEALER = ChunkSealer(MASTER, 1)
SIZE_MAX = 64 << 10  # of a bundle, and of the files of a batch
MANY = 2000  # files of some 1,000 bytes: some thirty batches
FORKED = pytest.param(2, marks=pytest.mark.skipif(sys.platform != "linux", reason="no fork"))


def wanted(path: Path) -> Wanted:
    status = path.lstat()
    times = *divmod(status.st_mtime_ns, 10**9), *divmod(status.st_ctime_ns, 10**9)
    return (os.fsencode(path).lstrip(b"/"), status.st_size, *times, status.st_dev, status.st_ino)


@contextmanager
def workers(count: int) -> Iterator[Sequence[Worker]]:
    """Yield so many worker processes; with none, this process does all work."""
    with small_file_workers(MASTER, 1, SIZE_MAX, count) as found:
        assert len(found) == max(1, count)
        yield found


class Received:
    """The results of the batches, and each file's content as it lies in a delivered bundle.

    All of them are kept, except those that `known` holds.
    """

    def __init__(self, workers: Sequence[Worker]) -> None:
        self.names: list[str] = []
        self.lengths: list[int] = []
        self.odd: dict[str, tuple[bytes, bool, int, int]] = {}
        self.places: dict[str, tuple[PendingChunk, int]] = {}
        self.bundles: dict[ChunkId, bytes] = {}
        self.known: dict[bytes, tuple[PendingChunk, int]] = {}
        self.contents: dict[str, bytes] = {}
        self.batches = SmallFileBatches(workers, SIZE_MAX)

    def _take(self, answers: Iterable[Answer]) -> None:
        for answer in answers:
            if isinstance(answer, ReadBatch):
                self.batches.keep(answer, self._decide(answer))
            else:
                self._collect(*answer)

    def _decide(self, batch: ReadBatch) -> Verdict:
        got, verdict = batch.result, Verdict(batch.bundle, batch.size_max)
        for at, (row, length) in enumerate(zip(batch.rows, got.lengths, strict=True)):
            name = os.fsdecode(os.path.basename(row.entry.path))
            content = got.contents[16 * at : 16 * at + 16]
            self.names.append(name)
            self.lengths.append(length)
            self.contents[name] = content
            if at in got.odd:
                self.odd[name] = got.odd[at]
            if not length or content in self.known:
                verdict.skip()
            else:
                self.known[content] = verdict.lay(length)
            if length:
                self.places[name] = self.known[content]
        return verdict

    def _collect(self, unit: PendingChunk, sealed: Sealed) -> None:
        record = bytes(sealed.record or b"")
        assert record_digest(record) == sealed.record_digest
        assert unit.id == sealed.chunk
        self.bundles[sealed.chunk] = bytes(SEALER.open(CONTENT, sealed.chunk, record, "here"))
        assert unit.size == len(self.bundles[sealed.chunk]) <= SIZE_MAX

    def data(self, name: str) -> bytes:
        """Return the content of a file, and check its name."""
        length = self.lengths[self.names.index(name)]
        if not length:
            return b""
        unit, offset = self.places[name]
        assert unit.id is not None
        data = self.bundles[unit.id][offset : offset + length]
        assert content_id(data, MASTER.content_id) == self.contents[name]
        return data

    def all(self, files: Sequence[Wanted], meanwhile: Callable[[int], object] = lambda _: None) -> None:
        for number, file in enumerate(files):
            if not self.batches.has_room(file[1]):
                self._take(self.batches.send())
            self.batches.add(PlacedEntry(CatalogEntry(file[0], FILE, size=file[1]), awaited=True), file)
            meanwhile(number)
        self.drain()

    def drain(self) -> None:
        self._take(self.batches.drain())


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("many")
    paths = []
    for number in range(MANY):
        path = folder / f"{number % 7}" / f"sub{number % 3}" / str(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.Random(number).randbytes(900 + number % 200))
        paths.append(path)
    return sorted(paths)


@pytest.mark.parametrize("count", [0, FORKED])
def test_all_come_whole_and_named(many: list[Path], count: int) -> None:
    with workers(count) as found:
        received = Received(found)
        received.all([wanted(path) for path in many])
    assert sorted(received.names) == sorted(path.name for path in many)
    assert {path.name: received.data(path.name) for path in many} == {p.name: p.read_bytes() for p in many}
    assert received.odd == {}
    assert len(received.bundles) > MANY * 900 // SIZE_MAX


@pytest.mark.parametrize("count", [0, FORKED])
def test_what_is_known_is_not_kept(many: list[Path], count: int) -> None:
    files = [wanted(path) for path in many[:300]]
    with workers(count) as found:
        received = Received(found)
        received.all(files)
        stored = sum(map(len, received.bundles.values()))
        received.all(files)
    assert sum(map(len, received.bundles.values())) == stored == sum(p.stat().st_size for p in many[:300])


@settings(max_examples=examples(30), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, SIZE_MAX), max_size=20), st.sets(st.integers(0, 19)))
def test_of_any_size_and_whenever_it_is_drained(tmp_path: Path, sizes: list[int], drained: set[int]) -> None:
    paths = [tmp_path / str(number) for number in range(len(sizes))]
    for number, (path, size) in enumerate(zip(paths, sizes, strict=True)):
        path.write_bytes(random.Random(number).randbytes(size))
    with workers(0) as found:
        received = Received(found)

        def drain(number: int) -> None:
            if number in drained:
                received.drain()

        received.all([wanted(path) for path in paths], drain)
    assert [received.data(path.name) for path in paths] == [path.read_bytes() for path in paths]


@pytest.mark.skipif(sys.platform != "linux", reason="no fork")
def test_a_helper_that_is_killed_ends_the_run_and_is_named(many: list[Path]) -> None:
    with workers(2) as found:
        received = Received(found)

        def kill(number: int) -> None:
            if sys.platform == "linux" and number == MANY // 2:
                forked: Any = found[0]  # this worker is asked if both are equally free
                os.kill(forked.process, signal.SIGKILL)
                os.waitid(os.P_PID, forked.process, os.WEXITED | os.WNOWAIT)

        with pytest.raises(HomeError) as failure:
            received.all([wanted(path) for path in many], kill)
    assert failure.value.code == "worker-ended"
    assert "run the same command again" in (failure.value.hint or "")


@pytest.mark.skipif(sys.platform != "linux", reason="no fork")
def test_helpers_hold_nothing_open_and_end_with_the_one_they_work_for(tmp_path: Path) -> None:
    """Release all files: a disk can be unmounted, and a lock can be taken, while a worker still ends."""
    with (tmp_path / "held").open("w"), workers(1) as found:
        forked: Any = found[0]
        process: int = forked.process
        forked.ask("read", [])
        assert forked.answer() == ([], b"", {})
        links = [os.readlink(entry.path) for entry in os.scandir(f"/proc/{process}/fd")]
        assert not [link for link in links if link.startswith(str(tmp_path))]
        assert {link.split(":")[0] for link in links} == {"/dev/null", "pipe"}
    assert not os.path.exists(f"/proc/{process}")


def test_without_a_process_it_reads_by_itself(many: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise OSError(errno.EAGAIN, "no process can be started")

    monkeypatch.setattr(os, "fork", refuse, raising=False)
    with small_file_workers(MASTER, 1, SIZE_MAX) as found:
        assert [type(worker) for worker in found] == [InlineWorker]
        received = Received(found)
        received.all([wanted(path) for path in many])
    assert len(received.names) == MANY


def remove(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    path.with_name("new").write_bytes(b"another")
    path.with_name("new").replace(path)


def to_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def to_link(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more" * 100)


def shrink(path: Path) -> None:
    os.truncate(path, 3)


def empty(path: Path) -> None:
    os.truncate(path, 0)


@pytest.mark.parametrize("count", [0, FORKED])
@pytest.mark.parametrize(
    ("act", "failure", "stayed", "kept"),
    [
        (remove, errno.ENOENT, True, b""),
        (replace, errno.ENOENT, True, b""),
        (to_fifo, errno.ENOENT, True, b""),
        (to_link, errno.ELOOP, True, b""),
        (grow, 0, False, b"second"),
        (shrink, 0, False, b"sec"),
        (empty, 0, False, b""),
    ],
)
def test_what_becomes_of_one_concerns_no_other(
    tmp_path: Path, act: Callable[[Path], None], failure: int, stayed: bool, kept: bytes, count: int
) -> None:
    paths = [tmp_path / name for name in ("first", "second", "third")]
    for path in paths:
        path.write_bytes(path.name.encode())
    files = [wanted(path) for path in paths]
    act(paths[1])
    with workers(count) as found:
        received = Received(found)
        received.all(files)
    assert [received.data(path.name) for path in paths] == [b"first", kept, b"third"]
    assert received.odd == {"second": (b"", stayed, 0, failure)}


def test_a_path_longer_than_the_system_takes(tmp_path: Path) -> None:
    handle = os.open(tmp_path, os.O_RDONLY)
    name = "n" * 200
    for _ in range(25):
        os.mkdir(name, dir_fd=handle)
        below = os.open(name, os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = below
    file = os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=handle)
    os.write(file, b"deep")
    status = os.fstat(file)
    os.close(file)
    os.close(handle)
    path = os.fsencode(tmp_path).lstrip(b"/") + b"/" + b"/".join([name.encode()] * 25) + b"/file"
    assert len(path) > 4096
    times = *divmod(status.st_mtime_ns, 10**9), *divmod(status.st_ctime_ns, 10**9)
    with workers(0) as found:
        received = Received(found)
        received.all([(path, 4, *times, status.st_dev, status.st_ino)])
    assert received.data("file") == b"deep"
