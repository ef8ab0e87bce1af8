"""The throttle: a user's text is read or refused, hours and days are those of the wall, and the mean is met."""

import sys
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.errors import UsageError
from seed.home.throttle import (
    DAYS,
    RATE_MAX,
    RATE_MIN,
    Pace,
    Throttle,
    parse_days,
    parse_hours,
    parse_rate,
    shown,
)

OFFICE = Throttle(work_rate=512_000, other_rate=100_000_000)
NIGHT = Throttle(begin=22 * 60, end=6 * 60, days=(0, 4), work_rate=512_000, other_rate=None)


class Clock:
    """A wall clock, and a stopwatch that advances only during sleeps."""

    def __init__(self, wall: float = 0.0) -> None:
        self.wall = wall
        self.passed = 0.0
        self._lock = threading.Lock()

    def now(self) -> float:
        return self.wall

    def elapsed(self) -> float:
        return self.passed

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.passed += seconds
            self.wall += seconds

    def pace(self, throttle: Throttle | None) -> Pace:
        return Pace(lambda: throttle, self)


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if sys.platform == "win32":
        pytest.skip("NOT TESTED: a process has no time zone of its own here")
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def at(text: str) -> time.struct_time:
    return time.strptime(text, "%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("512kbit", 512_000), ("512 kbit/s", 512_000), ("100mbit", 10**8), ("1023Mbit", RATE_MAX), ("1gbit", 10**9),
        ("64kB", 512_000), ("12.5MB/s", 10**8), ("1.5Mbit", 1_500_000), ("512000bit", 512_000), ("unlimited", None),
    ],
)  # fmt: skip
def test_rates_are_read(text: str, bits: int | None) -> None:
    assert parse_rate(text) == bits


@pytest.mark.parametrize(
    "text",
    [
        "512",
        "512k",
        "512kb",
        "100mb",
        "1b",
        "511kbit",
        "1024mbit",
        "0bit",
        "-1mbit",
        "kbit",
        "1tbit",
        "",
        400 * "9" + "mbit",
    ],
)
def test_rates_that_are_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_rate(text)
    assert caught.value.code == "rate-unreadable"
    assert caught.value.hint


@given(st.integers(RATE_MIN, RATE_MAX) | st.none())
def test_a_rate_that_is_shown_can_be_read(rate: int | None) -> None:
    assert parse_rate(shown(rate)) == rate


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("mon-fri", (0, 1, 2, 3, 4)),
        ("sat-mon", (0, 5, 6)),
        ("Mon,wed", (0, 2)),
        ("sun", (6,)),
        ("tue-tue", (1,)),
    ],
)
def test_days_are_read(text: str, days: tuple[int, ...]) -> None:
    assert parse_days(text) == days


@given(st.sets(st.integers(0, 6), min_size=1))
def test_days_that_are_shown_can_be_read(days: set[int]) -> None:
    assert parse_days(Throttle(days=tuple(days)).weekdays()) == tuple(sorted(days))


@pytest.mark.parametrize("text", ["", "monday", "mon-", "-fri", "mon fri", "1-5"])
def test_days_that_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_days(text)


@pytest.mark.parametrize(
    "text", ["", "9-18", "09:00", "25:00-26:00", "09:60-10:00", "09:00-09:00", "24:00-08:00"]
)
def test_hours_that_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_hours(text)


@pytest.mark.parametrize(
    ("moment", "working"),
    [
        ("2026-11-27 08:59", False), ("2026-11-27 09:00", True), ("2026-11-27 17:59", True),
        ("2026-11-27 18:00", False), ("2026-11-28 12:00", False),
    ],
)  # fmt: skip
def test_office_hours(moment: str, working: bool) -> None:
    assert OFFICE.at_work(at(moment)) is working
    assert OFFICE.rate(at(moment)) == (512_000 if working else 100_000_000)


@pytest.mark.parametrize(
    ("moment", "working"),
    [  # Monday and Friday nights
        ("2026-11-23 21:59", False), ("2026-11-23 22:00", True), ("2026-11-24 05:59", True),
        ("2026-11-24 06:00", False), ("2026-11-24 22:00", False), ("2026-11-28 03:00", True),
        ("2026-11-27 03:00", False),
    ],
)  # fmt: skip
def test_hours_past_midnight_belong_to_the_day_on_which_they_begin(moment: str, working: bool) -> None:
    assert NIGHT.at_work(at(moment)) is working


@given(
    st.lists(st.integers(1, 64 << 10), min_size=20, max_size=200),
    st.sampled_from([RATE_MIN, 10**7, 10**8, RATE_MAX]),
)
def test_the_mean_is_met(pieces: list[int], rate: int) -> None:
    """Send no more than the rate allows, and not much less, with requests of any size."""
    clock = Clock()
    pace = clock.pace(Throttle(work_rate=rate, other_rate=rate))
    for piece in pieces:
        pace.take(piece)
    least = 8 * sum(pieces) / rate
    assert least - 0.01 <= clock.passed + 0.01
    assert clock.passed <= least + 0.01


def test_who_comes_late_catches_up_but_a_little() -> None:
    clock = Clock()
    pace = clock.pace(Throttle(work_rate=8_000_000, other_rate=8_000_000))
    pace.take(1_000_000)
    clock.passed += 60  # nothing was sent meanwhile
    before = clock.passed
    pace.take(1_000_000)
    assert 0.75 < clock.passed - before <= 1.0


def test_no_throttle_no_wait() -> None:
    clock = Clock()
    pace = clock.pace(None)
    for _ in range(1000):
        pace.take(1 << 20)
    assert clock.passed == 0


@pytest.mark.usefixtures("berlin")
def test_a_boundary_holds_for_what_runs() -> None:
    """Send from 17:59:50 on a Friday at 512 kbit/s; ten seconds later at a hundred times that and more."""
    clock = Clock(time.mktime(at("2026-11-27 17:59")) + 50)
    pace = clock.pace(OFFICE)
    sent = 0
    while clock.wall < time.mktime(at("2026-11-27 18:00")) + 10:
        pace.take(16 << 10)
        sent += 16 << 10
    assert sent * 8 == pytest.approx(10 * 512_000 + 10 * 100_000_000, rel=0.03), (
        "but for the piece in between"
    )


@pytest.mark.usefixtures("berlin")
def test_summer_time_is_followed() -> None:
    """Follow the clock, which jumps from 02:00 to 03:00 on 2027-03-28: later hours begin one hour earlier."""
    throttle = Throttle(begin=3 * 60, end=4 * 60, days=(6,), work_rate=512_000, other_rate=100_000_000)
    midnight = time.mktime(at("2027-03-28 00:00"))
    rates = [throttle.rate(time.localtime(midnight + hour * 3600)) for hour in range(5)]
    assert rates == [100_000_000, 100_000_000, 512_000, 100_000_000, 100_000_000]
    midnight = time.mktime(at("2026-10-25 00:00"))  # 02:00 to 03:00 comes twice
    throttle = Throttle(begin=2 * 60, end=3 * 60, days=(6,), work_rate=512_000, other_rate=100_000_000)
    rates = [throttle.rate(time.localtime(midnight + hour * 3600)) for hour in range(5)]
    assert rates == [100_000_000, 100_000_000, 512_000, 512_000, 100_000_000]


def test_what_is_not_given_stays() -> None:
    changed = Throttle.parse(None, None, "1mbit", None, OFFICE)
    assert (changed.hours(), changed.weekdays()) == ("09:00-18:00", ",".join(DAYS[:5]))
    assert (changed.work_rate, changed.other_rate) == (1_000_000, 100_000_000)
