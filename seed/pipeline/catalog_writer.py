"""The making of a catalog: a separate thread turns rows into sealed segments and pages.

It runs beside the sealing of content. The same thread journals the rows so far, mostly as the same segments
before they are sealed.
"""

from collections import deque
from collections.abc import Callable, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from formats.ids import ChunkId
from formats.keyed.catalog import (
    FILE,
    LOST,
    SEGMENT_BYTES_MAX,
    SEGMENT_ROWS_MAX,
    SEGMENT_ROWS_MIN,
    SIZE_END,
    CatalogEntry,
    PageRow,
    SegmentCutter,
    pages,
    sort_key,
)
from formats.keyed.chunk import ChunkSealer
from formats.keyed.keys import MasterKey
from formats.keyed.segments import encode_entries, encode_page, referenced
from formats.tables.index import CATALOG
from seed.home.doubt_records import ItemCount
from seed.pipeline.chunks import Sealed
from seed.pipeline.known_chunks import KnownChunks, seal_new
from seed.points.item_totals import Counting
from seed.points.previous_rows import Origin, Segment
from seed.tables.disk_spread import Spread

QUEUED_MAX = 2  # segments; the entries of one take some megabytes


@dataclass(frozen=True)
class CatalogResult:
    """The result of a finished catalog.

    `live` holds every chunk to which the catalog refers, its own segments included. `spread` knows which
    chunks lie together in a file. `held` tells how much of each item the catalog holds.
    """

    pages: tuple[ChunkId, ...]
    entries: int
    files: int
    file_bytes: int
    live: frozenset[ChunkId]
    spread: Spread
    held: tuple[ItemCount, ...] = ()


@dataclass(frozen=True)
class _Segment:
    sealed: Sealed
    row: PageRow
    live: Set[ChunkId]


