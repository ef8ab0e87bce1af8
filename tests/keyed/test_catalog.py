"""The catalog: rows come back from segments and pages, cuts follow content, and every flaw has its rule."""

import json
import struct
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.errors import FormatError
from formats.ids import ChunkId
from formats.keyed.catalog import (
    FILE,
    FOLDER,
    LOST,
    SEGMENT_ROWS_MAX,
    SYMLINK,
    TYPES,
    CatalogEntry,
    PageRow,
    SegmentCutter,
    check_parts,
    pages,
    sort_key,
)
from formats.keyed.keys import MasterKey
from formats.keyed.segments import (
    ENTRY_COLUMNS,
    HEAD,
    MAGIC,
    PAGE_COLUMNS,
    PAGE_MAGIC,
    Segment,
    decode_entries,
    decode_page,
    encode_entries,
    encode_page,
    referenced,
)
from seed.source.xattrs import pack
from tests.effort import examples
from tests.tables.flaws import outcome, patched
from tests.vectors.catalog import ENTRIES, PAGE, chunks, lengths, regions
from tests.vectors.generate import DATA
from tests.vectors.keyed import MASTER
from tests.vectors.tables import drawn

SEGMENT = (DATA / "segment.bin").read_bytes()
PAGE_BYTES = (DATA / "page.bin").read_bytes()


def test_the_golden_segment_gives_its_rows() -> None:
    assert decode_entries(SEGMENT, "here") == list(ENTRIES)


def test_the_golden_page_gives_its_rows() -> None:
    assert decode_page(PAGE_BYTES, "here") == list(PAGE)


def test_the_golden_cuts_are_made() -> None:
    golden = json.loads((DATA / "cuts.json").read_bytes())
    cutter = SegmentCutter(MASTER)
    assert [p for n in range(20_000) if cutter.cuts_after((p := f"folder/{n}").encode())] == golden
    other = SegmentCutter(MasterKey(bytes(32)))
    assert not all(other.cuts_after(path.encode()) for path in golden)


def test_columns_and_members_of_an_entry_are_the_same() -> None:
    of_pieces = ("chunks", "offsets", "lengths")
    assert [n for n in CatalogEntry._fields if n not in of_pieces] == [
        n for n in ENTRY_COLUMNS if n != "pieces"
    ]
    assert [f.name for f in fields(PageRow)] == [*PAGE_COLUMNS]


def test_a_segment_refers_to_the_chunks_of_its_rows() -> None:
    expected = {chunk for e in ENTRIES for chunk in e.chunk_ids()}
    assert referenced(SEGMENT) == expected == {ChunkId(drawn(n, 32)) for n in ("bundle", "h", "x", "y", "z")}


def test_an_entry_tells_its_chunks_regions_and_times() -> None:
    holes = next(e for e in ENTRIES if e.path == b"holes")
    assert holes.data_extents() == [(4096, 8), (1 << 32, 3)]
    large = next(e for e in ENTRIES if e.path == b"large")
    assert large.piece_lengths() == (4 << 20, 3 << 20)
    assert large.data_extents() == [(0, 7 << 20)]
    assert next(e for e in ENTRIES if e.path == b"empty hole").data_extents() == []
    assert large.modified == 1_700_000_000_123_456_789
    assert large.changed == 1_700_000_001_000_000_001


# The head


HEADS: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda d: b"",
    "cut in the head": lambda d: d[:11],
    "another magic": lambda d: patched(d, 0, b"offsCAT2"),
    "the other table": lambda d: PAGE_BYTES if d is SEGMENT else SEGMENT,
    "no rows": lambda d: patched(d, 8, bytes(4)),
    "too many rows": lambda d: patched(d, 8, struct.pack("<I", SEGMENT_ROWS_MAX + 1)),
    "the most rows": lambda d: patched(d, 8, b"\xff" * 4),
}


@pytest.mark.parametrize("flaw", HEADS)
def test_every_flaw_of_the_head_is_refused(flaw: str) -> None:
    assert outcome(decode_entries, HEADS[flaw](SEGMENT), "here") == (FormatError, "CAT-1")
    assert outcome(decode_page, HEADS[flaw](PAGE_BYTES), "here") == (FormatError, "CAT-1")


# The columns behind a good head


