"""Tables of archives: sorted, bounded, cut into objects that a reader takes; every flaw has its rule."""

import struct
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.errors import FormatError
from formats.ids import ArchiveName, Digest
from formats.tables.archive import ARCHIVE_SIZE_MAX, ARCHIVE_SIZE_MIN, CLASSES
from formats.tables.holdings import (
    MAGIC,
    ROW,
    ROWS_MAX,
    Holding,
    decode_rows,
    decode_table,
    encode_rows,
    encode_tables,
)
from formats.tables.index import RECORDS_MAX
from tests.tables.flaws import flips, outcome, patched
from tests.vectors.generate import DATA
from tests.vectors.tables import holding

ORDERED = sorted((holding(number) for number in range(3)), key=lambda h: h.name)
ROWS = encode_rows(ORDERED)


def test_a_row_has_its_layout() -> None:
    row = Holding(ArchiveName(b"n" * 32), Digest(b"d" * 32), 0x01020304, 0x0506, 2)
    assert encode_rows([row]) == b"n" * 32 + b"d" * 32 + b"\4\3\2\1" + b"\6\5\0\0" + b"\2" + bytes(3)


def test_the_golden_table_is_read() -> None:
    expected = sorted((holding(number) for number in range(20)), key=lambda h: h.name)
    assert decode_table((DATA / "holdings.bin").read_bytes(), "here") == expected


FLAWS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut by a byte": (lambda d: d[:-1], "HOLD-2"),
    "cut by padding": (lambda d: d[:-3], "HOLD-2"),
    "a stray byte": (lambda d: d + b"\0", "HOLD-2"),
    "rows exchanged": (lambda d: d[76:152] + d[:76] + d[152:], "HOLD-1"),
    "a row twice": (lambda d: d[:76] + d, "HOLD-1"),
    "one name, two rows": (lambda d: d[:76] + patched(d[:76], 32, bytes(32)) + d[76:], "HOLD-1"),
    "too small": (lambda d: patched(d, 64, struct.pack("<I", ARCHIVE_SIZE_MIN - 1)), "HOLD-2"),
    "too large": (lambda d: patched(d, 64, struct.pack("<I", ARCHIVE_SIZE_MAX + 1)), "HOLD-2"),
    "no records": (lambda d: patched(d, 68, bytes(4)), "HOLD-2"),
    "too many records": (lambda d: patched(d, 68, struct.pack("<I", RECORDS_MAX + 1)), "HOLD-2"),
    "class 0": (lambda d: patched(d, 72, b"\0"), "HOLD-2"),
    "class 3": (lambda d: patched(d, 148, b"\3"), "HOLD-2"),
    "padding, first byte": (lambda d: patched(d, 73, b"\1"), "HOLD-2"),
    "padding, last byte": (lambda d: patched(d, -1, b"\x80"), "HOLD-2"),
}


@pytest.mark.parametrize("flaw", FLAWS)
@pytest.mark.parametrize("view", [bytes, memoryview])
def test_every_flaw_is_refused_by_its_rule(flaw: str, view: Callable[[bytes], bytes]) -> None:
    change, anchor = FLAWS[flaw]
    assert outcome(decode_rows, view(change(ROWS)), "here") == (FormatError, anchor)
    assert outcome(decode_table, MAGIC + change(ROWS), "here") == (FormatError, anchor)


@pytest.mark.parametrize("data", [b"", MAGIC[:-1], b"offsHLD2" + ROWS, ROWS, b"offsIDX1"])
def test_what_is_no_table_is_refused(data: bytes) -> None:
    assert outcome(decode_table, data, "here") == (FormatError, "HOLD-3")


def test_errors_name_the_row() -> None:
    with pytest.raises(FormatError) as caught:
        decode_rows(patched(ROWS, 148, b"\3"), "here")
    assert caught.value.subject == "here[1]"


def test_a_long_list_is_cut_into_tables_that_a_reader_takes() -> None:
    """Cut a list with one row too many into two tables; the joined rows are the sorted list."""
    first = holding(0)
    many = [replace(first, name=ArchiveName(n.to_bytes(32, "big"))) for n in range(1, ROWS_MAX + 2)]
    tables = encode_tables(many[::-1])
    assert [(len(table) - 8) // ROW.size for table in tables] == [ROWS_MAX, 1]
    assert [h for table in tables for h in decode_table(table, "here")] == many
    joined = MAGIC + encode_rows(many)
    assert outcome(decode_table, joined, "here") == (FormatError, "HOLD-3")


def test_of_no_archives_there_is_no_table() -> None:
    assert encode_tables([]) == []


def test_a_flipped_bit_changes_the_row_or_is_refused() -> None:
    for _, data in flips(ROWS):
        try:
            assert decode_rows(data, "here") != ORDERED
        except FormatError as error:
            assert error.code in ("HOLD-1", "HOLD-2")


@pytest.mark.parametrize(("records", "size", "refused"), [(1, 157, False), (2, 157, True), (2, 218, False)])
def test_an_archive_has_room_for_its_records(records: int, size: int, refused: bool) -> None:
    """Refuse an archive that is too small: a reader would look for its index before its first byte."""
    (table,) = encode_tables([Holding(ArchiveName(bytes(31) + b"a"), Digest(bytes(32)), size, records, 1)])
    if refused:
        assert outcome(decode_table, table, "here") == (FormatError, "HOLD-2")
    else:
        assert decode_table(table, "here")[0].records == records


holdings = st.builds(
    Holding,
    st.binary(min_size=32, max_size=32).map(ArchiveName),
    st.binary(min_size=32, max_size=32).map(Digest),
    st.integers(48 + RECORDS_MAX * 61 + 48, ARCHIVE_SIZE_MAX),
    st.integers(1, RECORDS_MAX),
    st.sampled_from(CLASSES),
)


@given(found=st.lists(holdings, min_size=1, max_size=20, unique_by=lambda h: h.name))
def test_what_was_written_comes_back_sorted(found: list[Holding]) -> None:
    (table,) = encode_tables(found)
    assert decode_table(table, "here") == sorted(found, key=lambda h: h.name)
