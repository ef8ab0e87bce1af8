"""Revisions: an old recovery point that lost archives, as far as it can still be had.

Contents in other archives are found again by their ids: chunks of large files as they are, small files in the
bundle that holds them now. `LOST` replaces the rest. Rows keep their segments, so unchanged segments are
shared.
"""

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

from formats.ids import ChunkId, ContentId
from formats.keyed.catalog import LOST, CatalogEntry, PageRow, pages
from formats.keyed.chunk import ChunkSealer
from formats.keyed.segments import decode_entries, encode_entries, encode_page, referenced, small_files
from formats.tables.index import CATALOG
from seed.pipeline.catalog_writer import CatalogResult
from seed.pipeline.chunks import Sealed
from seed.pipeline.known_chunks import KnownChunks, seal_new
from seed.pipeline.small_file_table import SmallFiles
from seed.points.point_reader import PointReader
from seed.tables.disk_spread import Spread


@dataclass(frozen=True)
class RevisionResult:
    """A point's new catalog, and the paths of the files that are lost, wholly or in part."""

    catalogued: CatalogResult
    lost: tuple[bytes, ...]


class Revising:
    """A reviser of the points of one master key.

    `known` are the chunks that can be had. `store` is called with every segment and page that is new.
    """

    def __init__(self, sealer: ChunkSealer, known: KnownChunks, store: Callable[[Sealed], None]) -> None:
        self._sealer = sealer
        self._known = known
        self._store = store
        self._small = SmallFiles()
        self._learnt: set[ChunkId] = set()

    def learn(self, reader: PointReader) -> None:
        """Learn where the small files of a point lie, from segments not learnt before.

        Raises IntegrityError, FormatError, StoreError, MediaError if its catalog cannot be read to its end.
        """
        for row in reader.page_rows():
            if row.segment in self._learnt:
                continue
            self._small.learn(list(small_files(reader.chunk(row.segment, CATALOG))), self._known)
            self._learnt.add(row.segment)

    def has(self, content: ContentId) -> bool:
        """Return whether a small file's content lies in a bundle that can be had."""
        return self._small.get(content) is not None

    def remember(self, files: Sequence[tuple[bytes, ChunkId, int]]) -> None:
        """Note where small files lie by now: content id, bundle, offset in it."""
        self._small.learn(files, self._known)

    def revise(self, reader: PointReader) -> RevisionResult:
        """Return the point as it can be had now.

        Raises IntegrityError, FormatError, StoreError if its catalog cannot be read.
        """
        lost: dict[bytes, None] = {}
        live: set[ChunkId] = set()
        segments = [self._segment(reader, row, live, lost) for row in reader.page_rows()]
        page_ids = tuple(self._seal(encode_page(page)) for page in pages(segments))
        totals = reader.point.manifest.totals
        live.update(page_ids)
        catalogued = CatalogResult(
            page_ids, totals.entries, totals.files, totals.file_bytes, frozenset(live), Spread()
        )
        return RevisionResult(catalogued, tuple(lost))

    def lost(self, reader: PointReader) -> set[bytes]:
        """Return the files that a revision of this point would lose; store nothing. Raises as `revise`."""
        return {
            entry.path
            for row in reader.page_rows()
            for entry in self._rows(reader.chunk(row.segment, CATALOG), row)[1]
            if entry.is_lost
        }

    def _segment(
        self, reader: PointReader, row: PageRow, live: set[ChunkId], lost: dict[bytes, None]
    ) -> PageRow:
        raw = reader.chunk(row.segment, CATALOG)
        entries, mended = self._rows(raw, row)
        if mended != entries:
            raw = encode_entries(mended)
        lost.update((entry.path, None) for entry in mended if entry.is_lost)
        segment = self._seal(raw)
        live |= referenced(raw)
        live.add(segment)
        return PageRow(segment, row.rows, row.first, row.last)

    def _rows(self, raw: bytes, row: PageRow) -> tuple[list[CatalogEntry], list[CatalogEntry]]:
        """Return the rows of a segment as they are, and as they can be had now."""
        entries = decode_entries(raw, f"segment {row.segment.hex()[:16]}")
        missing = self._known.missing({chunk for entry in entries for chunk in entry.chunk_ids()})
        return entries, [self._mended(entry, missing) for entry in entries] if missing else entries

    def _mended(self, entry: CatalogEntry, missing: Set[ChunkId]) -> CatalogEntry:
        """Return the row with references to chunks that can be had, and `LOST` in place of the others."""
        ids = entry.chunk_ids()
        if missing.isdisjoint(ids):
            return entry
        if entry.content:
            place = self._small.get(ContentId(entry.content))
            if place is None:
                return entry._replace(chunks=LOST)
            assert place[0].id is not None
            return entry.in_bundle(place[0].id, place[1], entry.content)
        return entry._replace(chunks=b"".join(LOST if chunk in missing else chunk for chunk in ids))

    def _seal(self, raw: bytes) -> ChunkId:
        sealed = seal_new(self._sealer, self._known, CATALOG, raw)
        if sealed.record is not None:
            self._store(sealed)
        return sealed.chunk