LONGER: dict[str, Callable[[bytes], bytes]] = {
    "only a head": lambda d: d[: HEAD.size],
    "cut by a byte": lambda d: d[:-1],
    "a stray byte": lambda d: d + b"\0",
    "a row more": lambda d: patched(d, 8, (int.from_bytes(d[8:12], "little") + 1).to_bytes(4, "little")),
    "a row less": lambda d: patched(d, 8, (int.from_bytes(d[8:12], "little") - 1).to_bytes(4, "little")),
}


@pytest.mark.parametrize("flaw", LONGER)
def test_columns_end_where_the_table_ends(flaw: str) -> None:
    assert outcome(decode_entries, LONGER[flaw](SEGMENT), "here") == (FormatError, "CAT-2")
    assert outcome(decode_page, LONGER[flaw](PAGE_BYTES), "here") == (FormatError, "CAT-2")


@pytest.mark.parametrize("table", range(3))
@pytest.mark.parametrize("step", [-1, 1])
def test_the_tables_have_the_rows_that_the_head_claims(table: int, step: int) -> None:
    at = 12 + 4 * table
    claimed = int.from_bytes(SEGMENT[at : at + 4], "little") + step
    flawed = patched(SEGMENT, at, claimed.to_bytes(4, "little"))
    assert outcome(decode_entries, flawed, "here") == (FormatError, "CAT-2")


def altered(**columns: object) -> bytes:
    """Return a segment of the golden rows with other columns of entries."""
    segment = Segment.of(ENTRIES)
    return replace(segment, entries={**segment.entries, **columns}).encode()


COUNTS = Segment.of(ENTRIES).entries
BEHIND: dict[str, Callable[[], bytes]] = {
    "a user that is no UTF-8": lambda: altered(user=[b"\xff"] * len(ENTRIES)),
    "a group that is no UTF-8": lambda: altered(group=[b"\xed\xa0\x80"] * len(ENTRIES)),
    "a piece of nobody": lambda: altered(pieces=[*COUNTS["pieces"][:-1], 1]),
    "an extent of nobody": lambda: altered(extents=[*COUNTS["extents"][:-1], 1]),
    "more pieces than a number holds": lambda: altered(pieces=[(1 << 32) - 1] * len(ENTRIES)),
}


@pytest.mark.parametrize("flaw", BEHIND)
def test_columns_that_contradict_each_other_are_refused(flaw: str) -> None:
    assert outcome(decode_entries, BEHIND[flaw](), "here") == (FormatError, "CAT-2")


def refused_in_little_memory(lie: bytes) -> None:
    tracemalloc.start()
    try:
        assert outcome(decode_entries, lie, "here") == (FormatError, "CAT-2")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("table", range(3))
def test_a_claim_of_four_thousand_million_rows_allocates_nothing(table: int) -> None:
    refused_in_little_memory(patched(SEGMENT, 12 + 4 * table, b"\xff" * 4))


def test_a_string_of_four_thousand_million_bytes_allocates_nothing() -> None:
    highest = HEAD.size + 3 * len(ENTRIES)  # the highest byte of the first length
    refused_in_little_memory(patched(SEGMENT, highest, b"\xff"))


# Pieces


def pieced(pieces: Sequence[tuple[int, int, int]], ids: bytes, of: CatalogEntry | None = None) -> bytes:
    """Return a segment of one entry with these pieces: number of the chunk, offset, length."""
    segment = Segment.of([entry(size=sum(length for _, _, length in pieces)) if of is None else of])
    columns = {**segment.entries, "pieces": [len(pieces)]}
    chunk, offset, length = zip(*pieces, strict=True)
    return replace(
        segment, entries=columns, pieces={"chunk": chunk, "offset": offset, "length": length}, chunks=ids
    ).encode()


def test_any_part_of_any_chunk_may_be_a_piece() -> None:
    (made,) = decode_entries(pieced([(0, 5, 7), (1, 0, 1), (0, 0, 5)], chunks("c", "d")), "here")
    c, d = made.chunk_ids()[:2]
    assert [*made.pieces()] == [(c, 5, 7), (d, 0, 1), (c, 0, 5)]


