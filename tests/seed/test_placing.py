"""Archives go to any disk that is ready: every record arrives once, however disks fill, fail and delay."""

import random
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.errors import MediaError
from formats.ids import ChunkId
from formats.keyed.keys import MasterKey
from formats.monitor import Finding, Tally
from formats.tables.archive import CONTENT_CLASS, Archive, parse
from formats.tables.index import CONTENT, record_digest
from seed.pipeline.packing import BufferPool, Packer, archive_size
from seed.targets import disk_pool as placing
from seed.targets.disk_writer import DiskWriter, PointSize
from tests.effort import examples

KEY = MasterKey(bytes(32)).key_id
KIB = 1 << 10
SIZE = 64 * KIB
PATIENCE = 60  # seconds until a wait without end is reported


class Shelf:
    """A disk for `DiskPool` in memory: `free` bytes, an error at write `fails_at`, `gates` to wait at."""

    def __init__(self, number: int, free: int, fails_at: int = -1, error: str = "io-error") -> None:
        self.number = number
        self.path = Path(f"/shelf/{number}")
        self.free = free
        self.fails_at = fails_at
        self.error = error
        self.gate = threading.Event()
        self.gate.set()
        self.gates = [self.gate]
        self.begun = threading.Event()
        self.left: int | None = None  # after the next archive
        self.archives: list[bytes] = []
        self.ended = threading.Event()
        self.limited = False

    @property
    def done(self) -> bool:
        return self.ended.is_set()

    @done.setter
    def done(self, done: bool) -> None:
        assert done
        self.ended.set()

    def room(self, reserve: int) -> int:
        return self.free

    def write(self, archive: Archive) -> None:
        assert not self.done
        self.begun.set()
        assert all(gate.wait(PATIENCE) for gate in self.gates), "held up"
        if len(self.archives) == self.fails_at:
            raise MediaError(self.error, "as it was told to", subject=str(self.path))
        assert archive.size <= self.free, "nothing is written where there is no room for it"
        self.archives.append(bytes(archive.data))
        self.free -= archive.size
        if self.left is not None:
            self.free, self.left = self.left, None


class Station:
    """A place where these shelves wait to be attached, and no others."""

    def __init__(self, waiting: Sequence[Shelf] = ()) -> None:
        self.waiting = list(waiting)

    def left(self) -> str:
        return ""

    def further(self, words: str) -> DiskWriter | None:
        assert words
        return self.waiting.pop(0) if self.waiting else None  # type: ignore[return-value]

    def release(self, disk: DiskWriter) -> None:
        assert isinstance(disk, Shelf)
        disk.done = True


def disk_set(shelves: Sequence[Shelf], station: Station, monitor: Tally, buffers: int) -> placing.DiskPool:
    return placing.DiskPool(shelves, station, buffers, KEY, PointSize(), monitor)  # type: ignore[arg-type]


def records(count: int, size: int) -> list[tuple[ChunkId, bytes]]:
    noise = random.Random(count)
    return [(ChunkId(noise.randbytes(32)), noise.randbytes(noise.randrange(1, size))) for _ in range(count)]


