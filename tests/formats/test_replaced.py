"""Replacements of archives: they add up, by record, and count only if the replacing archive is there."""

from hypothesis import given
from hypothesis import strategies as st

from formats import layout
from formats.documents.damage import ArchiveRow, Replaced
from formats.ids import ArchiveName, ChunkId, digest
from formats.rules.replacements import Stock, joined, stand_in, translated
from formats.tables.archive import CONTENT_CLASS
from formats.tables.holdings import Holding
from formats.tables.index import CONTENT, IndexRow, encode_row
from formats.tables.needs import Need, bitmap
from formats.tables.sections import Section

IDS = [ChunkId(digest(bytes([n]))) for n in range(12)]
NUMBERS = st.lists(st.sampled_from(range(12)), min_size=1, max_size=12, unique=True)


def section(numbers: list[int], salt: int = 0) -> Section:
    """Return the index of an archive that holds these chunks, in this order."""
    rows = [IndexRow(IDS[n], bytes(16), 48 + 10 * at, 10, CONTENT) for at, n in enumerate(numbers)]
    index = b"".join(map(encode_row, rows))
    name = ArchiveName(digest(index + bytes([salt])))
    size = 48 + 10 * len(rows) + len(index) + 48
    return Section(Holding(name, digest(index), size, len(rows), CONTENT_CLASS), index)


def need(of: Section, live: list[int]) -> Need:
    return Need(of.archive, bitmap(of.archive.records, [n for n in live if n < of.archive.records]))


def stock(*there: Section) -> Stock:
    return Stock({(layout.archive_name(s.archive.name), s.archive.size) for s in there})


def ids(lacking: Need | None, of: Section) -> set[ChunkId]:
    if lacking is None:
        return set()
    return {chunk for number, chunk in enumerate(of.chunks()) if lacking.is_live(number)}


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_what_is_lacking_is_what_is_live_and_held_nowhere(
    old: list[int], live: list[int], first: list[int], second: list[int]
) -> None:
    lost, one, two = section(old), section(first, 1), section(second, 2)
    wanted = need(lost, live)
    for there in ((), (one,), (two,), (one, two)):
        at_hand = stock(*there)
        for by in (one, two):
            at_hand.add(stand_in([(wanted, lost)], by), copied=False)
        held = {chunk for by in there for chunk in by.chunks()}
        assert ids(at_hand.lacking(wanted), lost) == ids(wanted, lost) - held


@given(NUMBERS, NUMBERS)
def test_an_archive_that_is_there_needs_no_stand_in(old: list[int], live: list[int]) -> None:
    whole = section(old)
    assert stock(whole).lacking(need(whole, live)) is None


@given(NUMBERS, NUMBERS)
def test_an_archive_of_another_size_is_not_there(old: list[int], live: list[int]) -> None:
    lost = section(old)
    cut = Stock({(layout.archive_name(lost.archive.name), lost.archive.size - 1)})
    wanted = need(lost, live)
    assert ids(cut.lacking(wanted), lost) == ids(wanted, lost)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_a_need_for_what_stands_in_names_the_same_chunks(
    old: list[int], live: list[int], new: list[int]
) -> None:
    lost, by = section(old), section(new, 1)
    wanted = need(lost, live)
    for entry in stand_in([(wanted, lost)], by):
        held = int.from_bytes(entry.held, "little")
        instead = translated(wanted, lost, held, by)
        assert ids(instead, by) == ids(wanted, lost) & set(by.chunks())
        unnamed = translated(wanted, None, held, by)
        assert unnamed.live_count() == by.archive.records, "where the old index is lost, all of it is needed"


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=4))
def test_needs_are_joined_by_archive(parts: list[tuple[list[int], list[int]]]) -> None:
    sections = [section(old) for old, _ in parts]
    needs = [need(s, live) for s, (_, live) in zip(sections, parts, strict=True)]
    found = joined(needs)
    assert [n.archive.name for n in found] == sorted({n.archive.name for n in needs})
    for one in found:
        bits = [int.from_bytes(n.live, "little") for n in needs if n.archive == one.archive]
        together = 0
        for other in bits:
            together |= other
        assert int.from_bytes(one.live, "little") == together


@given(NUMBERS, NUMBERS)
def test_a_row_is_written_and_read_alike(old: list[int], new: list[int]) -> None:
    lost, by = section(old), section(new, 1)
    assert ArchiveRow.of(lost.archive).holding == lost.archive
    entry = Replaced(archive=ArchiveRow.of(lost.archive), by=ArchiveRow.of(by.archive), held=b"\1")
    assert Replaced.from_json(entry.to_json(), "here") == entry
