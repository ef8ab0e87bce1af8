"""The speed of bytes to the vault and from it: one rate in working hours, another at all other times.

The clock of this machine's zone counts, so that a change to summer time is followed. The rate is asked for
every few kilobytes. So a rate that begins or changes during a job applies from then on.
"""

import re
import threading
import time
from collections.abc import Callable
from typing import Self

from formats.documents.codec import Record, integer, many, member, optional
from formats.errors import UsageError
from formats.store.clock import Clock

RATE_MIN, RATE_MAX = 512_000, 1_023_000_000  # bits a second, as the Azure Backup agent has them
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY = 24 * 60  # minutes
CATCH_UP = 0.2  # seconds by which a late caller may hurry
NAP_MIN = 0.005  # seconds; shorter naps take longer than they should

_RATE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?) ?([kmg]?)(bit|B)(?:/s|ps)?\Z", re.IGNORECASE)
_HOURS = re.compile(r"([0-9]{1,2}):([0-9]{2}) ?- ?([0-9]{1,2}):([0-9]{2})\Z")
_PREFIX = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_RATE_MEMBER = optional(integer(RATE_MIN, RATE_MAX))


class Throttle(Record):
    """The working time and the rates.

    `begin` and `end` are minutes of the day. `days` count from Monday. Rates are in bits a second, None for
    no limit.
    """

    begin: int = member(integer(0, DAY - 1), default=9 * 60)
    end: int = member(integer(0, DAY), default=18 * 60)
    days: tuple[int, ...] = member(many(integer(0, 6), 7), default=(0, 1, 2, 3, 4))
    work_rate: int | None = member(_RATE_MEMBER, default=None)
    other_rate: int | None = member(_RATE_MEMBER, default=None)

    @classmethod
    def parse(
        cls, hours: str | None, days: str | None, work_rate: str | None, other_rate: str | None, before: Self
    ) -> Self:
        """Return the given values, and the rest as it was `before`. Raises UsageError rate-unreadable."""
        begin, end = parse_hours(hours) if hours is not None else (before.begin, before.end)
        return cls(
            begin=begin,
            end=end,
            days=parse_days(days) if days is not None else before.days,
            work_rate=parse_rate(work_rate) if work_rate is not None else before.work_rate,
            other_rate=parse_rate(other_rate) if other_rate is not None else before.other_rate,
        )

    def at_work(self, moment: time.struct_time) -> bool:
        """Return whether it is working time.

        Hours that pass midnight belong to the day on which they begin.
        """
        minute, day = moment.tm_hour * 60 + moment.tm_min, moment.tm_wday
        if self.begin < self.end:
            return day in self.days and self.begin <= minute < self.end
        return (minute >= self.begin and day in self.days) or (
            minute < self.end and (day - 1) % 7 in self.days
        )

    def rate(self, moment: time.struct_time) -> int | None:
        """Return the bits a second at that moment of local time, or None without a limit."""
        return self.work_rate if self.at_work(moment) else self.other_rate

    def hours(self) -> str:
        return f"{_clock(self.begin)}-{_clock(self.end)}"

    def weekdays(self) -> str:
        """Return the days as `parse_days` reads them."""
        return ",".join(DAYS[day] for day in sorted(self.days)) or "none"


class Pace:
    """A limiter that keeps to a throttle. All callers share one rate, and are served in turn.

    Each caller gets the next free piece of time. A caller may wake a moment late for it, and then hurry, so
    that the mean is met.
    """

    def __init__(self, throttle: Callable[[], Throttle | None], clock: Clock) -> None:
        self._throttle = throttle
        self._clock = clock
        self._lock = threading.Lock()
        self._free = clock.elapsed()  # when the next piece of time begins

    def take(self, count: int) -> None:
        throttle = self._throttle()
        rate = throttle.rate(time.localtime(self._clock.now())) if throttle is not None else None
        with self._lock:
            now = self._clock.elapsed()
            self._free = max(self._free, now - CATCH_UP)
            if rate is not None:
                self._free += 8 * count / rate
            wait = self._free - now
        if wait > NAP_MIN:
            self._clock.sleep(wait)


def parse_rate(text: str) -> int | None:
    """Return the bits a second, or None for `unlimited`. Raises UsageError rate-unreadable."""
    if text.lower() in ("unlimited", "none"):
        return None
    bits = parse_bits(text, "; or unlimited")
    if not RATE_MIN <= bits <= RATE_MAX:
        raise _unreadable("this rate is out of reach", text, "a rate is 512kbit to 1023mbit; or unlimited")
    return bits


def parse_bits(text: str, otherwise: str = "") -> int:
    """Return the bits a second, however few or many. Raises UsageError rate-unreadable."""
    match = _RATE.match(text)
    if match is None or (match[3].lower() == "b" and match[3] != "B"):
        raise _unreadable("this is no rate", text, f"say bit or B, as 512kbit, 100mbit or 12.5MB{otherwise}")
    return round(float(match[1]) * _PREFIX[match[2].lower()] * (8 if match[3] == "B" else 1))


def parse_hours(text: str) -> tuple[int, int]:
    """Return the minutes from a text such as 09:00-18:00 or 22:00-06:00.

    Raises UsageError rate-unreadable.
    """
    match = _HOURS.match(text)
    numbers = [int(n) for n in match.groups()] if match is not None else [0, 0, 0, 0]
    begin, end = numbers[0] * 60 + numbers[1], numbers[2] * 60 + numbers[3]
    if match is None or max(numbers[1], numbers[3]) > 59 or begin >= DAY or end > DAY or begin == end:
        raise _unreadable("these are no hours", text, "write them as 09:00-18:00")
    return begin, end


def parse_days(text: str) -> tuple[int, ...]:
    """Return the days from a text such as mon-fri, sat-mon or mon,wed,fri.

    Raises UsageError rate-unreadable.
    """
    found: set[int] = set()
    for part in text.lower().split(","):
        first, dash, last = part.strip().partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise _unreadable("these are no days", text, "write them as mon-fri, or mon,wed,sat")
        begin = DAYS.index(first)
        span = (DAYS.index(last) - begin) % 7 if dash else 0
        found.update((begin + n) % 7 for n in range(span + 1))
    return tuple(sorted(found))


def shown(rate: int | None) -> str:
    """Return a rate as `parse_rate` reads it."""
    if rate is None:
        return "unlimited"
    for name, unit in (("mbit", 10**6), ("kbit", 10**3)):
        if rate >= unit and rate * 10 % unit == 0:
            whole, tenth = divmod(rate * 10 // unit, 10)
            return f"{whole}.{tenth}{name}" if tenth else f"{whole}{name}"
    return f"{rate}bit"


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _unreadable(what: str, text: str, hint: str) -> UsageError:
    return UsageError("rate-unreadable", what, subject=text, hint=hint)
