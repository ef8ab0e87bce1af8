"""The naming, deduplication and sealing of units, on all processors.

Units leave in the order in which they came. Threads do the work, because all costly steps (BLAKE3, zstd, AES)
run outside the interpreter's lock.
"""

import mmap
import os
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from formats.ids import ChunkId
from formats.keyed.chunk import RAW_SIZE_MAX, RECORD_OVERHEAD, ChunkSealer
from formats.tables.index import ROW as INDEX_ROW
from formats.tables.index import record_digest
from formats.tables.sections import Section
from seed.pipeline.chunking import PendingChunk, Sealed
from seed.tables.id_table import IdTable

IN_FLIGHT_MAX = 6 << 20  # bytes of raw chunks that wait for a processor or for their turn
ADDED_AT_ONCE = 4 << 20  # bytes of index
ROOMS_MAX = 4  # rooms kept for further records; each has grown to its largest record so far


class KnownChunks:
    """The chunks that need not be stored again: those of this run, of the resumed set and of the basis."""

    def __init__(self) -> None:
        self._ids = IdTable()
        self._lock = threading.Lock()

    def claim(self, chunk: ChunkId) -> bool:
        """Return True to the first caller that asks for `chunk`. This caller must store it."""
        with self._lock:
            if chunk in self._ids:
                return False
            self._ids.put(chunk)
            return True

    def add_all(self, chunks: Iterable[ChunkId]) -> None:
        with self._lock:
            for chunk in chunks:
                self._ids.put(chunk)

    def add_sections(self, sections: Iterable[Section]) -> None:
        """Add the chunks of many archives, in a fraction of the time."""
        rows = bytearray()
        for section in sections:
            rows += section.index
            if len(rows) >= ADDED_AT_ONCE:
                self._add_rows(bytes(rows))
                rows.clear()
        self._add_rows(bytes(rows))

    def _add_rows(self, rows: bytes) -> None:
        with self._lock:
            self._ids.put_rows(rows, INDEX_ROW.size)

    @property
    def size(self) -> int:
        """The bytes of memory that they take."""
        return self._ids.size

    def __contains__(self, chunk: ChunkId) -> bool:
        with self._lock:
            return chunk in self._ids

    def missing(self, chunks: Collection[ChunkId]) -> set[ChunkId]:
        """Return the chunks that are not known. For many chunks this takes a fraction of the time."""
        with self._lock:
            found = self._ids.find(chunks)
        return {chunk for chunk, there in zip(chunks, found, strict=True) if there is None}


class Sealing:
    """A bounded parallel stage. It yields each unit and its result, in order.

    The record lies in a room that is used again once the caller asks for the next unit.
    """

    def __init__(self, sealer: ChunkSealer, known: KnownChunks, kind: int) -> None:
        self._sealer = sealer
        self._known = known
        self._kind = kind
        self._pool = ThreadPoolExecutor(os.cpu_count() or 2, thread_name_prefix="seal")
        self._queue: deque[PendingChunk] = deque()
        self._rooms: deque[memoryview] = deque()
        self._bytes = 0

    def seal(self, units: Iterable[PendingChunk]) -> Iterator[tuple[PendingChunk, Sealed]]:
        """Take over `units`, and yield those that are sealed meanwhile. Wait while too much is in flight."""
        for unit in units:
            while self._queue and self._bytes + unit.size > IN_FLIGHT_MAX:
                yield from self._first()
            self._bytes += unit.size
            unit.future = self._pool.submit(self._seal, unit)
            self._queue.append(unit)
            while self._queue and (future := self._queue[0].future) is not None and future.done():
                yield from self._first()

    def drain(self) -> Iterator[tuple[PendingChunk, Sealed]]:
        """Yield all units that are in flight."""
        while self._queue:
            yield from self._first()

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _first(self) -> Iterator[tuple[PendingChunk, Sealed]]:
        unit = self._queue[0]
        assert unit.future is not None
        sealed = unit.future.result()
        self._queue.popleft()
        self._bytes -= unit.size
        unit.named(sealed.chunk)
        yield unit, sealed
        if isinstance(sealed.record, memoryview) and len(self._rooms) < ROOMS_MAX:
            self._rooms.append(memoryview(sealed.record.obj))

    def _seal(self, unit: PendingChunk) -> Sealed:
        assert unit.raw is not None
        return seal_new(self._sealer, self._known, self._kind, unit.raw, self._seal_into_room)

    def _seal_into_room(self, kind: int, chunk: ChunkId, raw: bytes | memoryview) -> memoryview:
        try:
            room = self._rooms.pop()
        except IndexError:
            room = memoryview(mmap.mmap(-1, RAW_SIZE_MAX + RECORD_OVERHEAD))  # unused pages cost nothing
        return room[: self._sealer.seal_into(kind, chunk, raw, room, probe=True)]


def seal_new(
    sealer: ChunkSealer,
    known: KnownChunks,
    kind: int,
    raw: bytes | memoryview,
    seal: Callable[[int, ChunkId, bytes | memoryview], bytes | memoryview] | None = None,
) -> Sealed:
    """Name a chunk, and seal it unless it is known. Use `seal` if it is given."""
    chunk = sealer.chunk_id(kind, raw)
    if not known.claim(chunk):
        return Sealed(chunk)
    record = (seal or sealer.seal)(kind, chunk, raw)
    return Sealed(chunk, record, record_digest(record))
