"""The catalog: rows come back from segments and pages, cuts follow content, and every flaw has its rule."""

import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.errors import FormatError
from formats.ids import ChunkId
from formats.keyed.catalog import ENTRIES as TABLE_OF_ENTRIES
from formats.keyed.catalog import (
    ENTRY_SCHEMA,
    FILE,
    FOLDER,
    HEAD,
    LOST,
    MAGIC,
    PAGE_SCHEMA,
    PAGES,
    SEGMENT_ROWS_MAX,
    SYMLINK,
    TYPES,
    CatalogEntry,
    PageRow,
    SegmentCutter,
    check_parts,
    decode_entries,
    decode_page,
    encode_entries,
    encode_page,
    pages,
    referenced,
    sort_key,
)
from formats.keyed.keys import MasterKey
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
    assert [*CatalogEntry._fields] == ENTRY_SCHEMA.names
    assert [f.name for f in fields(PageRow)] == PAGE_SCHEMA.names


def test_a_segment_refers_to_the_chunks_of_its_rows() -> None:
    expected = {chunk for e in ENTRIES for chunk in e.chunk_ids()}
    assert referenced(SEGMENT) == expected == {ChunkId(drawn(n, 32)) for n in ("bundle", "h", "x", "y", "z")}


def test_an_entry_tells_its_chunks_regions_and_times() -> None:
    holes = next(e for e in ENTRIES if e.path == b"holes")
    assert holes.data_extents() == [(4096, 8), (1 << 32, 3)]
    large = next(e for e in ENTRIES if e.path == b"large")
    assert large.chunk_lengths() == (4 << 20, 3 << 20)
    assert large.data_extents() == [(0, 7 << 20)]
    assert next(e for e in ENTRIES if e.path == b"empty hole").data_extents() == []
    assert large.modified == 1_700_000_000_123_456_789
    assert large.changed == 1_700_000_001_000_000_001


# The head


HEADS: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda d: b"",
    "cut in the head": lambda d: d[:19],
    "only a head": lambda d: d[:20],
    "another magic": lambda d: patched(d, 0, b"offsCAT2"),
    "table 0": lambda d: patched(d, 8, b"\0"),
    "table 3": lambda d: patched(d, 8, b"\3"),
    "the other table": lambda d: patched(d, 8, bytes([3 - d[8]])),
    "padding, first byte": lambda d: patched(d, 9, b"\1"),
    "padding, last byte": lambda d: patched(d, 11, b"\x80"),
    "cut by a byte": lambda d: d[:-1],
    "a stray byte": lambda d: d + b"\0",
    "too many rows": lambda d: patched(d, 12, struct.pack("<I", SEGMENT_ROWS_MAX + 1)),
    "the most rows": lambda d: patched(d, 12, b"\xff" * 4),
}


@pytest.mark.parametrize("flaw", HEADS)
def test_every_flaw_of_the_head_is_refused_before_parquet_is_parsed(
    flaw: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def parsed(*_: object) -> None:
        raise AssertionError("parsed")

    monkeypatch.setattr("formats.keyed.parquet.pq.ParquetFile", parsed)
    assert outcome(decode_entries, HEADS[flaw](SEGMENT), "here") == (FormatError, "CAT-1")
    assert outcome(decode_page, HEADS[flaw](PAGE_BYTES), "here") == (FormatError, "CAT-1")


# Parquet behind a good head


def framed(packed: bytes, rows: int, table: int = TABLE_OF_ENTRIES) -> bytes:
    return HEAD.pack(MAGIC, table, rows, len(packed)) + packed


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    plain = {"compression": "none", "use_dictionary": False}
    pq.write_table(table, sink, store_schema=False, **{**plain, **options})
    return bytes(sink.getvalue())


def columns(entries: Sequence[CatalogEntry] = ENTRIES) -> dict[str, pa.Array]:
    return {f.name: pa.array([getattr(e, f.name) for e in entries], f.type) for f in ENTRY_SCHEMA}


def table(schema: pa.Schema = ENTRY_SCHEMA, **changed: pa.Array) -> pa.Table:
    made = {**columns(), **changed}
    return pa.Table.from_arrays([made[name] for name in schema.names], schema=schema)


def retyped(name: str, kind: pa.DataType) -> pa.Table:
    at = ENTRY_SCHEMA.get_field_index(name)
    return table(
        ENTRY_SCHEMA.set(at, pa.field(name, kind, nullable=False)), **{name: columns()[name].cast(kind)}
    )


def renamed(old: str, new: str) -> pa.Table:
    return table().rename_columns([new if name == old else name for name in ENTRY_SCHEMA.names])


def nullable(name: str, values: pa.Array) -> pa.Table:
    at = ENTRY_SCHEMA.get_field_index(name)
    return table(ENTRY_SCHEMA.set(at, ENTRY_SCHEMA.field(at).with_nullable(True)), **{name: values})


ROWS = len(ENTRIES)
NO_TEXT = pa.array([b"\xff"] * ROWS, pa.binary()).view(pa.string())
BEHIND: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: framed(b"", ROWS),
    "no Parquet": lambda: framed(bytes(1000), ROWS),
    "Parquet cut": lambda: framed(parquet(table())[:-1], ROWS),
    "Parquet without its start": lambda: framed(parquet(table())[100:], ROWS),
    "fewer rows than the head": lambda: framed(parquet(table()), ROWS + 1),
    "more rows than the head": lambda: framed(parquet(table()), ROWS - 1),
    "two row groups": lambda: framed(parquet(table(), row_group_size=ROWS - 1), ROWS),
    "a column less": lambda: framed(parquet(table().drop_columns(["content"])), ROWS),
    "a column more": lambda: framed(parquet(table().append_column("later", columns()["mode"])), ROWS),
    "columns exchanged": lambda: framed(parquet(table().select(ENTRY_SCHEMA.names[::-1])), ROWS),
    "a column by another name": lambda: framed(parquet(renamed("mode", "mods")), ROWS),
    "a column twice": lambda: framed(parquet(renamed("mode", "uid")), ROWS),
    "a wider integer": lambda: framed(parquet(retyped("mode", pa.uint64())), ROWS),
    "a signed integer": lambda: framed(parquet(retyped("offset", pa.int32())), ROWS),
    "text for bytes": lambda: framed(parquet(retyped("xattrs", pa.string())), ROWS),
    "a column that may be null": lambda: framed(parquet(nullable("mode", columns()["mode"])), ROWS),
    "a null": lambda: framed(parquet(nullable("mode", pa.array([None] * ROWS, pa.uint32()))), ROWS),
    "text that is no UTF-8": lambda: framed(parquet(table(user=NO_TEXT)), ROWS),
    "a page": lambda: framed(PAGE_BYTES[20:], len(PAGE)),
}


