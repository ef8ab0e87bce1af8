"""The chunk archive: an archive is a value, and every flaw in its head, index and footer has its rule."""

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.errors import FormatError, IntegrityError
from formats.ids import ChunkId, digest
from formats.tables.archive import (
    ARCHIVE_SIZE_MAX,
    ARCHIVE_SIZE_MIN,
    CONTENT_CLASS,
    FOOTER,
    HEAD,
    METADATA_CLASS,
    ArchiveBuilder,
    parse,
    parse_footer,
    parse_head,
)
from formats.tables.index import CONTENT, RECORDS_MAX, ROW, IndexRow, record_digest
from tests.tables.flaws import Outcome, flips, outcome, patched
from tests.vectors.generate import DATA
from tests.vectors.keyed import MASTER
from tests.vectors.tables import LENGTHS, SALT, build, content, drawn, metadata

ARCHIVE = content().data
BODY = sum(LENGTHS)
INDEX_AT = HEAD.size + BODY
FOOTER_AT = len(ARCHIVE) - FOOTER.size
DAMAGED = (IntegrityError, "object-damaged")


def reindexed(data: bytes, index: bytes, records: int | None = None) -> bytes:
    """Return the archive with another index and a footer that agrees with it, as a forger would write it."""
    count = len(index) // ROW.size if records is None else records
    return data[:INDEX_AT] + index + FOOTER.pack(digest(index), count, b"offsEND1")


def test_the_parts_lie_where_the_text_says() -> None:
    assert ARCHIVE[:48] == b"offsARC1" + b"\1" + bytes(7) + MASTER.key_id + SALT
    for number, length in enumerate(LENGTHS):
        start = HEAD.size + sum(LENGTHS[:number])
        assert ARCHIVE[start : start + length] == drawn(f"record {number}", length)
    index = ARCHIVE[INDEX_AT:FOOTER_AT]
    assert ARCHIVE[FOOTER_AT:] == digest(index) + struct.pack("<I", 4) + bytes(4) + b"offsEND1"
    assert metadata().data[8] == METADATA_CLASS


def test_the_golden_archives_are_read_as_they_were_written() -> None:
    for name, built, lengths in (
        ("archive.bin", content(), LENGTHS),
        ("archive-metadata.bin", metadata(), (99,)),
    ):
        data = (DATA / name).read_bytes()
        parsed = parse(data, name)
        assert bytes(digest(data)) == built.archive.name == built.holding.name
        assert (parsed.archive_class, parsed.key_id) == (built.archive.archive_class, MASTER.key_id)
        assert (parsed.index, parsed.index_digest) == (built.archive.index, built.archive.index_digest)
        assert tuple(row.length for row in parsed.rows) == lengths
        for row in parsed.rows:
            assert record_digest(data[row.offset : row.offset + row.length]) == row.record_digest


FLAWS: dict[str, tuple[Callable[[bytes], bytes], Outcome]] = {
    "another magic": (lambda d: patched(d, 0, b"offsARC2"), (FormatError, "ARCH-1")),
    "class 0": (lambda d: patched(d, 8, b"\0"), (FormatError, "ARCH-1")),
    "class 3": (lambda d: patched(d, 8, b"\3"), (FormatError, "ARCH-1")),
    "head padding, first": (lambda d: patched(d, 9, b"\1"), (FormatError, "ARCH-1")),
    "head padding, last": (lambda d: patched(d, 15, b"\1"), (FormatError, "ARCH-1")),
    "empty": (lambda d: b"", (FormatError, "ARCH-1")),
    "cut in the head": (lambda d: d[:47], (FormatError, "ARCH-1")),
    "nothing but a head": (lambda d: d[:48], (FormatError, "ARCH-2")),
    "a byte too small": (lambda d: d[: ARCHIVE_SIZE_MIN - 1], (FormatError, "ARCH-2")),
    "cut by a byte": (lambda d: d[:-1], (FormatError, "ARCH-3")),
    "a stray byte": (lambda d: d + b"\0", (FormatError, "ARCH-3")),
    "another end": (lambda d: patched(d, -8, b"offsEND2"), (FormatError, "ARCH-3")),
    "footer padding, first": (lambda d: patched(d, -12, b"\1"), (FormatError, "ARCH-3")),
    "footer padding, last": (lambda d: patched(d, -9, b"\1"), (FormatError, "ARCH-3")),
    "no records": (lambda d: patched(d, -16, bytes(4)), (FormatError, "ARCH-3")),
    "too many records": (lambda d: patched(d, -16, struct.pack("<I", RECORDS_MAX + 1)), (FormatError, "ARCH-3")),
    "records beyond the head": (lambda d: patched(d, -16, struct.pack("<I", 10)), (FormatError, "ARCH-3")),
    "one record more": (lambda d: patched(d, -16, struct.pack("<I", 5)), DAMAGED),
    "one record less": (lambda d: patched(d, -16, struct.pack("<I", 3)), DAMAGED),
    "another index digest": (lambda d: patched(d, FOOTER_AT, bytes(32)), DAMAGED),
    "an altered index": (lambda d: patched(d, INDEX_AT, bytes(32)), DAMAGED),
    "an index with a gap": (
        lambda d: reindexed(d, d[INDEX_AT + 60 : FOOTER_AT]),
        (FormatError, "IDX-2"),
    ),
    "an index that claims less": (lambda d: reindexed(d, d[INDEX_AT : FOOTER_AT - 60]), (FormatError, "IDX-2")),
    "a kind of the future": (
        lambda d: reindexed(d, patched(d[INDEX_AT:FOOTER_AT], 56, b"\3")),
        (FormatError, "IDX-3"),
    ),
    "a stray byte in a row": (
        lambda d: reindexed(d, patched(d[INDEX_AT:FOOTER_AT], 59, b"\1")),
        (FormatError, "IDX-4"),
    ),
    "bytes before the index": (lambda d: d[:INDEX_AT] + b"\0" + d[INDEX_AT:], (FormatError, "IDX-2")),
}  # fmt: skip


