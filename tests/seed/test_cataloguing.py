"""The largest entries: none is too large for the catalog, and the kept part of each fits into one archive."""

import random
import struct

from formats.documents.manifest import Totals
from formats.ids import ChunkId
from formats.keyed.catalog import FILE, PATH_MAX, ROW_CHUNKS_MAX, SIZE_END, CatalogEntry, PageRow, pages
from formats.keyed.chunk import RECORD_OVERHEAD
from formats.keyed.segments import encode_page
from formats.tables.archive import smallest_for
from seed.pipeline.packing import METADATA_SIZE
from seed.source.xattrs import KEPT_MAX, pack
from tests.seed.test_kept_segments import Stored, catalogue, segments

EXTENTS = 100_000  # the most regions of one file that the reader reports


def test_sizes_that_pass_63_bits_together_are_told_as_the_most_that_can_be_told() -> None:
    stored: Stored = {}
    entries = [
        CatalogEntry(b"a", FILE, size=SIZE_END - 1),
        CatalogEntry(b"b", FILE, size=2),
        CatalogEntry(b"c", FILE, size=1),
    ]
    catalogued = catalogue([(entry, None) for entry in entries], stored)
    assert [entry for _, found in segments(catalogued, stored) for entry in found] == entries
    totals = Totals(entries=3, files=3, file_bytes=catalogued.file_bytes, archives=0, archive_bytes=0, lost=0)
    assert totals.file_bytes == SIZE_END - 1
    assert Totals.from_json(totals.to_json(), "totals") == totals


def largest(name: bytes) -> CatalogEntry:
    """Return the largest possible row, of bytes that do not compress."""
    chance = random.Random(7)
    size = 2 * EXTENTS
    return CatalogEntry(
        b"/".join([name, *[chance.randbytes(100).hex().encode()] * (PATH_MAX // 201 - 1)]),
        FILE,
        size=size,
        target=chance.randbytes(4096).replace(b"\0", b"1"),
        xattrs=attributes(KEPT_MAX, chance),
        extents=b"".join(struct.pack("<QQ", 2 * at, 1) for at in range(EXTENTS)),
    ).in_whole_chunks(
        chance.randbytes(32 * ROW_CHUNKS_MAX),
        b"".join(chance.randrange(1, 1 << 24).to_bytes(4, "little") for _ in range(ROW_CHUNKS_MAX)),
    )


def attributes(size: int, chance: random.Random) -> bytes:
    """Return extended attributes that take so many bytes."""
    head = len(pack([(b"user.0000", b"")]))
    count, rest = divmod(size, 60_000 + head)
    sizes = [60_000] * (count - 1) + [30_000, 30_000 + rest - head]
    packed = pack([(b"user.%04d" % number, chance.randbytes(length)) for number, length in enumerate(sizes)])
    assert len(packed) == size
    return packed


def test_rows_of_all_sizes_lie_in_segments_that_fit_into_an_archive() -> None:
    stored: Stored = {}
    names = [b"%04d" % number for number in range(600)]
    entries = [CatalogEntry(name, FILE, xattrs=pack([(b"user.a", bytes(range(256)) * 50)])) for name in names]
    for at in (0, 100, 101, 599):
        entries[at] = largest(names[at])
    catalogued = catalogue([(entry, None) for entry in entries], stored)
    assert [entry for _, found in segments(catalogued, stored) for entry in found] == entries
    for raw in stored.values():
        assert smallest_for(len(raw) + RECORD_OVERHEAD) <= METADATA_SIZE


def test_pages_of_long_paths_fit_into_an_archive() -> None:
    rows = [
        PageRow(
            ChunkId(b"\1" * 32), 1, b"%04d" % n + b"a" * (PATH_MAX - 5), b"%04d" % n + b"b" * (PATH_MAX - 5)
        )
        for n in range(200)
    ]
    cut = [*pages(rows)]
    assert [row for page in cut for row in page] == rows
    assert all(smallest_for(len(encode_page(page)) + RECORD_OVERHEAD) <= METADATA_SIZE for page in cut)
