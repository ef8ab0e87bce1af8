"""Rows into catalog segments and pages, sealed, in a thread of its own beside the sealing of content."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from formats.ids import ChunkId
from formats.keyed.catalog import (
    FILE,
    SEGMENT_BYTES_MAX,
    SEGMENT_ROWS_MAX,
    SEGMENT_ROWS_MIN,
    Entry,
    PageRow,
    SegmentCutter,
    encode_entries,
    encode_page,
    pages,
    referenced,
    sort_key,
)
from formats.keyed.chunk import ChunkSealer
from formats.keyed.keys import MasterKey
from formats.tables.index import CATALOG
from seed.chunking import Sealed
from seed.sealing import Known, seal_new


@dataclass(frozen=True)
class Catalogued:
    """What a finished catalog amounts to. `live` holds every chunk it refers to, its own segments included."""

    pages: tuple[ChunkId, ...]
    entries: int
    files: int
    file_bytes: int
    live: frozenset[ChunkId]


@dataclass(frozen=True)
class _Segment:
    sealed: Sealed
    row: PageRow
    live: set[ChunkId]


class Cataloguing:
    """Takes sorted entries; `store` is called with every segment and page that is new."""

    def __init__(
        self, master: MasterKey, sealer: ChunkSealer, known: Known, store: Callable[[Sealed], None]
    ) -> None:
        self._cutter = SegmentCutter(master)
        self._sealer = sealer
        self._known = known
        self._store = store
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="catalog")
        self._queue: deque[Future[_Segment]] = deque()
        self._rows: list[Entry] = []
        self._bytes = 0
        self._segments: list[PageRow] = []
        self._live: set[ChunkId] = set()
        self._last: tuple[bytes, int] = (b"", -1)
        self.entries = self.files = self.file_bytes = 0

    def add(self, entry: Entry) -> None:
        """The next row in order, all its chunks named."""
        place = (sort_key(entry.path), entry.part)
        if place <= self._last:
            raise AssertionError(f"{entry.path!r} comes out of order: no reader would take such a catalog")
        self._last = place
        self._rows.append(entry)
        self._bytes += len(entry.chunks) + len(entry.path) + len(entry.xattrs) + len(entry.extents)
        if entry.part == 0:
            self.entries += 1
            if entry.type == FILE:
                self.files += 1
                self.file_bytes += entry.size
        rows = len(self._rows)
        if (
            rows == SEGMENT_ROWS_MAX
            or self._bytes > SEGMENT_BYTES_MAX
            or (rows >= SEGMENT_ROWS_MIN and self._cutter.cuts_after(entry.path))
        ):
            self._cut()

    def finish(self) -> Catalogued:
        """Seal what is left and the pages over it all."""
        if self._rows:
            self._cut()
        while self._queue:
            self._collect()
        page_ids = []
        for page in pages(self._segments):
            sealed = self._seal(encode_page(page))
            if sealed.record is not None:
                self._store(sealed)
            page_ids.append(sealed.chunk)
        self._live.update(page_ids)
        return Catalogued(tuple(page_ids), self.entries, self.files, self.file_bytes, frozenset(self._live))

    def close(self) -> None:
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _cut(self) -> None:
        self._queue.append(self._worker.submit(self._segment, self._rows))
        self._rows, self._bytes = [], 0
        while self._queue and (self._queue[0].done() or len(self._queue) > 4):
            self._collect()

    def _collect(self) -> None:
        segment = self._queue.popleft().result()
        if segment.sealed.record is not None:
            self._store(segment.sealed)
        self._segments.append(segment.row)
        self._live.add(segment.sealed.chunk)
        self._live |= segment.live

    def _segment(self, rows: list[Entry]) -> _Segment:
        raw = encode_entries(rows)
        sealed = self._seal(raw)
        row = PageRow(sealed.chunk, len(rows), rows[0].path, rows[-1].path)
        return _Segment(sealed, row, referenced(raw))

    def _seal(self, raw: bytes) -> Sealed:
        return seal_new(self._sealer, self._known, CATALOG, raw)