ODD_PIECES: dict[str, Callable[[], bytes]] = {
    "a chunk that is not there": lambda: pieced([(0, 0, 1), (1, 0, 1)], chunks("c")),
    "a chunk without a use": lambda: pieced([(0, 0, 1)], chunks("c", "d")),
    "chunks in another order": lambda: pieced([(1, 0, 1), (0, 0, 1)], chunks("c", "d")),
    "no chunk at all": lambda: pieced([(0, 0, 1)], b""),
    "an empty piece": lambda: pieced([(0, 0, 0)], chunks("c")),
    "a piece beyond any chunk": lambda: pieced([(0, (16 << 20) - 1, 2)], chunks("c")),
    "a piece that wraps": lambda: pieced([(0, (1 << 32) - 1, (1 << 32) - 1)], chunks("c")),
    "content of a folder": lambda: pieced([(0, 0, 1)], chunks("c"), CatalogEntry(b"a", FOLDER)),
    "a small file in two pieces": lambda: pieced(
        [(0, 0, 1), (0, 1, 1)], chunks("c"), entry(size=2, content=bytes(16))
    ),
    "a small file in no piece": lambda: encode_entries([entry(content=bytes(16))]),
    "a small file's second part": lambda: pieced([(0, 0, 1)], chunks("c"), entry(part=1, content=bytes(16))),
}


@pytest.mark.parametrize("flaw", ODD_PIECES)
def test_pieces_that_no_honest_writer_makes_are_refused(flaw: str) -> None:
    assert outcome(decode_entries, ODD_PIECES[flaw](), "here") == (FormatError, "CAT-5")


# Rows


PARTS: dict[str, list[CatalogEntry]] = {
    "the first is missing": [CatalogEntry(b"a", FILE, part=1)],
    "one is missing": [CatalogEntry(b"a", FILE), CatalogEntry(b"a", FILE, part=2)],
    "of another file": [CatalogEntry(b"a", FILE), CatalogEntry(b"b", FILE, part=1)],
    "of a folder": [CatalogEntry(b"a", FOLDER), CatalogEntry(b"a", FILE, part=1)],
}


@pytest.mark.parametrize("flaw", PARTS)
def test_a_part_of_a_file_comes_after_the_part_before_it(flaw: str) -> None:
    """Refuse parts of a file in another order: a restore would leave the file out, and say nothing."""
    assert outcome(check_parts, None, PARTS[flaw], "here") == (FormatError, "CAT-4")
    for at in range(1, len(PARTS[flaw])):
        assert outcome(check_parts, PARTS[flaw][at - 1], PARTS[flaw][at:], "here") == (FormatError, "CAT-4")


def test_parts_in_their_order_are_taken() -> None:
    rows = [
        CatalogEntry(b"a", FILE),
        *(CatalogEntry(b"b", FILE, part=n) for n in range(3)),
        CatalogEntry(b"c", FOLDER),
    ]
    check_parts(None, rows, "here")
    check_parts(rows[2], rows[3:], "here")


def entry(path: bytes = b"a", **members: Any) -> CatalogEntry:
    return CatalogEntry(path, FILE, **members)


UNSORTED: dict[str, list[CatalogEntry]] = {
    "a path twice": [entry(), entry()],
    "paths exchanged": [entry(b"b"), entry(b"a")],
    "by bytes, not by components": [entry(b"a-b"), entry(b"a/b")],
    "a folder after its entries": [entry(b"a/b"), entry(b"a")],
    "parts exchanged": [entry(part=1), entry(part=0)],
    "a part twice": [entry(part=1), entry(part=1)],
}


@pytest.mark.parametrize("flaw", UNSORTED)
def test_rows_out_of_order_are_refused(flaw: str) -> None:
    assert outcome(decode_entries, encode_entries(UNSORTED[flaw]), "here") == (FormatError, "CAT-4")


