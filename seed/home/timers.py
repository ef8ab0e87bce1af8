"""The files for the system's own timers, for each system. This is text alone, which the caller writes.

systemd: a service, and a timer that catches up on runs missed while the machine was off; by
systemd.service(5) and systemd.timer(5). launchd: a property list; launchd.plist(5). Windows: a task for
`schtasks /Create /XML`, by the schema of the Task Scheduler. All run at low priority, for processor and
disks.
"""

import hashlib
import os
import plistlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from xml.etree import ElementTree

from formats.errors import HomeError
from seed.home.schedule import Schedule

NAME = "offseed"
LABEL = "org.offseed.backup"
ABOUT = "offseed: back up this machine"
NICE = 10
TASK = "http://schemas.microsoft.com/windows/2004/02/mit/task"
_SYSTEMD = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_WINDOWS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True)
class TimerJob:
    """The job of a timer: the program's path, its arguments, and its home.

    `mark` is in the names of the timer if other homes of this system may have timers too.
    """

    program: str
    arguments: Sequence[str]
    home: str
    mark: str = ""

    @property
    def name(self) -> str:
        """The name of units and tasks."""
        return f"{NAME}-{self.mark}" if self.mark else NAME

    @property
    def label(self) -> str:
        """The name for launchd."""
        return f"{LABEL}.{self.mark}" if self.mark else LABEL

    def check(self) -> None:
        """Refuse words that could end a line of a timer's file and begin another.

        Raises HomeError timer-refused.
        """
        for word in (self.program, *self.arguments, self.home):
            if not word.isprintable() or (sys.platform == "win32" and set(word) & set('%"')):
                raise HomeError(
                    "timer-refused", "the timer cannot name this path: it has characters that are not printed",
                    subject=word, hint="choose a home of a plain name by SEED_HOME, and a plain place for the program",
                )  # fmt: skip


def mark_of(home: str) -> str:
    """Return the mark that tells the timers of the home at this path from those of others."""
    return hashlib.sha256(os.fsencode(home)).hexdigest()[:8]


def calendars(schedule: Schedule) -> list[str]:
    """Return the times in the form of systemd.time(7), by the machine's clock, despite daylight saving."""
    days = "" if schedule.is_daily else ",".join(_SYSTEMD[day] for day in schedule.days) + " "
    return [f"{days}*-*-* {at}:00" for at in schedule.clock_times()]


def systemd(schedule: Schedule, job: TimerJob) -> dict[str, str]:
    """Return the files of a service and its timer, by name."""
    command = " ".join(_quoted(word).replace("$", "$$") for word in (job.program, *job.arguments))
    service = f"""[Unit]
Description={ABOUT}
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
Environment={_quoted(f"SEED_HOME={job.home}")}
ExecStart={command}
SuccessExitStatus=3
Nice={NICE}
IOSchedulingClass=idle
"""
    when = "\n".join(f"OnCalendar={calendar}" for calendar in calendars(schedule))
    timer = f"""[Unit]
Description={ABOUT}

[Timer]
{when}
Persistent=true
AccuracySec=1min

[Install]
WantedBy=timers.target
"""
    return {f"{job.name}.service": service, f"{job.name}.timer": timer}


def launchd(schedule: Schedule, job: TimerJob) -> bytes:
    """Return the property list of an agent or daemon."""
    moments: list[dict[str, int]] = []
    for at in schedule.times:
        moment = {"Hour": at // 60, "Minute": at % 60}
        days = [{}] if schedule.is_daily else [{"Weekday": (day + 1) % 7} for day in schedule.days]
        moments += [{**moment, **day} for day in days]
    return plistlib.dumps(
        {
            "Label": job.label,
            "ProgramArguments": [job.program, *job.arguments],
            "EnvironmentVariables": {"SEED_HOME": job.home},
            "StartCalendarInterval": moments,
            "ProcessType": "Background",
            "LowPriorityIO": True,
            "Nice": NICE,
        }
    )


def windows(schedule: Schedule, job: TimerJob, today: date) -> bytes:
    """Return a task in UTF-16, as `schtasks` reads it."""
    task = ElementTree.Element("Task", {"version": "1.2", "xmlns": TASK})
    _add(_add(task, "RegistrationInfo"), "Description", ABOUT)
    triggers = _add(task, "Triggers")
    for at in schedule.clock_times():
        trigger = _add(triggers, "CalendarTrigger")
        _add(trigger, "StartBoundary", f"{today.isoformat()}T{at}:00")
        _add(trigger, "Enabled", "true")
        if schedule.is_daily:
            _add(_add(trigger, "ScheduleByDay"), "DaysInterval", "1")
        else:
            week = _add(trigger, "ScheduleByWeek")
            _add(week, "WeeksInterval", "1")  # the command itself knows the n-th week
            days = _add(week, "DaysOfWeek")
            for day in schedule.days:
                _add(days, _WINDOWS[day])
    settings = _add(task, "Settings")
    _add(settings, "MultipleInstancesPolicy", "Queue" if schedule.overlap == "wait" else "IgnoreNew")
    _add(settings, "DisallowStartIfOnBatteries", "false")
    _add(settings, "StopIfGoingOnBatteries", "false")
    _add(settings, "StartWhenAvailable", "true")
    _add(settings, "ExecutionTimeLimit", "PT0S")
    _add(settings, "Priority", "7")
    execute = _add(_add(task, "Actions"), "Exec")
    _add(execute, "Command", "cmd.exe")
    words = " ".join(f'"{word}"' for word in (job.program, *job.arguments))
    _add(execute, "Arguments", f'/d /s /c "set "SEED_HOME={job.home}" && {words}"')
    ElementTree.indent(task)
    return bytes(ElementTree.tostring(task, encoding="utf-16", xml_declaration=True))


def _add(parent: ElementTree.Element, name: str, value: str = "") -> ElementTree.Element:
    child = ElementTree.SubElement(parent, name)
    if value:
        child.text = value
    return child


def _quoted(word: str) -> str:
    """Return one word of a unit file, quoted and without specifiers, by systemd.service(5), "Command lines".

    The caller doubles dollar signs besides.
    """
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'
