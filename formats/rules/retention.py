"""The effect of a retention policy: the points that earn a term, and the reasons.

Pure, and the same on both sides. A point is admitted once, with the time until which it is kept. That time is
never shortened. So nothing pushes out a point that was admitted before: no shorter policy, no flood of
points, no wrong clock, no point that its machine doubts (RET-1 to RET-5).
"""

import calendar
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

from formats import layout
from formats.documents.retention import RULES, WEEKDAYS, WHICH, Condemned, RetentionRules, Term, Terms
from formats.ids import MachineId, PointId
from formats.monitor import Monitor
from formats.view.view import View
from formats.words import counted

DAY = 86_400  # seconds

# The proposal of the Azure agent: 180 days, 104 weeks from Sunday on, 60 months from the first Sunday on,
# 10 years in March. In addition, all points of the last week.
USUAL = RetentionRules(
    every=7, daily=180, weekly=104, weekday="sun", monthly=60, month_day="first-sun", yearly=10, month=3
)


@dataclass(frozen=True)
class Claim:
    """A point that is not admitted yet, and its creation time as its machine claims it.

    `doubted` says that the machine itself doubts it.
    """

    point: PointId
    sequence: int
    created: int
    doubted: bool = False


@dataclass
class RetentionTerms:
    """The decisions of the authority so far about a machine's points."""

    terms: dict[PointId, Term] = field(default_factory=dict)
    expired: set[PointId] = field(default_factory=set)
    number: int = 0  # the number of the last document
    whole: bool = True  # False if one of the documents is lost

    def add(self, document: Terms) -> None:
        self.number = max(self.number, document.number)
        self.expired.update(document.expired)
        for term in document.admitted:
            before = self.terms.get(term.point)
            if before is None or before.until < term.until:
                self.terms[term.point] = term


def read_kept(view: View, machine: MachineId, monitor: Monitor) -> RetentionTerms:
    """Read the authority's terms for a machine from a vault. Raises StoreError."""
    look = view.look(layout.terms_prefix(machine), Terms, view.authority, monitor)
    found = RetentionTerms(whole=not look.unreadable)
    for fact in look.facts:
        if fact.document.machine == machine:
            found.add(fact.document)
    found.number = look.next_number - 1
    return found


def condemned(view: View, monitor: Monitor) -> frozenset[str]:
    """Return the names on the authority's condemned lists. Raises StoreError.

    Prune will delete these objects, so nothing may be built upon them.
    """
    lists = view.look(layout.CONDEMNED, Condemned, view.authority, monitor).facts
    return frozenset(name for fact in lists for name in fact.document.names)


def admit(
    rules: RetentionRules, zone: int, before: Iterable[Term], claims: Sequence[Claim], now: int
) -> list[Term]:
    """Return the terms of points that are complete now for the first time.

    `before` are all terms of their machine. The time that counts for a point is the time that its machine
    claims, if that is not later than `now`. But it is not before the time of the point before it. Doubted points
    change nothing for the others. They wait for a point that is not doubted and follows them (RET-5).
    """
    admitted = list(before)
    trusted = [term for term in admitted if not term.doubted]
    found = _admit_trusted(rules, zone, trusted, [claim for claim in claims if not claim.doubted], now)
    trusted += found
    last = max((term.sequence for term in trusted), default=0)
    taken = _taken(rules, zone, admitted) | _taken(rules, zone, found)
    for claim in sorted(claims, key=lambda claim: claim.sequence):
        if claim.doubted and claim.sequence < last:
            earliest = max((t.counted for t in trusted if t.sequence < claim.sequence), default=0)
            term = _term(rules, zone, taken, claim, max(earliest, min(now, claim.created)))
            found.append(replace(term, doubted=True))
    return found


def _admit_trusted(
    rules: RetentionRules, zone: int, before: Sequence[Term], claims: Sequence[Claim], now: int
) -> list[Term]:
    """Return the terms of points that nobody doubts; `before` are the terms of other such points."""
    taken = _taken(rules, zone, before)
    found: list[Term] = []
    last = 0
    items: list[Term | Claim] = [*before, *claims]
    for item in sorted(items, key=lambda item: item.sequence):
        if isinstance(item, Term):
            last = max(last, item.counted)
            continue
        last = at = max(last, min(now, item.created))  # `now` may be a clock that is behind
        found.append(_term(rules, zone, taken, item, at))
    return found


def _taken(rules: RetentionRules, zone: int, terms: Iterable[Term]) -> set[tuple[str, date]]:
    """Return the periods in which one of these points is the first, by each rule."""
    return {(rule, period(rule, rules, day_of(term.counted, zone))) for term in terms for rule in term.earned}


