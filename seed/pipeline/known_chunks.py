"""Dedup of chunks by their ids: a known chunk is not sealed, and not stored again."""

import threading
from collections.abc import Callable, Collection, Iterable

from formats.ids import ChunkId
from formats.keyed.chunk import ChunkSealer
from formats.tables.index import ROW as INDEX_ROW
from formats.tables.index import record_digest
from formats.tables.sections import Section
from seed.pipeline.chunks import Sealed
from seed.tables.id_table import IdTable

ADDED_AT_ONCE = 4 << 20  # bytes of index


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
