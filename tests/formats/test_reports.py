"""A report is one file that fetches nothing; its drawing shows the reported facts."""

import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.rules.replacements import Stock
from formats.shell.reports import charts, sections
from formats.shell.reports.facts import (
    ARRIVED,
    AWAITED,
    DAMAGED,
    MISSING,
    STATES,
    UNNEEDED,
    DiskFact,
    JobFact,
    PointFact,
    new_bytes,
    state_of,
    worst,
)
from formats.shell.reports.page import page, section, table
from formats.tables.needs import all_of
from formats.words import size
from tests.vectors.tables import holding

VOID = {"meta", "br"}


class Reading(HTMLParser):
    """A parser that follows the tags of a page; an end tag without its beginning is a fault."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def check_self_contained(text: str) -> Reading:
    """Check that the page fetches nothing and runs nothing."""
    found = Reading(text)
    for tag, attributes in found.tags:
        assert tag not in ("script", "link", "img", "iframe", "object", "embed", "base", "form")
        for name, value in attributes.items():
            assert name not in ("src", "srcset", "data", "action"), (tag, name)
            assert not name.startswith("on"), (tag, name)
            assert not name.endswith("href") or (value or "").startswith("#"), (tag, value)
    links = set(re.findall(r"https?://[^\"'\s<)]+", text))
    assert links <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}, links
    assert "@import" not in text
    assert "url(" not in text
    return found


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
states = st.lists(st.sampled_from(STATES), max_size=1500)
points = st.lists(
    st.builds(
        PointFact,
        machine=st.sampled_from(["web1", "<b>&"]),
        point=st.just("ab" * 16),
        created=st.integers(0, 1 << 33),
        kind=st.just("seed"),
        files=st.integers(0, 1 << 40),
        file_bytes=st.integers(0, 1 << 60),
        needed_bytes=st.integers(0, 1 << 60),
        new_bytes=st.integers(0, 1 << 60),
        standing=words,
        missing=st.integers(0, 3),
        awaits=st.lists(words, max_size=2).map(tuple),
    ),
    max_size=80,
)
disks = st.lists(
    st.builds(
        DiskFact,
        machine=words,
        set=st.just("cd" * 16),
        number=st.integers(1, 1000),
        state=words,
        bytes=st.integers(0, 1 << 44),
        speed=st.none() | st.floats(1, 1e10),
        history=st.lists(words, max_size=4).map(tuple),
        archives=states.map(tuple),
    ),
    max_size=5,
)
jobs = st.lists(
    st.builds(
        JobFact,
        kind=words,
        began=st.integers(0, 1 << 33),
        seconds=st.none() | st.integers(0, 1 << 20),
        state=words,
        bytes=st.integers(0, 1 << 44),
        findings=st.integers(0, 9),
        detail=words,
    ),
    max_size=5,
)


@given(points, disks, jobs, words)
def test_whatever_is_told_the_page_is_whole_and_fetches_nothing(
    points: list[PointFact], disks: list[DiskFact], jobs: list[JobFact], word: str
) -> None:
    made = page(
        word,
        word,
        [(word, word)],
        (
            sections.waiting(points, [word]),
            sections.points_over_time(points),
            sections.bytes_by_day(points),
            sections.thrift(points),
            sections.throughput(disks, "so"),
            sections.disks_map(disks),
            sections.work(jobs),
        ),
    )
    check_self_contained(made)


def test_names_are_shown_not_obeyed() -> None:
    evil = "<script>alert(1)</script>"
    fact = PointFact(evil, evil, 0, evil, 1, 1, 1, 1, evil, 1, (evil,))
    made = page(
        evil,
        evil,
        [(evil, evil)],
        [section(evil, table([evil], [[evil]]), note=evil), sections.points_over_time([fact])],
    )
    found = check_self_contained(made)
    assert "".join(found.texts).count(evil) >= 6


@given(st.floats(0, 1e18))
def test_an_axis_has_a_few_even_values_and_reaches_its_end(most: float) -> None:
    values = charts.even(most)
    assert 1 <= len(values) <= charts.STEPS + 1
    assert values[0] == 0
    assert values[-1] >= most * (1 - 1e-9)
    assert len({round(b - a, 6) for a, b in pairwise(values)}) <= 1


def test_a_chart_shows_its_values() -> None:
    drawn = charts.rows(["first", "second"], [3 << 20, 1 << 20], size)
    texts = Reading(drawn).texts
    assert "first: 3.0 MiB" in texts
    assert "second: 1.0 MiB" in texts


@given(states.filter(bool))
def test_a_map_shows_the_worst_of_what_shares_a_cell(archives: list[str]) -> None:
    drawn = Reading(sections._cells(archives)).tags
    assert 0 < len(drawn) <= sections.CELLS_MAX
    shown = {attributes["class"] for _, attributes in drawn}
    assert sections.CLASSES[worst(archives)] in shown
    assert sum(
        int(n.replace(",", ""))
        for _, a in drawn
        for n in re.findall(r"([\d,]+) [a-z]", (a["title"] or "").partition(": ")[2])
    ) == len(archives)


ARCHIVE = holding(1)
NEED = all_of(ARCHIVE)


@pytest.mark.parametrize(
    ("there", "needed", "comes", "state"),
    [
        (True, True, False, ARRIVED),
        (True, False, True, ARRIVED),
        (False, True, True, AWAITED),
        (False, True, False, MISSING),
        (False, False, False, UNNEEDED),
        (None, True, False, AWAITED),
    ],
)
def test_how_an_archive_stands(there: bool | None, needed: bool, comes: bool, state: str) -> None:
    stock = (
        None
        if there is None
        else Stock(
            {(f"archives/{ARCHIVE.name.hex()[:2]}/{ARCHIVE.name.hex()}", ARCHIVE.size)} if there else set()
        )
    )
    assert state_of(ARCHIVE, NEED if needed else None, stock, comes=comes) == state


@pytest.mark.parametrize(("held", "state"), [(1, DAMAGED), ((1 << ARCHIVE.records) - 1, ARRIVED)])
def test_of_a_damaged_archive_what_was_saved_stands_in(held: int, state: str) -> None:
    by = holding(2)
    stock = Stock({(f"archives/{by.name.hex()[:2]}/{by.name.hex()}", by.size)})
    stock.replaced[ARCHIVE][by] = held
    assert state_of(ARCHIVE, NEED, stock, comes=False) == state


def test_what_is_new_is_counted_once() -> None:
    first, second = all_of(holding(1)), all_of(holding(2))
    of = {need.archive.name: need for need in (first, second)}
    assert new_bytes([{first.archive.name: first}, of, {}], None) == [
        (first.archive.size, first.archive.size),
        (first.archive.size + second.archive.size, second.archive.size),
        (0, 0),
    ]


def test_what_stands_in_for_an_archive_is_counted_in_its_place() -> None:
    lost, by = all_of(holding(1)), all_of(holding(2))
    stock = Stock({(f"archives/{by.archive.name.hex()[:2]}/{by.archive.name.hex()}", by.archive.size)})
    stock.replaced[lost.archive][by.archive] = (1 << lost.archive.records) - 1
    assert new_bytes([{lost.archive.name: lost}, {by.archive.name: by}], stock) == [
        (by.archive.size, by.archive.size),
        (by.archive.size, 0),
    ]


def test_no_date_breaks_at_a_hyphen() -> None:
    made = page(
        "Backups",
        "of 2026-11-30",
        [("newest point", "2026-11-29 18:03")],
        [section("a", table(["b"], [["2026-11-28"]]))],
    )
    dates = re.findall(r"(?:<time>)?\d{4}-\d\d-\d\d(?:</time>)?", made)
    assert len(dates) == 3
    assert all(date.startswith("<time>") and date.endswith("</time>") for date in dates)
    assert "time { white-space: nowrap }" in made
