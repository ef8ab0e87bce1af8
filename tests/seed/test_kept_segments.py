"""Segments of a catalog that the next one keeps unread: the result equals a new encoding of all rows."""

import struct
from collections.abc import Iterator

import pytest

from formats.ids import ChunkId
from formats.keyed.catalog import (
    FILE,
    ROW_CHUNKS_MAX,
    CatalogEntry,
    PageRow,
    decode_entries,
    decode_page,
    in_parts,
)
from formats.keyed.chunk import ChunkSealer
from formats.keyed.keys import MasterKey
from formats.tables.index import CATALOG
from seed.pipeline.catalog_writer import CatalogResult, Cataloguing
from seed.pipeline.known_chunks import KnownChunks
from seed.points.previous_rows import Segment, of_segments

MASTER = MasterKey.generate()
Stored = dict[ChunkId, bytes]


def rows(edited: bool, parts: int) -> list[CatalogEntry]:
    """Return some hundred small rows, one of them `edited` on request, with a file of many rows in the middle."""
    count = parts * ROW_CHUNKS_MAX - 7
    chunks = b"".join(number.to_bytes(32, "little") for number in range(1, count + 1))
    small = [
        CatalogEntry(b"a/%05d" % n, FILE, size=3, content=bytes(16), chunks=b"\xff" * 32) for n in range(400)
    ]
    small[7] = small[7]._replace(mode=int(edited))
    long = CatalogEntry(
        b"long", FILE, size=1000 * count, chunks=chunks, lengths=struct.pack("<I", 1000) * count
    )
    return [*small, long, CatalogEntry(b"m", FILE), *(CatalogEntry(b"z/%05d" % n, FILE) for n in range(400))]


def catalogue(entries: list[tuple[CatalogEntry, Segment | None]], stored: Stored) -> CatalogResult:
    sealer, known = ChunkSealer(MASTER, 1), KnownChunks()
    known.add_all(stored)

    def store(sealed: object) -> None:
        stored[sealed.chunk] = sealer.open(CATALOG, sealed.chunk, sealed.record, "test")  # type: ignore[attr-defined]

    made = Cataloguing(MASTER, sealer, known, store, lambda _: None)
    for entry, origin in entries:
        for part in in_parts(entry):
            made.add(part, origin)
    catalogued = made.finish()
    made.close()
    return catalogued


def segments(catalogued: CatalogResult, stored: Stored) -> Iterator[tuple[PageRow, list[CatalogEntry]]]:
    for page in catalogued.pages:
        for row in decode_page(stored[page], "page"):
            yield row, decode_entries(stored[row.segment], "segment")


@pytest.mark.parametrize("parts", [1, 3, 29, 58, 64])
@pytest.mark.parametrize("edited", [False, True])
@pytest.mark.parametrize("very", [False, True], ids=["equal", "the very row"])
def test_what_is_kept_is_what_would_be_written(parts: int, edited: bool, very: bool) -> None:
    stored: Stored = {}
    first = catalogue([(entry, None) for entry in rows(False, parts)], stored)
    before = {entry.path: (entry, origin) for entry, origin in of_segments(segments(first, stored))}
    now = rows(edited, parts)
    origins = [before[e.path][1] if e == before[e.path][0] else None for e in now]
    if very:
        now = [before[e.path][0] if origin is not None else e for e, origin in zip(now, origins, strict=True)]
    second = catalogue(list(zip(now, origins, strict=True)), stored)
    assert [entry for entry, _ in of_segments(segments(second, stored))] == rows(edited, parts)
    chunks = {chunk for entry in rows(edited, parts) for chunk in entry.chunk_ids()}
    kept = {row.segment for row, _ in segments(second, stored)}
    assert second.live == chunks | kept | set(second.pages)
    assert (second.pages == first.pages) == (not edited)