@pytest.mark.parametrize("flaw", BEHIND)
def test_parquet_that_differs_from_head_or_schema_is_refused(flaw: str) -> None:
    assert outcome(decode_entries, BEHIND[flaw](), "here") == (FormatError, "CAT-2")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"column_encoding": {"mtime": "BYTE_STREAM_SPLIT"}},
        {"write_statistics": False},
        {"data_page_size": 1, "write_batch_size": 1},
    ],
)
def test_what_another_writer_lays_out_otherwise_is_read(options: dict[str, Any]) -> None:
    assert decode_entries(framed(parquet(table(), **options), ROWS), "here") == list(ENTRIES)


PACKED: dict[str, dict[str, Any]] = {
    "compressed": {"compression": "zstd"},
    "one column compressed": {"compression": {"mode": "snappy"}},
    "with dictionaries": {"use_dictionary": True},
    "with one dictionary": {"use_dictionary": ["user"]},
    "deltas of integers": {"column_encoding": {"inode": "DELTA_BINARY_PACKED"}},
    "deltas of lengths": {"column_encoding": {"path": "DELTA_LENGTH_BYTE_ARRAY"}},
    "deltas of names": {"column_encoding": {"path": "DELTA_BYTE_ARRAY"}},
    "pages of version 2": {"data_page_version": "2.0"},
}


@pytest.mark.parametrize("packed", PACKED)
def test_what_could_unpack_to_more_than_its_bytes_is_refused(packed: str) -> None:
    assert outcome(decode_entries, framed(parquet(table(), **PACKED[packed]), ROWS), "here") == (
        FormatError,
        "CAT-2",
    )


def pages_of(data: bytes, name: str) -> tuple[int, int]:
    """Return the places where the pages of a column begin and end."""
    found = pq.ParquetFile(pa.py_buffer(data)).metadata.row_group(0)
    (column,) = (c for n in range(found.num_columns) if (c := found.column(n)).path_in_schema == name)
    return column.data_page_offset, column.data_page_offset + column.total_compressed_size


