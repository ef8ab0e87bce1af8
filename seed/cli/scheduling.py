"""The command `seed schedule`: when this machine backs up by itself, and the system's timer that does it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from formats.errors import HomeError, UsageError
from formats.shell.command_groups import group
from formats.shell.console import Console, command
from formats.store.clock import SYSTEM, moment_of
from seed.cli.app import app, is_usual_home, open_home, started_by
from seed.cli.hooks import AfterOption, BeforeOption, Hooks, between

if TYPE_CHECKING:
    from formats.untrusted import Json
    from seed.home.home import Home
    from seed.home.schedule import Schedule
    from seed.home.timers import TimerJob

schedule_app = group(
    app,
    "schedule",
    "Show, set and install the schedule of backups.",
    "seed schedule set --daily 09:00 --daily 21:00",
)


@command(schedule_app, "set")
def schedule_set(
    console: Console,
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="PATH", help="Paths to back up from now on.")
    ] = None,
    daily: Annotated[
        list[str] | None, typer.Option("--daily", metavar="HH:MM", help="Every day then; up to three times.")
    ] = None,
    weekly: Annotated[
        str | None, typer.Option("--weekly", metavar="DAYS@HH:MM", help="On these days, as sat,sun@22:00.")
    ] = None,
    every: Annotated[
        int | None, typer.Option("--every", metavar="N", min=1, max=4, help="Every n-th week alone.")
    ] = None,
    overlap: Annotated[
        str | None,
        typer.Option("--overlap", metavar="RULE", help="skip or wait, where another command is at work."),
    ] = None,
    before: BeforeOption = None,
    after: AfterOption = None,
) -> None:
    """Set when this machine backs up by itself.

    That is up to three times a day, or on some days of the week.

    Times are those of the machine's clock. An option that is not given stays as it was. `seed schedule
    install` makes the system follow the schedule.

    Example: seed schedule set --daily 09:00 --daily 21:00 --before /etc/offseed/dump-databases
    """
    from seed.home.home import LeftOut
    from seed.home.items import choose_scope
    from seed.home.schedule import Schedule, timed

    home = open_home()
    known = Schedule.of(home.path)
    if overlap not in (None, "skip", "wait"):
        raise UsageError("usage", "there is no such rule", subject=str(overlap), hint="write skip or wait")
    schedule = timed(known, daily or [], weekly, every, _now().date())
    schedule = replace(
        schedule,
        overlap=schedule.overlap if overlap is None else overlap,
        before=schedule.before if before is None else before,
        after=schedule.after if after is None else after,
    )
    with home.locked():
        if paths:
            choose_scope(home, paths, LeftOut(), once=False).remember(home, console)
        schedule.save(home.path)
    _show(console, home, schedule)
    if not _unit_files(home):
        console.notice("it is not installed: `seed schedule install` makes the system run it")
    else:
        console.notice("`seed schedule install` tells the system of the change")


@command(schedule_app, "show")
def schedule_show(console: Console) -> None:
    """Show the schedule, and whether it is installed.

    Example: seed schedule show
    """
    from seed.home.schedule import Schedule

    home = open_home()
    schedule = Schedule.of(home.path)
    if schedule is None:
        console.say("no schedule is set")
        console.result({"times": [], "installed": False})
        return
    _show(console, home, schedule)


@command(schedule_app, "install")
def schedule_install(
    console: Console,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FOLDER", help="Only write the files there, and start nothing."),
    ] = None,
) -> None:
    """Have the system run the backups.

    A systemd timer, a launchd job or a task of Windows runs them: for root the system's, else the user's own.
    Run it again after a change.

    Example: seed schedule install
    """
    home = open_home()
    schedule, job = _scheduled(home), _job(home)
    job.check()
    files = _texts(schedule, job)
    folder = to or _unit_folder(home)
    written: list[Json] = []
    for name, data in files.items():
        path = folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        except OSError as error:
            raise HomeError(
                "timer-refused", f"the timer cannot be written ({error.strerror})", subject=str(path),
                hint="run it as root for the system's timers, or as a user for that user's own",
            ) from error  # fmt: skip
        written.append(str(path))
        console.say(f"written      {path}")
    if to is None:
        for words in _starts(folder, job):
            _tell_system(words)
        console.say(f"installed    {schedule.words()}")
    console.result({"files": written, "installed": to is None})


@command(schedule_app, "remove")
def schedule_remove(console: Console) -> None:
    """Take the system's timer away.

    The schedule itself stays set.

    Example: seed schedule remove
    """
    home = open_home()
    files = _unit_files(home)
    for words in _ends(_unit_folder(home), _job(home)) if files else ():
        _tell_system(words)
    for path in files:
        path.unlink(missing_ok=True)
        console.say(f"removed      {path}")
    if not files:
        console.say("no timer is installed")
    console.result({"removed": [str(path) for path in files]})


@contextmanager
def in_turn(console: Console, home: "Home", schedule: "Schedule | None", hooks: Hooks) -> Iterator[bool]:
    """Hold the home between the commands before and after, and yield True.

    Yield False if another command is at work and the rule of the `schedule` leaves this run out. Raises
    HomeError home-busy, hook-failed.
    """
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(home.locked())
                break
            except HomeError as error:
                if error.code != "home-busy" or schedule is None:
                    raise
                if schedule.overlap == "skip":
                    console.notice(
                        "another command works on this home; by the schedule's rule this run is left out"
                    )
                    _did_nothing(console, "skipped")
                    yield False
                    return
        stack.enter_context(between(console, home, hooks))
        yield True


def due(console: Console, home: "Home") -> "Schedule | None":
    """Return the schedule if a run is due today, else None. Raises UsageError schedule-missing."""
    schedule = _scheduled(home)
    if schedule.is_due(_now()):
        return schedule
    console.say(f"nothing is due today: {schedule.words()}")
    _did_nothing(console, "not-due")
    return None


def _did_nothing(console: Console, why: str) -> None:
    """Note in the job's log, and in the result for scripts, that the run did nothing, and why."""
    if console.log is not None:
        console.log.nothing = why
    console.result({"nothing": why})


def _now() -> datetime:
    """Return the time by the machine's own clock and zone."""
    return moment_of(SYSTEM).astimezone()


def _scheduled(home: "Home") -> "Schedule":
    from seed.home.schedule import Schedule

    schedule = Schedule.of(home.path)
    if schedule is None:
        raise UsageError(
            "schedule-missing", "no schedule is set", subject=str(home.path),
            hint="set one first: seed schedule set --daily 09:00",
        )  # fmt: skip
    return schedule


def _show(console: Console, home: "Home", schedule: "Schedule") -> None:
    console.say(f"Schedule: {schedule.words()}")
    if schedule.before:
        console.say(f"  before       {schedule.before}")
    if schedule.after:
        console.say(f"  after        {schedule.after}")
    console.say(f"  overlap      {'is left out' if schedule.overlap == 'skip' else 'waits for its turn'}")
    installed = bool(_unit_files(home))
    timer = _job(home).name
    console.say(f"  timer        {timer}, {'installed' if installed else 'not installed'}")
    console.result(
        {
            "times": [*schedule.clock_times()],
            "days": [*schedule.days],
            "every": schedule.every,
            "overlap": schedule.overlap,
            "before": schedule.before or None,
            "after": schedule.after or None,
            "timer": timer,
            "installed": installed,
        }
    )


def _job(home: "Home") -> "TimerJob":
    import shutil

    from seed.home.timers import TimerJob, mark_of

    called, *words = started_by()
    program = Path(shutil.which(called) or called).absolute()
    path = str(home.path.absolute())
    mark = "" if is_usual_home(home.path) else mark_of(os.path.realpath(path))
    return TimerJob(str(program), (*words, "backup", "--scheduled"), path, mark)


def _texts(schedule: "Schedule", job: "TimerJob") -> dict[str, bytes]:
    from seed.home import timers

    if sys.platform == "win32":
        return {f"{job.name}.xml": timers.windows(schedule, job, _now().date())}
    if sys.platform == "darwin":
        return {f"{job.label}.plist": timers.launchd(schedule, job)}
    return {name: text.encode() for name, text in timers.systemd(schedule, job).items()}


def _unit_folder(home: "Home") -> Path:
    if sys.platform == "win32":
        return home.path
    root = os.geteuid() == 0
    if sys.platform == "darwin":
        return Path("/Library/LaunchDaemons") if root else Path.home() / "Library/LaunchAgents"
    own = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return Path("/etc/systemd/system") if root else own / "systemd/user"


def _unit_files(home: "Home") -> list[Path]:
    folder, job = _unit_folder(home), _job(home)
    names = (f"{job.name}.timer", f"{job.name}.service", f"{job.name}.xml", f"{job.label}.plist")
    return [folder / name for name in names if (folder / name).exists()]


def _starts(folder: Path, job: "TimerJob") -> list[list[str]]:
    if sys.platform == "win32":
        task = str(folder / f"{job.name}.xml")
        return [["schtasks", "/Create", "/F", "/TN", job.name, "/XML", task]]
    if sys.platform == "darwin":
        return [["launchctl", "load", "-w", str(folder / f"{job.label}.plist")]]
    systemctl = ["systemctl", *([] if os.geteuid() == 0 else ["--user"])]
    return [[*systemctl, "daemon-reload"], [*systemctl, "enable", "--now", f"{job.name}.timer"]]


def _ends(folder: Path, job: "TimerJob") -> list[list[str]]:
    if sys.platform == "win32":
        return [["schtasks", "/Delete", "/F", "/TN", job.name]]
    if sys.platform == "darwin":
        return [["launchctl", "unload", "-w", str(folder / f"{job.label}.plist")]]
    systemctl = ["systemctl", *([] if os.geteuid() == 0 else ["--user"])]
    return [[*systemctl, "disable", "--now", f"{job.name}.timer"]]


def _tell_system(words: list[str]) -> None:
    """Run a command that tells the system about a timer. Raises HomeError timer-refused."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        why = (done.stderr or done.stdout).strip().splitlines()[-1:] if done.returncode else None
    except OSError as error:
        why = [error.strerror or type(error).__name__]
    if why is not None:
        raise HomeError(
            "timer-refused", f"the system does not take the timer ({' '.join(why) or 'it does not say why'})",
            subject=" ".join(words),
            hint="is this system's timer service running? The files are written; run that command by hand, or `seed backup "
            "--scheduled` from another timer, as cron",
        )  # fmt: skip
