"""The backups that a machine starts by itself: the parsed times, the runs that count, and the files for each system."""

import plistlib
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.errors import UsageError
from seed.home.schedule import Schedule, parse_daily, parse_weekly
from seed.home.timers import TASK, TimerJob, calendars, launchd, systemd, windows
from tests import facilities

DATA = Path(__file__).parent / "timers"
DAILY = Schedule(times=(540, 780, 1260))
WEEKLY = Schedule(times=(1320,), days=(5, 6), every=2, since=date(2026, 11, 25).toordinal())
JOB = TimerJob("/opt/off seed/bin/seed", ("backup", "--scheduled"), '/var/lib/100% "home"/$seed')
MOMENTS = st.integers(1_767_225_600, 2_208_988_800).map(lambda at: datetime.fromtimestamp(at, UTC))
ON_WINDOWS = TimerJob(
    r"C:\Program Files\offseed\seed.exe", ("backup", "--scheduled"), r"C:\ProgramData\offseed"
)


def test_times_and_days_are_read_as_people_write_them() -> None:
    assert parse_daily(["21:00", "9:00", "13:00", "09:00"]) == DAILY.times
    assert parse_weekly("sat,sun@22:00") == ((5, 6), (1320,))
    assert parse_weekly("mon-fri@0:05") == ((0, 1, 2, 3, 4), (5,))


@pytest.mark.parametrize("text", ["", "9", "24:00", "9:60", "nine", "09:00:00", "-1:00"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_daily([text])
    assert caught.value.code == "schedule-unreadable"
    for weekly in (f"sat@{text}", "sat", "@22:00", "someday@22:00"):
        with pytest.raises(UsageError):
            parse_weekly(weekly)


def test_a_day_has_three_backups_at_most() -> None:
    with pytest.raises(UsageError):
        parse_daily(["01:00", "02:00", "03:00", "04:00"])


def test_it_is_said_in_words() -> None:
    assert DAILY.words() == "every day at 09:00, 13:00, 21:00"
    assert WEEKLY.words() == "sat, sun at 22:00, every 2 weeks"


def test_every_second_week_counts_and_what_was_missed_is_caught_up() -> None:
    saturday = datetime(2026, 11, 28, 22, 0, tzinfo=UTC)
    assert WEEKLY.is_due(saturday)
    assert WEEKLY.is_due(saturday + timedelta(days=1))
    assert not WEEKLY.is_due(saturday + timedelta(days=7))
    assert WEEKLY.is_due(saturday + timedelta(days=14))
    assert WEEKLY.is_due(saturday + timedelta(days=3)), "the machine was off until Tuesday"
    assert WEEKLY.is_due(saturday + timedelta(days=6, hours=23)), "and until Saturday, before it is ten"
    assert not WEEKLY.is_due(saturday + timedelta(days=10))


@given(MOMENTS, st.sets(st.integers(0, 6), min_size=1))
def test_of_every_week_each_moment_counts(now: datetime, days: set[int]) -> None:
    assert Schedule(times=(600,), days=tuple(sorted(days))).is_due(now)


@given(
    MOMENTS,
    st.sets(st.integers(0, 6), min_size=1),
    st.integers(1, 4),
)
def test_of_n_weeks_one_counts(now: datetime, days: set[int], every: int) -> None:
    schedule = Schedule(times=(600,), days=tuple(sorted(days)), every=every)
    assert sum(schedule.is_due(now + timedelta(weeks=n)) for n in range(every)) == 1


def golden(name: str, data: bytes) -> None:
    """Check that the data equals the file of this name beside this test."""
    assert (DATA / name).read_bytes() == data, f"{name} differs: {data.decode(errors='replace')}"


def test_the_files_of_systemd() -> None:
    for schedule, prefix in ((DAILY, "daily"), (WEEKLY, "weekly")):
        for name, text in systemd(schedule, JOB).items():
            golden(f"{prefix}-{name}", text.encode())


def test_the_property_lists_of_launchd() -> None:
    for schedule, prefix in ((DAILY, "daily"), (WEEKLY, "weekly")):
        data = launchd(schedule, JOB)
        golden(f"{prefix}.plist", data)
        read = plistlib.loads(data)
        assert read["EnvironmentVariables"] == {"SEED_HOME": JOB.home}
    assert {m["Weekday"] for m in read["StartCalendarInterval"]} == {6, 0}, "Saturday, and Sunday as 0"


def test_the_tasks_of_windows() -> None:
    for schedule, prefix in ((DAILY, "daily"), (WEEKLY, "weekly")):
        data = windows(schedule, ON_WINDOWS, date(2026, 11, 28))
        golden(f"{prefix}.xml", data)
        task = ElementTree.fromstring(data)
        triggers = task.findall(f".//{{{TASK}}}CalendarTrigger")
        assert len(triggers) == len(schedule.times)
        arguments = task.findtext(f".//{{{TASK}}}Arguments")
        assert arguments is not None
        assert ON_WINDOWS.home in arguments


@pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED but on Linux: systemd")
@pytest.mark.parametrize("schedule", [DAILY, WEEKLY, Schedule(times=(0,))], ids=Schedule.words)
def test_systemd_takes_them(tmp_path: Path, schedule: Schedule) -> None:
    facilities.insist("systemd-analyze")
    program = shutil.which("true")
    assert program is not None
    job = TimerJob(program, JOB.arguments, JOB.home)
    for name, text in systemd(schedule, job).items():
        (tmp_path / name).write_text(text)
    units = [str(path) for path in tmp_path.iterdir()]
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True)
    complaints = [line for line in done.stderr.splitlines() if "offseed" in line]
    assert (done.returncode, complaints) == (0, []), done.stderr
    for calendar in calendars(schedule):
        told = subprocess.run(["systemd-analyze", "calendar", calendar], capture_output=True, text=True)
        assert told.returncode == 0, told.stderr
        assert "Next elapse" in told.stdout
