"""Small files come in order, whole and named, whoever reads them; what is wrong with one concerns that one alone."""

import errno
import os
import random
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from formats.ids import content_id
from formats.keyed.catalog import FILE, Entry
from formats.keyed.keys import MasterKey
from formats.monitor import Tally
from seed.gathering import ALONE, BATCH_BYTES, Gathering
from seed.row import Row
from seed.source.system import Got, Wanted

if sys.platform == "win32":
    pytest.skip("trees are not read on Windows yet", allow_module_level=True)

MASTER = MasterKey(bytes(range(32)))
MANY = 3 * ALONE * BATCH_BYTES // 1000  # files of 1,000 bytes, enough that helpers are started


def wanted(path: Path) -> Wanted:
    status = path.lstat()
    relative = os.fsencode(path).lstrip(b"/")
    return Wanted(
        relative, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


class Received:
    """What was delivered, by a gathering with so many helpers."""

    def __init__(self, helpers: int) -> None:
        self.got: list[tuple[str, Got, bytes]] = []
        self.tally = Tally()
        self.gathering = Gathering(MASTER, self._receive, self.tally, helpers)

    def _receive(
        self, rows: Sequence[Row], files: Sequence[Wanted], got: Sequence[Got], data: memoryview
    ) -> None:
        at = 0
        for row, file, one in zip(rows, files, got, strict=True):
            assert row.entry.path == file.path
            self.receive(os.fsdecode(os.path.basename(file.path)), one, data[at : at + one.length])
            at += one.length

    def receive(self, name: str, got: Got, data: memoryview) -> None:
        self.got.append((name, got, bytes(data)))

    def all(self, files: list[Wanted], meanwhile: Callable[[int], object] = lambda _: None) -> None:
        for number, file in enumerate(files):
            self.gathering.add(Row(Entry(file.path, FILE, size=file.size), awaited=True), file)
            meanwhile(number)
        self.gathering.drain()
        self.gathering.close()


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("many")
    paths = []
    for number in range(MANY):
        path = folder / f"{number % 7}" / f"sub{number % 3}" / str(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.Random(number).randbytes(1000))
        paths.append(path)
    return sorted(paths)


@pytest.mark.parametrize("helpers", [0, 1, 3])
def test_all_come_in_order_whole_and_named(many: list[Path], helpers: int) -> None:
    received = Received(helpers)
    received.all([wanted(path) for path in many])
    assert [name for name, _, _ in received.got] == [path.name for path in many]
    for path, (_, got, data) in zip(many, received.got, strict=True):
        assert data == path.read_bytes()
        assert got == Got(1000, content_id(data, MASTER.content_id))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, BATCH_BYTES // 3), max_size=20))
def test_of_any_size(tmp_path: Path, sizes: list[int]) -> None:
    paths = [tmp_path / str(number) for number in range(len(sizes))]
    for path, size in zip(paths, sizes, strict=True):
        path.write_bytes(random.Random(size).randbytes(size))
    received = Received(0)
    received.all([wanted(path) for path in paths])
    assert [data for _, _, data in received.got] == [path.read_bytes() for path in paths]


def test_a_helper_that_is_killed_costs_nothing_but_time(many: list[Path]) -> None:
    received = Received(2)
    killed: list[int] = []

    def kill(number: int) -> None:
        if received.gathering._helpers and number in (MANY // 2, MANY * 3 // 4):
            process = received.gathering._helpers[len(killed)]._process
            process.send_signal(signal.SIGKILL)
            killed.append(process.pid)

    received.all([wanted(path) for path in many], kill)
    assert len(killed) == 2
    assert [data for _, _, data in received.got] == [path.read_bytes() for path in many]


def test_without_helpers_it_reads_by_itself_and_says_so(
    many: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EAGAIN, "no process can be started")

    monkeypatch.setattr("seed.gathering.subprocess.Popen", refuse)
    received = Received(2)
    received.all([wanted(path) for path in many])
    assert len(received.got) == MANY
    assert received.tally.notices == ["small files are read by one process alone (no process can be started)"]


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


@pytest.mark.parametrize(
    ("act", "failure", "stayed", "kept"),
    [
        (remove, errno.ENOENT, True, b""),
        (replace, errno.ENOENT, True, b""),
        (to_fifo, errno.ENOENT, True, b""),
        (to_link, errno.ELOOP, True, b""),
        (grow, 0, False, b"secondm"),
        (shrink, 0, False, b"sec"),
        (empty, 0, False, b""),
    ],
)
def test_what_becomes_of_one_concerns_no_other(
    tmp_path: Path, act: Callable[[Path], None], failure: int, stayed: bool, kept: bytes
) -> None:
    paths = [tmp_path / name for name in ("first", "second", "third")]
    for path in paths:
        path.write_bytes(path.name.encode())
    files = [wanted(path) for path in paths]
    act(paths[1])
    received = Received(0)
    received.all(files)
    (_, _, before), (_, got, data), (_, _, after) = received.got
    assert (before, after) == (b"first", b"third")
    assert (got.errno, got.stayed, got.length, data) == (failure, stayed, len(kept), kept)


@pytest.mark.parametrize("helpers", [0, 2])
def test_one_that_failed_may_have_the_others_read_first(many: list[Path], helpers: int) -> None:
    """As where it is saved anew, as a large file: that is read once all before it is stored."""
    files = [wanted(path) for path in many]
    missing = range(0, MANY, 97)
    for number in missing:
        files[number] = files[number]._replace(inode=0)
    heard: list[bool] = []

    class Draining(Received):
        def receive(self, name: str, got: Got, data: memoryview) -> None:
            if got.errno and len(heard) < len(missing) // 2:
                heard.append(True)
                self.gathering.drain()
            super().receive(name, got, data)

    received = Draining(helpers)
    received.all(files)
    assert len(received.got) == MANY
    found = {name: data for name, got, data in received.got if not got.errno}
    assert found == {p.name: p.read_bytes() for n, p in enumerate(many) if n not in missing}


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
    received = Received(0)
    received.all([Wanted(path, status.st_dev, status.st_ino, 4, status.st_mtime_ns, status.st_ctime_ns)])
    assert received.got[0][2] == b"deep"