WRONG_ROWS: dict[str, CatalogEntry] = {
    "no path": entry(b""),
    "an absolute path": entry(b"/a"),
    "a slash at the end": entry(b"a/"),
    "two slashes": entry(b"a//b"),
    "a dot": entry(b"."),
    "a dot inside": entry(b"a/./b"),
    "two dots": entry(b".."),
    "two dots inside": entry(b"a/../../b"),
    "two dots at the end": entry(b"a/.."),
    "a NUL": entry(b"a\0b"),
    "type 0": entry()._replace(type=0),
    "type 8": entry()._replace(type=8),
    "a second of nanoseconds": entry(mtime_ns=10**9),
    "a second of nanoseconds of the other time": entry(ctime_ns=(1 << 32) - 1),
    "half a content id": entry(content=bytes(8)),
    "a long content id": entry(content=bytes(32)),
    "an empty region": entry(extents=regions((0, 0)), size=9),
    "regions that overlap": entry(extents=regions((0, 5), (4, 5)), size=9),
    "regions out of order": entry(extents=regions((5, 1), (0, 5)), size=9),
    "a region beyond the end": entry(extents=regions((0, 10)), size=9),
    "more bytes than a file can have": entry(size=1 << 63),
    "a NUL in what a link says": CatalogEntry(b"a", SYMLINK, target=b"b\0c"),
    "a mode of 13 bits": entry(mode=1 << 12),
    "a mode of 16 bits": entry(mode=1 << 15),
    "an attribute without a name": entry(xattrs=pack([(b"", b"v")])),
    "a NUL in an attribute's name": entry(xattrs=pack([(b"user.a\0b", b"v")])),
    "an attribute cut in its value": entry(xattrs=pack([(b"user.a", b"value")])[:-1]),
    "an attribute cut in its length": entry(xattrs=pack([(b"user.a", b"")])[:-1]),
    "an attribute cut in its name": entry(xattrs=pack([(b"user.a", b"")])[:5]),
    "a byte after the attributes": entry(xattrs=pack([(b"user.a", b"v")]) + b"\0"),
    "a region that wraps": entry(extents=regions((8, (1 << 64) - 1)), size=9),
}


@pytest.mark.parametrize("flaw", WRONG_ROWS)
def test_a_row_that_no_honest_writer_makes_is_refused(flaw: str) -> None:
    assert outcome(decode_entries, encode_entries([WRONG_ROWS[flaw]]), "here") == (FormatError, "CAT-5")


@pytest.mark.parametrize(
    "path", [b"...", b"..a", b".a", b"a/.b", b" ", b"\n", b"\xff\xfe", b"a" * 5000, b"C:\\x"]
)
def test_odd_names_are_names(path: bytes) -> None:
    assert decode_entries(encode_entries([entry(path)]), "here") == [entry(path)]


def row(first: bytes, last: bytes) -> PageRow:
    return PageRow(ChunkId(bytes(32)), 1, first, last)


@pytest.mark.parametrize(
    "rows",
    [
        [row(b"b", b"a")],
        [row(b"a/b", b"a")],
        [row(b"a-b", b"a/b")],
        [row(b"a", b"c"), row(b"b", b"d")],
        [row(b"c", b"d"), row(b"a", b"b")],
    ],
)
def test_segments_out_of_order_are_refused(rows: list[PageRow]) -> None:
    assert outcome(decode_page, encode_page(rows), "here") == (FormatError, "CAT-6")


def test_a_large_file_may_span_segments() -> None:
    rows = [row(b"a", b"b"), row(b"b", b"b"), row(b"b", b"c")]
    assert decode_page(encode_page(rows), "here") == rows


def test_no_table_is_empty() -> None:
    assert outcome(decode_entries, encode_entries([]), "here") == (FormatError, "CAT-1")
    assert outcome(decode_page, encode_page([]), "here") == (FormatError, "CAT-1")


def test_the_largest_segment_is_read() -> None:
    many = [entry(b"%06d" % number) for number in range(SEGMENT_ROWS_MAX)]
    assert decode_entries(encode_entries(many), "here") == many
    assert outcome(decode_entries, encode_entries([*many, entry(b"x")]), "here") == (FormatError, "CAT-1")


# Order and cuts


paths = st.lists(
    st.binary(min_size=1, max_size=3).filter(lambda n: not set(n) & {0, 47}), min_size=1, max_size=4
)


@given(one=paths, other=paths)
def test_the_order_is_that_of_the_components(one: list[bytes], other: list[bytes]) -> None:
    """Sort by components, so that a walk through sorted folders meets the entries in this order."""
    assert (sort_key(b"/".join(one)) < sort_key(b"/".join(other))) == (one < other)


def test_a_page_ends_where_a_segments_id_says_or_after_1024_rows() -> None:
    rows = [PageRow(ChunkId(bytes([number % 256 or 1]) + bytes(31)), 1, b"a", b"a") for number in range(3000)]
    assert [len(page) for page in pages(rows)] == [1024, 1024, 952]
    rows[10] = rows[2999] = replace(rows[10], segment=ChunkId(bytes(32)))
    assert [len(page) for page in pages(rows)] == [11, 1024, 1024, 941]
    assert [r for page in pages(rows) for r in page] == rows
    assert list(pages([])) == []