class Cataloguing:
    """A catalog in the making. It takes sorted entries, and calls `store` with every new segment and page."""

    def __init__(
        self,
        master: MasterKey,
        sealer: ChunkSealer,
        known: KnownChunks,
        store: Callable[[Sealed], None],
        journal: Callable[[bytes], None],
        items: Sequence[bytes] = (),
    ) -> None:
        self._cutter = SegmentCutter(master)
        self._sealer = sealer
        self._known = known
        self._store = store
        self._journal = journal
        self._journalling: Future[None] | None = None
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="catalog")
        self._queue: deque[Future[_Segment]] = deque()
        self._rows: list[CatalogEntry] = []
        self._pending: list[CatalogEntry] = []  # rows that neither a journal nor the basis has yet
        self._bytes = 0
        self._origin: Origin = None
        # The first `_stood` rows of the segment `_standing` came in order, and nothing else since.
        self._standing: Origin = None
        self._stood = 0
        self._same = True  # whether all of these rows stand in one segment
        self._segments: list[PageRow] = []
        self._live: set[ChunkId] = set()
        self._spread = Spread()
        self._last: tuple[bytes, int] = (b"", -1)
        self._added = 0
        self._held = Counting(items)
        self._was_above = False
        self.entries = self.files = self.file_bytes = 0

    def add(
        self, entry: CatalogEntry, origin: Origin = None, *, first: bool = True, above: bool = False
    ) -> None:
        """Add the next row in order, with all its chunks named.

        `origin` is the segment that already contains the row, if any. `first` is False for a further name of
        a file, because the bytes of a file count once. `above` marks a folder above an item: it changes often,
        and for nothing, so such rows stand in segments of their own.
        """
        self._settle(ends=above != self._was_above)
        self._was_above = above
        if origin is not None and first and self._stands(entry, origin):
            return
        self._fall()
        self._add(entry, origin, first=first)

    def _settle(self, *, ends: bool) -> None:
        """Keep the segment that stands whole. If the next row `ends` a segment, cut the rows before it."""
        origin = self._standing
        if origin is not None and self._stood == len(origin.entries):
            if origin.row.segment in self._known and (ends or self._may_end(origin)):
                self._keep(origin)
            else:
                self._fall()
        if ends:
            self._fall()
            if self._rows:
                self._cut()

    def _stands(self, entry: CatalogEntry, origin: Segment) -> bool:
        """Return whether the rows so far are the first rows of a segment.

        If all its rows follow, it is kept as it is.
        """
        if self._standing is None and not self._rows:
            self._standing, self._stood = origin, 0
        if origin is not self._standing or origin.entries[self._stood] is not entry:
            return False  # also if one of its rows came before
        self._stood += 1
        return True

    def _may_end(self, origin: Segment) -> bool:
        """Return whether a segment written now would end where this one ends, for any next row."""
        rows = len(origin.entries)
        return rows == SEGMENT_ROWS_MAX or (
            rows >= SEGMENT_ROWS_MIN and self._cutter.cuts_after(origin.entries[-1].path)
        )

    def _keep(self, origin: Segment) -> None:
        self._standing = None
        self._place(origin.entries[0])
        self._last = self._place(origin.entries[-1])
        for entry in origin.entries:
            self._count(entry)
        kept: Future[_Segment] = Future()
        kept.set_result(_Segment(Sealed(origin.row.segment), origin.row, origin.chunks - {LOST}))
        self._queue.append(kept)
        self._collect_done()

    def _fall(self) -> None:
        """Take the rows of a segment one by one, because the segment does not stand as a whole."""
        origin, self._standing = self._standing, None
        for entry in origin.entries[: self._stood] if origin is not None else ():
            self._add(entry, origin)

    def _place(self, entry: CatalogEntry) -> tuple[bytes, int]:
        """Return the place of a row, which must come after all earlier rows."""
        place = (sort_key(entry.path), entry.part)
        if place <= self._last:
            raise AssertionError(f"{entry.path!r} comes out of order: no reader would take such a catalog")
        return place

    def _count(self, entry: CatalogEntry, *, first: bool = True) -> None:
        self._added += 1
        self._held.add(entry)
        if entry.part == 0:
            self.entries += 1
            if entry.type == FILE:
                self.files += 1
                if first:  # files with holes may have more bytes together than a document can state
                    self.file_bytes = min(self.file_bytes + entry.size, SIZE_END - 1)

    def _add(self, entry: CatalogEntry, origin: Origin, *, first: bool = True) -> None:
        size = sum(map(len, (entry.path, entry.target, entry.xattrs, entry.extents)))
        size += len(entry.chunks) + len(entry.offsets) + len(entry.lengths)
        if self._rows and self._bytes + size > SEGMENT_BYTES_MAX:
            self._cut()
        self._last = self._place(entry)
        self._rows.append(entry)
        if origin is None:
            self._pending.append(entry)
        self._same &= origin is not None and (not self._origin or origin is self._origin)
        self._origin = origin
        self._bytes += size
        self._count(entry, first=first)
        rows = len(self._rows)
        if rows == SEGMENT_ROWS_MAX or (rows >= SEGMENT_ROWS_MIN and self._cutter.cuts_after(entry.path)):
            self._cut()

    def checkpoint(self, reading: Sequence[CatalogEntry] = ()) -> None:
        """Journal all rows that the basis lacks, and `reading`, the first rows of an unfinished file."""
        rows, self._pending = [*self._pending, *reading], []
        if rows:
            self._await_journal()
            self._journalling = self._worker.submit(lambda: self._journal(encode_entries(rows)))

    def finish(self) -> CatalogResult:
        """Seal the remaining rows and the pages over all segments."""
        self._settle(ends=True)
        return replace(self._catalogued(self._settled(), self._live), held=self._held.end())

    def so_far(self) -> CatalogResult:
        """Return the catalog as if it ended here. The caller may add rows after it."""
        self._fall()
        segments, live = self._settled(), self._live
        if self._rows:
            last = self._worker.submit(self._segment, self._rows, [], None).result()
            if last.sealed.record is not None:
                self._store(last.sealed)
            segments, live = [*segments, last.row], live | last.live | {last.sealed.chunk}
        return self._catalogued(segments, live)

    def _settled(self) -> list[PageRow]:
        """Return all segments that were cut, sealed."""
        self._await_journal()
        while self._queue:
            self._collect()
        return self._segments

    def _catalogued(self, segments: Sequence[PageRow], live: Set[ChunkId]) -> CatalogResult:
        if sum(row.rows for row in segments) != self._added:
            raise AssertionError("a segment of the catalog was lost: no such catalog may be signed")
        if len({row.segment for row in segments}) != len(segments):
            raise AssertionError("a segment of the catalog stands there twice: no such catalog may be signed")
        page_ids = []
        for page in pages(segments):
            sealed = self._seal(encode_page(page))
            if sealed.record is not None:
                self._store(sealed)
            page_ids.append(sealed.chunk)
        live = frozenset((*live, *page_ids))
        return CatalogResult(tuple(page_ids), self.entries, self.files, self.file_bytes, live, self._spread)

    def close(self) -> None:
        self._worker.shutdown(wait=True)

    def _await_journal(self) -> None:
        if self._journalling is not None:
            self._journalling.result()

    def _cut(self) -> None:
        kept = self._origin.row if self._origin and self._same and self._is_whole(self._origin) else None
        self._queue.append(self._worker.submit(self._segment, self._rows, self._pending, kept))
        self._rows, self._pending, self._bytes = [], [], 0
        self._origin, self._same = None, True
        self._collect_done()

    def _collect_done(self) -> None:
        while self._queue and (self._queue[0].done() or len(self._queue) > QUEUED_MAX):
            self._collect()

    def _collect(self) -> None:
        segment = self._queue.popleft().result()
        if segment.sealed.record is not None:
            self._store(segment.sealed)
        self._segments.append(segment.row)
        self._live.add(segment.sealed.chunk)
        self._live |= segment.live

    def _is_whole(self, origin: Origin) -> bool:
        """Return whether the rows at hand are all the rows of their segment.

        Equal rows have equal bytes, so nothing is encoded to compare.
        """
        if origin is None or origin.row.segment not in self._known:  # its archive is lost
            return False
        rows, first, last = len(self._rows), self._rows[0].path, self._rows[-1].path
        return (origin.row.rows, origin.row.first, origin.row.last) == (rows, first, last)

    def _segment(
        self, rows: list[CatalogEntry], pending: list[CatalogEntry], kept: PageRow | None
    ) -> _Segment:
        if kept is not None:
            live = {chunk for entry in rows for chunk in entry.chunk_ids()} - {LOST}
            return _Segment(Sealed(kept.segment), kept, live)
        raw = encode_entries(rows)
        self._spread.add(rows)
        if pending:
            self._journal(encode_entries(pending) if len(pending) < len(rows) else raw)
        sealed = self._seal(raw)
        row = PageRow(sealed.chunk, len(rows), rows[0].path, rows[-1].path)
        return _Segment(sealed, row, referenced(raw))

    def _seal(self, raw: bytes) -> Sealed:
        return seal_new(self._sealer, self._known, CATALOG, raw)
