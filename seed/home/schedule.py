"""The schedule of this machine's backups: up to three times a day, or on some days of every n-th week.

The home keeps it. No daemon of offseed waits for it: the system's own timers run `seed backup --scheduled`
(seed/home/timers.py).
"""

import os
import re
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

from formats.documents.codec import Record, choice, integer, many, member, text
from formats.errors import UsageError
from formats.records import read_record, write_record
from seed.home.throttle import DAYS, parse_days

FILE = "schedule.json"
TIMES_MAX = 3  # a day
EVERY_MAX = 4  # weeks
COMMAND_MAX = 4000
MINUTES = 24 * 60
_TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])\Z")
_MONDAY = date(2000, 1, 3).toordinal()


class Schedule(Record):
    """The times of backups, and the commands around them.

    `times` are in minutes of the day, by the machine's clock. They apply on the `days`, Monday being 0, of
    every n-th week. Weeks count from the week of the day `since` (by `date.toordinal`). `overlap` says
    whether a run that finds another at work is left out, or waits. `before` and `after` are commands of the
    system's shell.
    """

    times: tuple[int, ...] = member(many(integer(0, MINUTES - 1), TIMES_MAX))
    days: tuple[int, ...] = member(many(integer(0, 6), 7), default=tuple(range(7)))
    every: int = member(integer(1, EVERY_MAX), default=1)
    since: int = member(integer(), default=_MONDAY)
    overlap: str = member(choice("skip", "wait"), default="skip")
    before: str = member(text(COMMAND_MAX), default="")
    after: str = member(text(COMMAND_MAX), default="")

    @classmethod
    def of(cls, home: Path) -> "Schedule | None":
        """Return the schedule of a home, or None without one. Raises HomeError home-damaged."""
        return read_record(home / FILE, cls) if os.path.exists(home / FILE) else None

    def save(self, home: Path) -> None:
        write_record(home / FILE, self)

    @property
    def is_daily(self) -> bool:
        return len(self.days) == 7

    def is_due(self, now: datetime) -> bool:
        """Return whether a run that begins now counts, by the machine's clock.

        Timers that know no n-th week run every week. Timers also catch up later on missed runs. So the last
        scheduled moment before now decides.
        """
        minute = now.hour * 60 + now.minute
        days = [now.date().toordinal() - back for back in range(8)]
        last = next(
            day
            for day in days
            if date.fromordinal(day).weekday() in self.days and (day != days[0] or minute >= min(self.times))
        )
        return (_week(last) - _week(self.since)) % self.every == 0

    def clock_times(self) -> list[str]:
        return [f"{at // 60:02d}:{at % 60:02d}" for at in self.times]

    def words(self) -> str:
        """Return the schedule in words."""
        times = ", ".join(self.clock_times())
        if self.is_daily:
            return f"every day at {times}"
        days = ", ".join(DAYS[day] for day in self.days)
        return f"{days} at {times}" + ("" if self.every == 1 else f", every {self.every} weeks")


def timed(
    known: Schedule | None, daily: list[str], weekly: str | None, every: int | None, today: date
) -> Schedule:
    """Return the schedule that was `known`, with the given times.

    Raises UsageError usage, schedule-unreadable, rate-unreadable.
    """
    if known is None and not daily and weekly is None:
        raise UsageError("usage", "nothing says when", hint="give --daily HH:MM, or --weekly DAYS@HH:MM")
    if daily and weekly is not None:
        raise UsageError("usage", "a schedule is either daily or weekly", hint="leave out one of both")
    schedule = known or Schedule(times=())
    if daily:
        schedule = replace(schedule, times=parse_daily(daily), days=tuple(range(7)), every=1)
    if weekly is not None:
        days, times = parse_weekly(weekly)
        schedule = replace(schedule, times=times, days=days, every=1)
    if every is not None:
        if schedule.is_daily and every > 1:
            raise UsageError("usage", "only a weekly schedule has an n-th week", hint="give --weekly as well")
        schedule = replace(schedule, every=every, since=today.toordinal())
    return schedule


def parse_daily(texts: list[str]) -> tuple[int, ...]:
    """Return the times from texts such as 09:00, at most three. Raises UsageError schedule-unreadable."""
    times = tuple(sorted({_minutes(text) for text in texts}))
    if len(times) > TIMES_MAX:
        raise _unreadable(
            f"a day has at most {TIMES_MAX} backups", " ".join(texts), "leave out some of the times"
        )
    return times


def parse_weekly(text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return days and times from a text such as sat,sun@22:00.

    Raises UsageError schedule-unreadable, rate-unreadable.
    """
    days, at, when = text.partition("@")
    if not at:
        raise _unreadable("these are no days and time", text, "write them as sat,sun@22:00")
    return parse_days(days), (_minutes(when),)


def _minutes(text: str) -> int:
    match = _TIME.match(text.strip())
    if match is None:
        raise _unreadable("this is no time of day", text, "write it as 09:00")
    return int(match[1]) * 60 + int(match[2])


def _week(ordinal: int) -> int:
    return (ordinal - _MONDAY) // 7


def _unreadable(what: str, text: str, hint: str) -> UsageError:
    return UsageError("schedule-unreadable", what, subject=text, hint=hint)
