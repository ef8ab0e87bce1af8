"""The chunk index: rows come back, and no gap, overlap, foreign kind or stray byte passes."""

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.errors import FormatError
from formats.ids import ChunkId
from formats.tables.index import CATALOG, CONTENT, KINDS, RECORDS_MAX, ROW, IndexRow, decode_index, encode_row
from tests.tables.flaws import flips, outcome, patched
from tests.vectors.generate import DATA
from tests.vectors.tables import LENGTHS

START = 48


def rows(*lengths: int) -> list[IndexRow]:
    found, at = [], START
    for number, length in enumerate(lengths):
        kind = CONTENT if number % 2 else CATALOG
        found.append(IndexRow(ChunkId(bytes([number]) * 32), bytes([number]) * 16, at, length, kind))
        at += length
    return found


def encoded(some: list[IndexRow]) -> bytes:
    return b"".join(map(encode_row, some))


INDEX = encoded(rows(46, 100, 45))
END = START + 46 + 100 + 45


def test_a_row_has_its_layout() -> None:
    row = IndexRow(ChunkId(b"c" * 32), b"d" * 16, 0x01020304, 0x05060708, CONTENT)
    assert encode_row(row) == b"c" * 32 + b"d" * 16 + b"\4\3\2\1" + b"\x08\7\6\5" + b"\1" + bytes(3)


def test_the_golden_index_is_read() -> None:
    data = (DATA / "index.bin").read_bytes()
    found = decode_index(data, START, START + sum(LENGTHS), "here")
    assert encoded(found) == data
    assert [row.length for row in found] == list(LENGTHS)


FLAWS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut by a byte": (lambda d: d[:-1], "IDX-1"),
    "cut by padding": (lambda d: d[:-3], "IDX-1"),
    "a stray byte": (lambda d: d + b"\0", "IDX-1"),
    "cut by a row": (lambda d: d[:-60], "IDX-2"),
    "without its first row": (lambda d: d[60:], "IDX-2"),
    "empty": (lambda d: b"", "IDX-2"),
    "a row twice": (lambda d: d + d[-60:], "IDX-2"),
    "rows exchanged": (lambda d: d[60:120] + d[:60] + d[120:], "IDX-2"),
    "begins too early": (lambda d: patched(d, 48, struct.pack("<I", START - 1)), "IDX-2"),
    "begins too late": (lambda d: patched(d, 48, struct.pack("<I", START + 1)), "IDX-2"),
    "a gap": (lambda d: patched(d, 108, struct.pack("<I", START + 47)), "IDX-2"),
    "an overlap": (lambda d: patched(d, 108, struct.pack("<I", START + 45)), "IDX-2"),
    "an empty record": (lambda d: patched(d, 52, bytes(4)), "IDX-2"),
    "a record too long": (lambda d: patched(d, -8, struct.pack("<I", 46)), "IDX-2"),
    "a record too short": (lambda d: patched(d, -8, struct.pack("<I", 44)), "IDX-2"),
    "the longest record": (lambda d: patched(d, -8, b"\xff" * 4), "IDX-2"),
    "kind 0": (lambda d: patched(d, 56, b"\0"), "IDX-3"),
    "kind 3": (lambda d: patched(d, 116, b"\3"), "IDX-3"),
    "padding, first byte": (lambda d: patched(d, 57, b"\1"), "IDX-4"),
    "padding, last byte": (lambda d: patched(d, -1, b"\x80"), "IDX-4"),
}


@pytest.mark.parametrize("flaw", FLAWS)
@pytest.mark.parametrize("view", [bytes, memoryview])
def test_every_flaw_is_refused_by_its_rule(flaw: str, view: Callable[[bytes], bytes]) -> None:
    change, anchor = FLAWS[flaw]
    assert outcome(decode_index, view(change(INDEX)), START, END, "here") == (FormatError, anchor)


def test_errors_name_the_row() -> None:
    with pytest.raises(FormatError) as caught:
        decode_index(patched(INDEX, 116, b"\3"), START, END, "here")
    assert caught.value.subject == "here[1]"


def test_too_many_rows_are_refused_before_they_are_read() -> None:
    most = encoded(
        [IndexRow(ChunkId(bytes(32)), bytes(16), START + n, 1, CONTENT) for n in range(RECORDS_MAX)]
    )
    assert len(decode_index(most, START, START + RECORDS_MAX, "here")) == RECORDS_MAX
    more = most + encode_row(IndexRow(ChunkId(bytes(32)), bytes(16), START + RECORDS_MAX, 1, CONTENT))
    assert outcome(decode_index, more, START, START + RECORDS_MAX + 1, "here") == (
        FormatError,
        "IDX-1",
    )


def test_a_flipped_bit_changes_a_digest_or_is_refused() -> None:
    good = decode_index(INDEX, START, END, "here")
    for at, data in flips(INDEX):
        if at % ROW.size < 48:
            assert decode_index(data, START, END, "here") != good
        else:
            assert outcome(decode_index, data, START, END, "here")[0] is FormatError


lengths = st.lists(st.integers(1, 1 << 24), min_size=1, max_size=20)


@given(lengths=lengths, data=st.data())
def test_what_was_written_comes_back(lengths: list[int], data: st.DataObject) -> None:
    written, at = [], START
    for length in lengths:
        chunk = ChunkId(data.draw(st.binary(min_size=32, max_size=32)))
        record = data.draw(st.binary(min_size=16, max_size=16))
        written.append(IndexRow(chunk, record, at, length, data.draw(st.sampled_from(KINDS))))
        at += length
    assert decode_index(encoded(written), START, at, "here") == written
    assert outcome(decode_index, encoded(written), START, at + 1, "here") == (FormatError, "IDX-2")
