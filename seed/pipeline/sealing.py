"""The naming, deduplication and sealing of units, on all processors.

Units leave in the order in which they came. Threads do the work, because all costly steps (BLAKE3, zstd, AES)
run outside the interpreter's lock.
"""

import mmap
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from formats.ids import ChunkId
from formats.keyed.chunk import RAW_SIZE_MAX, RECORD_OVERHEAD, ChunkSealer
from seed.pipeline.chunks import PendingChunk, Sealed
from seed.pipeline.known_chunks import KnownChunks, seal_new

IN_FLIGHT_MAX = 6 << 20  # bytes of raw chunks that wait for a processor or for their turn
ROOMS_MAX = 4  # rooms kept for further records; each has grown to its largest record so far


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
