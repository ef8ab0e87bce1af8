"""Index objects and journals: whole sections are believed, a wrong digest or a broken end is not."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.errors import FormatError, IntegrityError
from formats.ids import ArchiveName, digest
from formats.tables.holdings import Holding
from formats.tables.sections import MAGIC, OBJECT_SIZE_MAX, Section, decode_object, encode_objects, scan
from tests.effort import examples
from tests.tables.flaws import Outcome, flips, outcome, patched
from tests.vectors.generate import DATA
from tests.vectors.tables import LENGTHS, build, content, drawn, metadata, sections

OBJECT = (DATA / "index-object.bin").read_bytes()
DAMAGED = (IntegrityError, "object-damaged")
SECOND = 8 + 76 + 240  # where the second section begins


def test_the_golden_object_is_read() -> None:
    found = decode_object(OBJECT, "here")
    assert found == sections()
    assert [row.length for row in found[0].rows("here")] == list(LENGTHS)
    assert [found[1].archive, found[1].index] == [metadata().holding, metadata().archive.index]


FLAWS: dict[str, tuple[Callable[[bytes], bytes], Outcome]] = {
    "empty": (lambda d: b"", (FormatError, "SECT-1")),
    "another magic": (lambda d: patched(d, 0, b"offsIDX2"), (FormatError, "SECT-1")),
    "cut in the magic": (lambda d: d[:7], (FormatError, "SECT-1")),
    "cut by a byte": (lambda d: d[:-1], (FormatError, "SECT-1")),
    "cut in a row": (lambda d: d[: SECOND + 40], (FormatError, "SECT-1")),
    "cut by an index row": (lambda d: d[:-60], (FormatError, "SECT-1")),
    "a stray byte": (lambda d: d + b"\0", (FormatError, "SECT-1")),
    "a stray row": (lambda d: d + bytes(76), (FormatError, "HOLD-2")),
    "a class of the future": (lambda d: patched(d, 8 + 72, b"\3"), (FormatError, "HOLD-2")),
    "no records": (lambda d: patched(d, 8 + 68, bytes(4)), (FormatError, "HOLD-2")),
    "one record more": (lambda d: patched(d, 8 + 68, b"\5"), DAMAGED),
    "one record less": (lambda d: patched(d, 8 + 68, b"\3"), DAMAGED),
    "another digest": (lambda d: patched(d, 8 + 32, bytes(32)), DAMAGED),
    "an altered index": (lambda d: patched(d, 8 + 76, bytes(32)), DAMAGED),
    "an altered last byte": (lambda d: patched(d, -1, b"\1"), DAMAGED),
    "another section's index": (lambda d: patched(d, 8, d[SECOND : SECOND + 76]), DAMAGED),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_every_flaw_is_refused_by_its_rule(flaw: str) -> None:
    change, expected = FLAWS[flaw]
    assert outcome(decode_object, change(OBJECT), "here") == expected


def test_an_object_too_large_is_refused_unread() -> None:
    data = MAGIC + bytes(OBJECT_SIZE_MAX - 7)
    assert outcome(decode_object, data, "here") == (FormatError, "SECT-1")


def test_rows_that_do_not_cover_their_archive_are_refused() -> None:
    """Refuse such rows: the digest proves that the section is consistent, not that it is true."""
    whole = sections()[0]
    for size in (whole.archive.size - 1, whole.archive.size + 1, 157 + 61 * (whole.archive.records - 1)):
        other = Holding(whole.archive.name, whole.archive.index_digest, size, whole.archive.records, 1)
        (data,) = encode_objects([Section(other, whole.index)])
        (section,) = decode_object(data, "here")
        assert outcome(section.rows, "here") == (FormatError, "IDX-2")


def test_every_flipped_bit_is_noticed() -> None:
    for at, data in flips(OBJECT):
        try:
            found = decode_object(data, "here")
        except (FormatError, IntegrityError):
            continue
        assert [s.archive for s in found] != [s.archive for s in sections()], at


def test_a_journal_gives_its_whole_sections_and_where_they_end() -> None:
    journal = OBJECT[8:]
    for length in range(len(journal) + 1):
        found, end = scan(memoryview(journal)[:length], "journal")
        assert found == sections()[: len(found)]
        assert end == [0, SECOND - 8, len(journal)][len(found)] <= length
    assert outcome(scan, memoryview(patched(journal, 80, b"\0\0")), "journal") == DAMAGED


def test_objects_stay_below_what_a_reader_takes() -> None:
    """Begin a new object for a large index; nothing is lost, and no object is empty."""
    index = bytes(60 * 60_000)
    many = [
        Section(Holding(ArchiveName(drawn(f"big {n}", 32)), digest(index), 64 << 20, 60_000, 1), index)
        for n in range(9)
    ]
    objects = list(encode_objects(many))
    assert [len(decode_object(data, "here")) for data in objects] == [4, 4, 1]
    assert all(len(data) <= OBJECT_SIZE_MAX for data in objects)
    assert [s for data in objects for s in decode_object(data, "here")] == many


def test_of_no_sections_there_is_no_object() -> None:
    assert list(encode_objects([])) == []
    assert decode_object(MAGIC, "here") == []


@settings(max_examples=examples(30))
@given(counts=st.lists(st.integers(1, 6), min_size=1, max_size=6))
def test_what_was_written_comes_back(counts: list[int]) -> None:
    built = [build([drawn(f"{n} {i}", 50 + i) for i in range(count)]) for n, count in enumerate(counts)]
    written = [Section(b.holding, b.archive.index) for b in built]
    (data,) = encode_objects(written)
    assert decode_object(data, "here") == written
    assert [len(s.rows("here")) for s in written] == counts
    assert content().holding not in [s.archive for s in written]