def _term(rules: RetentionRules, zone: int, taken: set[tuple[str, date]], claim: Claim, at: int) -> Term:
    """Return the term of a point for which the time `at` counts.

    Adds the periods that it takes to `taken`.
    """
    day = day_of(at, zone)
    earned = [
        rule
        for rule, length in lengths(rules).items()
        if length and (rule == "every" or (rule, period(rule, rules, day)) not in taken)
    ]
    taken |= {(rule, period(rule, rules, day)) for rule in earned}
    until = max([at, *(ends(rule, rules, at, zone) for rule in earned)])
    return Term(point=claim.point, sequence=claim.sequence, counted=at, until=until, earned=tuple(earned))


def expiring(
    found: RetentionTerms,
    whole: Sequence[tuple[PointId, int]],
    partial: Sequence[tuple[PointId, int]],
    now: int,
    doubted: Collection[PointId] = (),
) -> list[PointId]:
    """Return the points that expire: their term has ended, and the machine has a later complete point.

    That later point is not `doubted`. `whole` and `partial` are the machine's points that are there, with
    their sequence numbers: the complete ones, and the remains of stopped runs.
    """
    last = max((sequence for point, sequence in whole if point not in doubted), default=0)
    ended = [
        point
        for point, sequence in whole
        if sequence < last and (term := found.terms.get(point)) is not None and term.until <= now
    ]
    return [*ended, *(point for point, sequence in partial if sequence < last)]


def lengths(rules: RetentionRules) -> dict[str, int]:
    """Return how long each rule keeps the points that earn a term by it, in the rule's own units."""
    return {rule: getattr(rules, rule) for rule in RULES}


def day_of(moment: int, zone: int) -> date:
    """Return the day at a time, if days begin `zone` minutes before those of UTC."""
    return datetime.fromtimestamp(moment + zone * 60, UTC).date()


def period(rule: str, rules: RetentionRules, day: date) -> date:
    """Return the first day of the period of a rule in which a day lies."""
    if rule == "weekly":
        return day - timedelta((day.weekday() - WEEKDAYS.index(rules.weekday)) % 7)
    if rule == "monthly":
        begins = _from_day(rules.month_day, day.year, day.month)
        return begins if begins <= day else _from_day(rules.month_day, *_month(day.year, day.month - 1))
    if rule == "yearly":
        begins = _from_day(rules.month_day, day.year, rules.month)
        return begins if begins <= day else _from_day(rules.month_day, day.year - 1, rules.month)
    return day


def ends(rule: str, rules: RetentionRules, at: int, zone: int) -> int:
    """Return the time until which a rule keeps a point that earns its term by it."""
    length = lengths(rules)[rule]
    if rule in ("every", "daily"):
        return at + length * DAY
    if rule == "weekly":
        return at + length * 7 * DAY
    day = day_of(at, zone)
    year, month = _month(day.year, day.month + (length if rule == "monthly" else 12 * length))
    then = date(year, month, min(day.day, calendar.monthrange(year, month)[1]))
    return at + (then - day).days * DAY


def _month(year: int, month: int) -> tuple[int, int]:
    """Return year and month for a month number that goes beyond its year."""
    return year + (month - 1) // 12, (month - 1) % 12 + 1


def _from_day(month_day: str, year: int, month: int) -> date:
    """Return the day on which a month begins to count."""
    days = calendar.monthrange(year, month)[1]
    if month_day.isdecimal():
        return date(year, month, int(month_day))
    if month_day == "last":
        return date(year, month, days)
    which, _, weekday = month_day.partition("-")
    first = 1 + (WEEKDAYS.index(weekday) - date(year, month, 1).weekday()) % 7
    fitting = range(first, days + 1, 7)
    return date(year, month, fitting[-1 if which == "last" else WHICH.index(which)])


def shown(rules: RetentionRules) -> list[str]:
    """Return the rules in words, the strongest last."""
    begins = f"day {rules.month_day}" if rules.month_day.isdecimal() else _spoken(rules.month_day)
    told = {
        "every": f"every point for {counted(rules.every, 'day')}",
        "daily": f"the first of a day for {counted(rules.daily, 'day')}",
        "weekly": f"the first of a week, from {_weekday(rules.weekday)} on, for {counted(rules.weekly, 'week')}",
        "monthly": f"the first of a month, from {begins} on, for {counted(rules.monthly, 'month')}",
        "yearly": f"the first of a year, from {begins} of {calendar.month_name[rules.month]} on, for {counted(rules.yearly, 'year')}",
    }
    return [told[rule] for rule, length in lengths(rules).items() if length]


def _weekday(name: str) -> str:
    return calendar.day_name[WEEKDAYS.index(name)]


def _spoken(month_day: str) -> str:
    which, _, weekday = month_day.partition("-")
    return f"the {which} {_weekday(weekday) if weekday else 'day'}"
