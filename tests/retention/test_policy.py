"""The points that a policy keeps: laws of the pure function, and the Azure agent's own example."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.documents.retention import MONTH_DAYS, RULES, WEEKDAYS, RetentionRules, Term
from formats.ids import PointId
from formats.rules.retention import (
    DAY,
    USUAL,
    Claim,
    RetentionTerms,
    admit,
    day_of,
    ends,
    expiring,
    lengths,
    period,
    shown,
)

NOTHING = RetentionRules(
    every=0, daily=0, weekly=0, weekday="sun", monthly=0, month_day="first-sun", yearly=0, month=3
)
RULE_SETS = st.builds(
    RetentionRules,
    every=st.integers(0, 40),
    daily=st.integers(0, 400),
    weekly=st.integers(0, 200),
    weekday=st.sampled_from(WEEKDAYS),
    monthly=st.integers(0, 100),
    month_day=st.sampled_from(MONTH_DAYS),
    yearly=st.integers(0, 20),
    month=st.integers(1, 12),
)
START = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
YEARS = 3 * 365 * DAY
CLAIMS = st.lists(st.integers(START - DAY, START + YEARS), min_size=1, max_size=40)
ZONES = st.integers(-840, 840)


def claims(times: list[int], first: int = 1) -> list[Claim]:
    return [Claim(PointId(f"{n:032x}"), n, created) for n, created in enumerate(times, first)]


def moment(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp())  # type: ignore[misc,arg-type]


@given(RULE_SETS, ZONES, CLAIMS)
def test_time_never_runs_backwards_nor_beyond_now(rules: RetentionRules, zone: int, times: list[int]) -> None:
    now = START + YEARS // 2
    found = admit(rules, zone, [], claims(times), now)
    counted = [term.counted for term in found]
    assert counted == sorted(counted)
    assert all(at <= now for at in counted)
    assert all(term.until >= term.counted for term in found)
    honest = sorted(t for t in times if t <= now)
    if honest == times:
        assert counted == times


@given(RULE_SETS, ZONES, CLAIMS)
def test_of_each_period_the_first_earns_and_no_other(
    rules: RetentionRules, zone: int, times: list[int]
) -> None:
    found = admit(rules, zone, [], claims(sorted(times)), START + YEARS)
    for rule in RULES[1:]:
        periods = [period(rule, rules, day_of(term.counted, zone)) for term in found]
        first = [at not in periods[:n] for n, at in enumerate(periods)]
        earned = [rule in term.earned for term in found]
        assert earned == (first if lengths(rules)[rule] else [False] * len(found))


@given(RULE_SETS, ZONES, CLAIMS, st.integers(0, 40))
def test_it_does_not_matter_how_often_one_admits(
    rules: RetentionRules, zone: int, times: list[int], cut: int
) -> None:
    """Admit the same terms, however often the importer admits, if the times are honest.

    A weekly prune loses nothing against a daily one.
    """
    wanted, now = claims(sorted(times)), START + YEARS
    some = admit(rules, zone, [], wanted[:cut], now)
    assert some + admit(rules, zone, some, wanted[cut:], now) == admit(rules, zone, [], wanted, now)


@given(RULE_SETS, RULE_SETS, ZONES, CLAIMS, CLAIMS)
def test_what_was_admitted_is_not_touched_by_what_comes_later(
    rules: RetentionRules, other: RetentionRules, zone: int, times: list[int], more: list[int]
) -> None:
    """Keep admitted terms in spite of another policy, a flood of points, or any clock."""
    kept = RetentionTerms()
    before = admit(rules, zone, [], claims(times), START + YEARS)
    kept.terms = {term.point: term for term in before}
    flood = admit(other, zone, before, claims(more, len(times) + 1), START + 2 * YEARS)
    kept.terms |= {term.point: term for term in flood}
    now = START + YEARS
    whole = [(term.point, term.sequence) for term in (*before, *flood)]
    gone = set(expiring(kept, whole, [], now))
    assert all(term.point not in gone for term in before if term.until > now)


@given(RULE_SETS, ZONES, CLAIMS, st.integers(0, 100 * 365 * DAY))
def test_no_vault_is_emptied(rules: RetentionRules, zone: int, times: list[int], later: int) -> None:
    found = admit(rules, zone, [], claims(times), START + YEARS)
    kept = RetentionTerms({term.point: term for term in found})
    whole = [(term.point, term.sequence) for term in found]
    partial = [(PointId("f" * 32), 10**6)]
    gone = expiring(kept, whole, partial, START + YEARS + later)
    assert found[-1].point not in gone
    assert partial[0][0] not in gone, "nothing that is complete follows it"
    assert expiring(kept, [], whole, START + YEARS + later) == [], "nothing is complete"


@given(RULE_SETS, st.sampled_from(RULES[1:]), st.dates(date(2000, 1, 1), date(2100, 1, 1)))
def test_periods_follow_each_other_without_gaps(rules: RetentionRules, rule: str, day: date) -> None:
    begins = period(rule, rules, day)
    assert begins <= day
    assert period(rule, rules, begins) == begins
    assert period(rule, rules, begins - timedelta(1)) < begins
    longest = {"daily": 1, "weekly": 7, "monthly": 38, "yearly": 373}[rule]
    assert (day - begins).days < longest


@given(RULE_SETS, st.sampled_from(RULES), ZONES, st.integers(START, START + 30 * YEARS))
def test_a_longer_rule_keeps_longer(rules: RetentionRules, rule: str, zone: int, at: int) -> None:
    longer = RetentionRules.from_json({**rules.to_json(), rule: lengths(rules)[rule] + 1}, "here")
    assert at <= ends(rule, rules, at, zone) < ends(rule, longer, at, zone)


def test_a_point_of_a_lower_number_that_becomes_complete_later_has_its_place() -> None:
    """Give a place to a seed with disks that came after the first backups over the network."""
    first, second, third = claims([moment(2026, 3, 2), moment(2026, 3, 2, 9), moment(2026, 3, 3)])
    before = admit(USUAL, 0, [], [second, third], moment(2026, 3, 4))
    (late,) = admit(USUAL, 0, before, [first], moment(2026, 3, 20))
    assert (late.counted, late.earned) == (first.created, ("every",)), "the day is taken by the second"


@pytest.mark.parametrize(
    ("month_day", "begins"),
    [
        ("15", date(2026, 10, 15)),
        ("first-sun", date(2026, 11, 1)),
        ("second-sat", date(2026, 10, 10)),
        ("last-fri", date(2026, 10, 30)),
        ("last", date(2026, 10, 31)),
        ("1", date(2026, 11, 1)),
    ],
)
def test_months_begin_where_they_are_said_to(month_day: str, begins: date) -> None:
    rules = RetentionRules.from_json({**NOTHING.to_json(), "month_day": month_day}, "here")
    assert period("monthly", rules, date(2026, 11, 5)) == begins


def test_years_and_leap_days() -> None:
    rules = RetentionRules.from_json(
        {**NOTHING.to_json(), "yearly": 1, "monthly": 1, "month_day": "last", "month": 2}, "here"
    )
    assert period("yearly", rules, date(2028, 2, 28)) == date(2027, 2, 28)
    assert period("yearly", rules, date(2028, 2, 29)) == date(2028, 2, 29)
    leap = moment(2028, 2, 29, 12)
    assert ends("yearly", rules, leap, 0) == moment(2029, 2, 28, 12)
    assert ends("monthly", rules, moment(2028, 1, 31), 0) == moment(2028, 2, 29)


def test_the_policy_of_the_azure_agent() -> None:
    """Keep the points of the Azure agent's policy, over eleven years of daily backups.

    They are 180 daily, 104 weekly on Sunday, 60 monthly on the first Sunday, and 10 yearly in March.
    """
    rules = RetentionRules.from_json({**USUAL.to_json(), "every": 0}, "here")
    times = [moment(2026, 1, 1, 9) + n * DAY for n in range(11 * 365)]
    found = admit(rules, 0, [], claims(times), times[-1])
    now = times[-1] + 1
    left = [term for term in found if term.until > now]
    by = {
        rule: [t for t in left if rule in t.earned and ends(rule, rules, t.counted, 0) > now]
        for rule in RULES
    }
    assert len(by["daily"]) == 180
    assert len(by["weekly"]) == 104
    assert len(by["monthly"]) == 60
    assert len(by["yearly"]) == 10
    for rule in ("weekly", "monthly", "yearly"):
        assert all(day_of(t.counted, 0).weekday() == 6 for t in by[rule])
    assert all(day_of(t.counted, 0).day <= 7 for t in by["monthly"])
    assert {day_of(t.counted, 0).month for t in by["yearly"]} == {3}
    assert expiring(
        RetentionTerms({t.point: t for t in found}), [(t.point, t.sequence) for t in found], [], now
    ) == [t.point for t in found if t.until <= now]


def test_days_begin_in_the_zone_of_the_machine() -> None:
    late = [moment(2026, 5, 1, 22, 30), moment(2026, 5, 1, 23, 30)]
    rules = RetentionRules.from_json({**NOTHING.to_json(), "daily": 10}, "here")
    assert [t.earned for t in admit(rules, 0, [], claims(late), late[-1])] == [("daily",), ()]
    assert [t.earned for t in admit(rules, 60, [], claims(late), late[-1])] == [("daily",), ("daily",)]


def test_a_policy_is_told_in_words() -> None:
    assert shown(USUAL) == [
        "every point for 7 days",
        "the first of a day for 180 days",
        "the first of a week, from Sunday on, for 104 weeks",
        "the first of a month, from the first Sunday on, for 60 months",
        "the first of a year, from the first Sunday of March on, for 10 years",
    ]
    assert shown(NOTHING) == []


def test_the_longest_word_about_a_point_holds() -> None:
    from formats.documents.retention import Terms
    from formats.ids import MachineId, VaultId

    def terms(until: int, *expired: str) -> Terms:
        return Terms(
            number=1,
            vault=VaultId("0" * 32),
            machine=MachineId("1" * 32),
            role="authority",
            created=0,
            policy=0,
            admitted=(Term(point=PointId("2" * 32), sequence=1, counted=5, until=until, earned=()),),
            expired=tuple(map(PointId, expired)),
        )

    kept = RetentionTerms()
    for document in (terms(10), terms(30, "3" * 32), terms(20)):
        kept.add(document)
    assert kept.terms["2" * 32].until == 30  # type: ignore[index]
    assert kept.expired == {"3" * 32}