def test_about_one_path_in_two_thousand_is_a_cut_whatever_stands_beside_it() -> None:
    cutter = SegmentCutter(MASTER)
    paths_ = [b"folder/%d" % number for number in range(40_000)]
    cuts = {path for path in paths_ if cutter.cuts_after(path)}
    assert 8 <= len(cuts) <= 40
    assert {path for path in paths_[::-1] if SegmentCutter(MASTER).cuts_after(path)} == cuts


# Properties


def files(path: bytes) -> st.SearchStrategy[CatalogEntry]:
    number = st.integers(0, (1 << 32) - 1)
    name = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    attribute = st.binary(min_size=1, max_size=5).filter(lambda name: b"\0" not in name)
    return st.builds(
        CatalogEntry,
        st.just(path),
        st.sampled_from(sorted(TYPES)),
        st.integers(0, 0o7777),
        number,
        number,
        name,
        name,
        st.integers(0, (1 << 63) - 1),
        st.integers(-(1 << 63), (1 << 63) - 1),
        st.integers(0, 10**9 - 1),
        st.integers(-(1 << 63), (1 << 63) - 1),
        st.integers(0, 10**9 - 1),
        st.integers(0, (1 << 64) - 1),
        st.integers(0, (1 << 64) - 1),
        number,
        st.binary(max_size=9).map(lambda target: target.replace(b"\0", b"")),
        st.integers(0, (1 << 64) - 1),
        st.lists(st.tuples(attribute, st.binary(max_size=9)), max_size=2).map(pack),
        extents=st.just(b""),
        part=st.just(0),
        chunks=st.just(b""),
        offsets=st.just(b""),
        lengths=st.just(b""),
        content=st.just(b""),
    )


def with_content(entry: CatalogEntry, places: list[tuple[bytes, int, int]], content: bytes) -> CatalogEntry:
    if entry.type != FILE or not places:
        return entry
    places = places[:1] if content else places
    ids = b"".join(chunk for chunk, _, _ in places)
    offsets, sizes = zip(*((offset, size) for _, offset, size in places), strict=True)
    return entry.holding(ids, lengths(*offsets), lengths(*sizes), content)


places = st.lists(
    st.tuples(st.binary(min_size=32, max_size=32), st.integers(0, 1 << 20), st.integers(1, 1 << 20)),
    max_size=3,
)


names = st.sets(
    st.binary(min_size=1, max_size=6).filter(lambda n: not set(n) & {0, 46, 47}), min_size=1, max_size=6
)


@settings(max_examples=examples(40))
@given(data=st.data(), found=names)
def test_what_was_written_comes_back(data: st.DataObject, found: set[bytes]) -> None:
    contents = st.sampled_from([b"", bytes(16)])
    written = [
        with_content(data.draw(files(path)), data.draw(places), data.draw(contents)) for path in sorted(found)
    ]
    raw = encode_entries(written)
    assert decode_entries(raw, "here") == written
    assert referenced(raw) == {chunk for e in written for chunk in e.chunk_ids()} - {LOST}


@settings(max_examples=examples(150))
@given(data=st.data(), page=st.booleans())
def test_any_bytes_behind_a_good_head_give_rows_or_an_error(data: st.DataObject, page: bool) -> None:
    whole, decode = (PAGE_BYTES, decode_page) if page else (SEGMENT, decode_entries)
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(12, len(changed) - 1))
        changed[at] = data.draw(st.integers(0, 255))
    try:
        decode(bytes(changed), "here")
    except FormatError as error:
        assert error.code in ("CAT-2", "CAT-4", "CAT-5", "CAT-6")


@given(data=st.binary(max_size=200), page=st.booleans(), head=st.booleans())
def test_any_bytes_at_all_are_refused(data: bytes, page: bool, head: bool) -> None:
    decode, magic = (decode_page, PAGE_MAGIC) if page else (decode_entries, MAGIC)
    raw = magic + b"\x10\0\0\0" + bytes(12) * (not page) + data if head else data
    assert outcome(decode, raw, "here") == (FormatError, "CAT-2" if head else "CAT-1")
