"""Segments of a catalog that the next one keeps unread: the result equals a new encoding of all rows."""

import struct
from collections.abc import Collection, Iterator

import pytest

from formats.ids import ChunkId
from formats.keyed.catalog import FILE, FOLDER, ROW_CHUNKS_MAX, CatalogEntry, PageRow, in_parts
from formats.keyed.chunk import ChunkSealer
from formats.keyed.keys import MasterKey
from formats.keyed.segments import decode_entries, decode_page
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
        CatalogEntry(b"a/%05d" % n, FILE, size=3).in_bundle(ChunkId(b"\xff" * 32), 0, bytes(16))
        for n in range(400)
    ]
    small[7] = small[7]._replace(mode=int(edited))
    lengths = struct.pack("<I", 1000) * count
    long = CatalogEntry(b"long", FILE, size=1000 * count).in_whole_chunks(chunks, lengths)
    return [*small, long, CatalogEntry(b"m", FILE), *(CatalogEntry(b"z/%05d" % n, FILE) for n in range(400))]


def catalogue(
    entries: list[tuple[CatalogEntry, Segment | None]], stored: Stored, above: Collection[bytes] = ()
) -> CatalogResult:
    sealer, known = ChunkSealer(MASTER, 1), KnownChunks()
    known.add_all(stored)

    def store(sealed: object) -> None:
        stored[sealed.chunk] = sealer.open(CATALOG, sealed.chunk, sealed.record, "test")  # type: ignore[attr-defined]

    made = Cataloguing(MASTER, sealer, known, store, lambda _: None)
    for entry, origin in entries:
        for part in in_parts(entry):
            made.add(part, origin, above=entry.path in above)
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


ABOVE = (b"home", b"srv", b"srv/www")


def two_items(changed: bytes = b"") -> list[CatalogEntry]:
    """Return the rows of two items below /home and /srv/www, one of which has `changed`."""
    folders = [
        CatalogEntry(path, FOLDER, mode=int(path == changed)) for path in (*ABOVE, b"home/a", b"srv/www/b")
    ]
    files = [
        CatalogEntry(b"%b/%04d" % (item, n), FILE) for item in (b"home/a", b"srv/www/b") for n in range(100)
    ]
    return sorted((*folders, *files), key=lambda entry: entry.place)


def test_folders_above_items_stand_in_segments_of_their_own() -> None:
    stored: Stored = {}
    first = catalogue([(entry, None) for entry in two_items()], stored, ABOVE)
    found = [[entry.path for entry in entries] for _, entries in segments(first, stored)]
    assert [paths for paths in found if paths[0] in ABOVE] == [[b"home"], [b"srv", b"srv/www"]]
    assert len(found) == 4


@pytest.mark.parametrize("changed", ABOVE)
def test_a_change_above_an_item_costs_a_small_segment(changed: bytes) -> None:
    stored: Stored = {}
    first = catalogue([(entry, None) for entry in two_items()], stored, ABOVE)
    before = {entry.path: (entry, origin) for entry, origin in of_segments(segments(first, stored))}
    now = [before[e.path] if e == before[e.path][0] else (e, None) for e in two_items(changed)]
    old = {*stored}
    second = catalogue(now, stored, ABOVE)
    assert [entry for _, found in segments(second, stored) for entry in found] == two_items(changed)
    assert len({*stored} - old) == 2  # a segment, and the page
    assert sum(len(stored[chunk]) for chunk in {*stored} - old) < 1000
