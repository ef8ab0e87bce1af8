"""Names, deduplicates and seals units on all processors, and hands them on in the order they came.

Threads, for all that costs (BLAKE3, zstd, AES) runs outside the interpreter's lock.
"""

import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from formats.ids import ChunkId
from formats.keyed.chunk import ChunkSealer
from seed.chunking import Unit

IN_FLIGHT_MAX = 32 << 20  # bytes of raw chunks waiting for a processor or for their turn


class Known:
    """The chunks that need not be stored again: of this run, of the set resumed, of the basis."""

    def __init__(self) -> None:
        self._ids: set[ChunkId] = set()
        self._lock = threading.Lock()

    def claim(self, chunk: ChunkId) -> bool:
        """True for the first to ask for `chunk`, who must store it."""
        with self._lock:
            if chunk in self._ids:
                return False
            self._ids.add(chunk)
            return True

    def add(self, chunk: ChunkId) -> None:
        self._ids.add(chunk)


class Sealing:
    """Bounded parallel stage. `deliver(unit, record)` is called in order; record is None for a known chunk."""

    def __init__(
        self, sealer: ChunkSealer, known: Known, kind: int, deliver: Callable[[Unit, bytes | None], None]
    ) -> None:
        self._sealer = sealer
        self._known = known
        self._kind = kind
        self._deliver = deliver
        self._pool = ThreadPoolExecutor(os.cpu_count() or 2, thread_name_prefix="seal")
        self._queue: deque[Unit] = deque()
        self._bytes = 0

    def submit(self, unit: Unit) -> None:
        """Hand over `unit`; waits while too much is in flight."""
        while self._queue and self._bytes + unit.size > IN_FLIGHT_MAX:
            self._collect()
        self._bytes += unit.size
        unit.future = self._pool.submit(self._seal, unit)
        self._queue.append(unit)
        while self._queue and (future := self._queue[0].future) is not None and future.done():
            self._collect()

    def drain(self) -> None:
        """Wait until all that was handed over has been delivered."""
        while self._queue:
            self._collect()

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _collect(self) -> None:
        unit = self._queue[0]
        assert unit.future is not None
        chunk, record = unit.future.result()
        self._queue.popleft()
        self._bytes -= unit.size
        unit.id, unit.raw, unit.future = chunk, None, None
        self._deliver(unit, record)

    def _seal(self, unit: Unit) -> tuple[ChunkId, bytes | None]:
        assert unit.raw is not None
        chunk = self._sealer.chunk_id(self._kind, unit.raw)
        if not self._known.claim(chunk):
            return chunk, None
        return chunk, self._sealer.seal(self._kind, chunk, unit.raw)