@pytest.mark.parametrize("flaw", FLAWS)
@pytest.mark.parametrize("view", [bytes, memoryview])
def test_every_flaw_is_refused_by_its_rule(flaw: str, view: Callable[[bytes], bytes]) -> None:
    change, expected = FLAWS[flaw]
    assert outcome(parse, view(change(ARCHIVE)), "here") == expected


def test_sizes_are_refused_before_anything_is_read() -> None:
    footer = ARCHIVE[FOOTER_AT:]
    for size in (0, ARCHIVE_SIZE_MIN - 1, ARCHIVE_SIZE_MAX + 1, 1 << 63):
        assert outcome(parse_footer, footer, size, "here") == (FormatError, "ARCH-2")
    assert parse_footer(footer, ARCHIVE_SIZE_MAX, "here") == (content().archive.index_digest, 4)


@pytest.mark.parametrize("length", [0, 1, 47, 49])
def test_a_footer_or_head_of_another_length_is_refused(length: int) -> None:
    """Refuse such bytes: a store returns fewer bytes than asked if an object was cut."""
    assert outcome(parse_footer, bytes(length), len(ARCHIVE), "here") == (FormatError, "ARCH-3")
    assert outcome(parse_head, bytes(length), "here") == (FormatError, "ARCH-1")


def test_every_cut_is_refused() -> None:
    for length in range(len(ARCHIVE)):
        assert outcome(parse, ARCHIVE[:length], "here")[1] in (
            ("ARCH-1",) if length < 48 else ("ARCH-2", "ARCH-3")
        )


def test_every_flipped_bit_is_noticed() -> None:
    """Notice it by structure, by a digest in the index, or (key id and random bytes) by the name alone."""
    whole = parse(ARCHIVE, "here")
    for at, data in flips(ARCHIVE):
        assert bytes(digest(data)) != content().archive.name
        if 16 <= at < 48:
            assert parse(data, "here").rows == whole.rows
        elif HEAD.size <= at < INDEX_AT:
            (hit,) = [row for row in whole.rows if row.offset <= at < row.offset + row.length]
            assert record_digest(data[hit.offset : hit.offset + hit.length]) != hit.record_digest
        else:
            assert outcome(parse, data, "here")[1] in ("ARCH-1", "ARCH-3", "object-damaged")


def test_the_smallest_archive_is_one_record_of_one_byte() -> None:
    smallest = build([b"x"])
    assert len(smallest.data) == ARCHIVE_SIZE_MIN
    assert [row.length for row in parse(smallest.data, "here").rows] == [1]


def test_equal_contents_have_other_names_unless_the_salt_is_given() -> None:
    names = set()
    for _ in range(3):
        builder = ArchiveBuilder(bytearray(4096), CONTENT_CLASS, MASTER.key_id)
        builder.add(CONTENT, ChunkId(bytes(32)), b"record", record_digest(b"record"))
        names.add(builder.finish().name)
    assert len(names) == 3


@pytest.mark.parametrize(("buffer", "limit"), [(500, 500), (1000, 500), (500, 1000)])
def test_an_archive_never_passes_its_limit(buffer: int, limit: int) -> None:
    builder = ArchiveBuilder(bytearray(buffer), CONTENT_CLASS, MASTER.key_id, limit=limit)
    while builder.fits(46):
        builder.add(CONTENT, ChunkId(bytes(32)), bytes(46), record_digest(bytes(46)))
    archive = builder.finish()
    assert archive.size <= 500 < archive.size + 46 + ROW.size
    assert len(builder) == archive.records == 3


def test_an_archive_takes_no_more_records_than_a_reader_does() -> None:
    builder = ArchiveBuilder(bytearray(5 << 20), CONTENT_CLASS, MASTER.key_id)
    tag = record_digest(b"x")
    for _ in range(RECORDS_MAX):
        builder.add(CONTENT, ChunkId(bytes(32)), b"x", tag)
    assert not builder.fits(1)
    assert len(parse(builder.finish().data, "here").rows) == RECORDS_MAX


@given(records=st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=12))
def test_what_was_written_comes_back(records: list[bytes]) -> None:
    built = build(records)
    parsed = parse(built.data, "here")
    assert [built.data[row.offset : row.offset + row.length] for row in parsed.rows] == records
    assert parsed.rows == [
        IndexRow(ChunkId(drawn(f"chunk {n}", 32)), record_digest(r), parsed.rows[n].offset, len(r), CONTENT)
        for n, r in enumerate(records)
    ]