LIES: dict[
    str, tuple[bytes, bytes]
] = {  # in Thrift: a data page, PLAIN; a dictionary, RLE_DICTIONARY, DELTA_BYTE_ARRAY
    "a dictionary": (b"\x15\x00", b"\x15\x04"),
    "into a dictionary": (b"\x15\x00\x15\x06\x15\x06", b"\x15\x10\x15\x06\x15\x06"),
    "deltas": (b"\x15\x00\x15\x06\x15\x06", b"\x15\x0e\x15\x06\x15\x06"),
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("name", ["path", "user", "mode"])
def test_the_footer_is_not_believed_about_the_pages(lie: str, name: str) -> None:
    """Refuse pages that differ from the footer: it says plain, but Parquet's reader follows the head of the page."""
    data = parquet(table())
    start, _ = pages_of(data, name)
    old, new = LIES[lie]
    at = data.index(old, start, start + 40)
    assert outcome(decode_entries, framed(patched(data, at, new), ROWS), "here") == (FormatError, "CAT-2")


def test_a_byte_changed_in_the_head_of_a_page_is_refused_or_changes_nothing() -> None:
    data = parquet(table())
    for name in ("path", "mode", "chunks"):
        start, _ = pages_of(data, name)
        for at in range(start, start + 24):
            for bit in range(8):
                changed = patched(data, at, bytes([data[at] ^ 1 << bit]))
                try:
                    rows = decode_entries(framed(changed, ROWS), "here")
                except FormatError:
                    continue
                assert len(rows) == ROWS


def test_a_bomb_is_refused_before_it_unfolds() -> None:
    """Refuse a dictionary with one value of 8 MiB in all 8,192 rows: it takes little room, and 64 GiB in memory."""
    value = pa.DictionaryArray.from_arrays(pa.array([0] * SEGMENT_ROWS_MAX, pa.int32()), [b"x" * (8 << 20)])
    rows = {
        f.name: pa.array([0] * SEGMENT_ROWS_MAX, f.type) for f in ENTRY_SCHEMA if pa.types.is_integer(f.type)
    }
    empty = {
        f.name: pa.array([b""] * SEGMENT_ROWS_MAX, pa.binary()).cast(f.type)
        for f in ENTRY_SCHEMA
        if f.name not in rows
    }
    made = {**empty, **rows, "target": value}
    bomb = pa.table([made[name] for name in ENTRY_SCHEMA.names], names=ENTRY_SCHEMA.names)
    sink = pa.BufferOutputStream()
    pq.write_table(bomb, sink, store_schema=False, compression="none", use_dictionary=["target"])
    data = framed(bytes(sink.getvalue()), SEGMENT_ROWS_MAX)
    assert len(data) < 16 << 20
    before = pa.default_memory_pool().bytes_allocated()
    assert outcome(decode_entries, data, "here") == (FormatError, "CAT-2")
    assert pa.default_memory_pool().bytes_allocated() - before < 1 << 20


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


C, L = chunks("c"), lengths(1)
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
    "half a chunk id": entry(chunks=C[:16]),
    "a chunk id and a half": entry(chunks=C + C[:1], lengths=L),
    "half a region": entry(extents=bytes(8), size=99),
    "half a content id": entry(content=bytes(8)),
    "a long content id": entry(content=bytes(32)),
    "lengths without chunks": entry(lengths=L),
    "a length too many": entry(chunks=C, lengths=L * 2),
    "a length missing": entry(chunks=C * 2, lengths=L),
    "half a length": entry(chunks=C, lengths=L[:2]),
    "chunks without lengths": entry(chunks=C * 2),
    "an empty region": entry(extents=regions((0, 0)), size=9),
    "regions that overlap": entry(extents=regions((0, 5), (4, 5)), size=9),
    "regions out of order": entry(extents=regions((5, 1), (0, 5)), size=9),
    "a region beyond the end": entry(extents=regions((0, 10)), size=9),
    "more bytes than a file can have": entry(size=1 << 63),
    "a NUL in what a link says": CatalogEntry(b"a", SYMLINK, target=b"b\0c"),
    "a mode of 13 bits": entry(mode=1 << 12),
    "a mode of 32 bits": entry(mode=1 << 31),
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


def test_tables_may_be_empty() -> None:
    assert decode_entries(encode_entries([]), "here") == []
    assert decode_page(encode_page([]), "here") == []


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
        lengths=st.just(b""),
        offset=number,
        chunks=st.binary(min_size=32, max_size=32),
        content=st.sampled_from([b"", bytes(16)]),
    )


names = st.sets(
    st.binary(min_size=1, max_size=6).filter(lambda n: not set(n) & {0, 46, 47}), min_size=1, max_size=6
)


@settings(max_examples=examples(40))
@given(data=st.data(), found=names)
def test_what_was_written_comes_back(data: st.DataObject, found: set[bytes]) -> None:
    written = [data.draw(files(path)) for path in sorted(found)]
    raw = encode_entries(written)
    assert decode_entries(raw, "here") == written
    assert referenced(raw) == {ChunkId(e.chunks) for e in written} - {LOST}


@settings(max_examples=examples(150))
@given(data=st.data(), page=st.booleans())
def test_any_bytes_behind_a_good_head_give_rows_or_an_error(data: st.DataObject, page: bool) -> None:
    whole, decode = (PAGE_BYTES, decode_page) if page else (SEGMENT, decode_entries)
    changed = bytearray(whole[HEAD.size :])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at] = data.draw(st.integers(0, 255))
    head = patched(whole[: HEAD.size], 16, struct.pack("<I", len(changed)))
    try:
        decode(head + bytes(changed), "here")
    except FormatError as error:
        assert error.code in ("CAT-2", "CAT-4", "CAT-5", "CAT-6")


@given(data=st.binary(max_size=200), table=st.sampled_from([TABLE_OF_ENTRIES, PAGES]), head=st.booleans())
def test_any_bytes_at_all_are_refused(data: bytes, table: int, head: bool) -> None:
    raw = framed(data, 1, table) if head else data
    expected = "CAT-2" if head else "CAT-1"
    assert outcome(decode_entries if table == TABLE_OF_ENTRIES else decode_page, raw, "here") == (
        FormatError,
        expected,
    )