class Told(Tally):
    """A monitor that sets `heard` at a finding."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = threading.Event()

    def finding(self, finding: Finding) -> None:
        super().finding(finding)
        self.heard.set()


def play(
    shelves: Sequence[Shelf],
    given_: Sequence[tuple[ChunkId, bytes]],
    station: Station,
    monitor: Tally | None = None,
) -> Tally:
    """Pack and place all records. Raises the errors of the set."""
    monitor = monitor or Tally()
    pool = BufferPool(SIZE, len(shelves) + 1)
    disks = disk_set(shelves, station, monitor, pool.count)
    packer = Packer(pool, disks, CONTENT_CLASS, KEY)
    try:
        for chunk, record in given_:
            packer.add(CONTENT, chunk, record, record_digest(record))
        packer.flush()
        disks.drain()
    finally:
        disks.stop()
    return monitor


def held(shelves: Sequence[Shelf]) -> Counter[tuple[ChunkId, bytes]]:
    found: Counter[tuple[ChunkId, bytes]] = Counter()
    for shelf in shelves:
        for data in shelf.archives:
            for row in parse(data, "").rows:
                found[row.chunk, data[row.offset : row.offset + row.length]] += 1
    return found


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "ROOM_MIN", 4 * KIB)


@settings(max_examples=examples(150))
@given(
    st.lists(
        st.tuples(st.integers(0, 400), st.integers(-1, 4), st.sampled_from(["io-error", "disk-full"])),
        min_size=1,
        max_size=5,
    ),
    st.lists(st.integers(0, 400), max_size=3),
    st.integers(0, 120),
)
def test_every_record_arrives_once_or_the_set_says_that_it_cannot(
    disks: list[tuple[int, int, str]], further: list[int], count: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(placing, "ROOM_MIN", 4 * KIB)
        shelves = [Shelf(n, room * KIB, at, error) for n, (room, at, error) in enumerate(disks)]
        more = [Shelf(100 + n, room * KIB) for n, room in enumerate(further)]
        given_ = records(count, 12 * KIB)
        try:
            monitor = play(shelves, given_, Station(more))
        except MediaError as error:
            assert error.code in ("disk-full", "io-error")
            assert all(number <= 1 for number in held([*shelves, *more]).values())
            return
        assert held([*shelves, *more]) == Counter(given_)
        broken = [s for s in shelves if len(s.archives) == s.fails_at and s.error == "io-error"]
        assert {f.subject for f in monitor.findings} <= {str(s.path) for s in broken}


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_slow_disk_does_not_hold_up_fast_ones(count: int) -> None:
    """Keep the fast disks going: the slow one writes its first archive until all others are durable elsewhere."""
    slow, fast = Shelf(0, 1 << 30), [Shelf(number, 1 << 30) for number in range(1, count + 1)]
    slow.gate.clear()
    for shelf in fast:
        shelf.gates = [slow.begun]
    given_ = records(200, 12 * KIB)
    pool = BufferPool(SIZE, count + 2)
    disks = disk_set([slow, *fast], Station(), Tally(), pool.count)
    packer = Packer(pool, disks, CONTENT_CLASS, KEY)
    for chunk, record in given_:
        packer.add(CONTENT, chunk, record, record_digest(record))
    packer.flush()
    with disks._changed:
        assert disks._changed.wait_for(lambda: disks._in_use == 1, PATIENCE)
    assert not slow.archives
    slow.gate.set()
    disks.drain()
    disks.stop()
    assert len(slow.archives) == 1
    assert sum(len(shelf.archives) for shelf in fast) > 10
    assert held([slow, *fast]) == Counter(given_)


@pytest.mark.parametrize("count", [2, 3, 8])
def test_all_disks_are_written_at_once(count: int) -> None:
    """Begin an archive on every disk before any disk ends its first one."""
    shelves = [Shelf(number, 1 << 30) for number in range(count)]
    for shelf in shelves:
        shelf.gates = [other.begun for other in shelves]
    given_ = records(200, 12 * KIB)
    play(shelves, given_, Station())
    assert all(shelf.archives for shelf in shelves)
    assert held(shelves) == Counter(given_)


def test_a_disk_that_cannot_take_a_whole_archive_is_closed_while_another_can() -> None:
    little, large = Shelf(1, 3 * SIZE - 1), Shelf(2, 1 << 30)
    large.gates.append(little.ended)
    play([little, large], records(200, 12 * KIB), Station())
    assert little.done
    assert not large.done


@pytest.mark.parametrize("count", [0, 20])
def test_what_fits_nowhere_is_packed_anew(count: int) -> None:
    """Pack records anew if a failed disk holds an archive larger than the room on the other disks."""
    failing, narrow = Shelf(1, 1 << 30, fails_at=0), Shelf(2, 1 << 30)
    further = [Shelf(number, SIZE // 2) for number in range(3, 3 + count)]
    failing.gates = [narrow.begun]
    monitor = Told()
    narrow.gates = [monitor.heard]  # by then the other counts as failed
    narrow.left = SIZE // 2
    given_ = records(40, 12 * KIB)
    if further:
        play([failing, narrow], given_, Station(further), monitor)
        assert held([failing, narrow, *further]) == Counter(given_)
    else:
        with pytest.raises(MediaError):
            play([failing, narrow], given_, Station(), monitor)
        assert all(number == 1 for number in held([narrow]).values())
    assert not failing.archives
    packed = [len(archive) for shelf in (narrow, *further) for archive in shelf.archives[shelf is narrow :]]
    assert packed
    assert max(packed) <= SIZE // 2


@pytest.mark.parametrize(
    ("writers", "size"), [(1, 64), (2, 32), (3, 32), (4, 16), (7, 16), (8, 8), (15, 8), (40, 8)]
)
def test_sizes_are_those_of_the_protocol(writers: int, size: int) -> None:
    assert archive_size(writers) == size << 20
