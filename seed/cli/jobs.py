"""The commands `seed jobs` and `seed notify`: the jobs of this home, and the notices about them."""

from pathlib import Path
from typing import TYPE_CHECKING

from formats.shell.completion import add_completion
from formats.shell.console import DONE, Console, command
from formats.shell.jobs import commands, notify_commands
from formats.shell.jobs.commands import AllOption, FollowOption, JobArgument
from formats.shell.jobs.notify_commands import ProgramSide, add_notify
from seed.cli.app import app, open_home

if TYPE_CHECKING:
    from formats.shell.jobs.notifications import Event, Notify

BACKUPS = ("backup", "export")


@command(app, "jobs", only_tells=True)
def jobs(
    console: Console, job: JobArgument = None, follow: FollowOption = False, every: AllOption = False
) -> int:
    """List the jobs of this home.

    Backups, exports, restores and others; running ones too.

    Each has a log of JSON lines in the home; the last 400 are kept.

    Example: seed jobs --follow
    """
    from formats.shell.jobs.listing import jobs as found

    home = open_home().path
    if (code := commands.of_one(console, home, job, following=follow)) is not None:
        return code
    rows = [(commands.told(one), one.to_json()) for one in found(home)]
    commands.list_jobs(console, rows, every=every)
    return DONE


def _name(home: Path) -> str:
    from seed.home.home import Home

    return Home.open(home).identity.name


def _proxy(home: Path) -> str:
    from seed.home.network import Network

    return Network.of(home).proxy


def _overdue(_: Console, home: Path, notify: "Notify") -> "list[Event]":
    from formats.shell.jobs.listing import jobs as found
    from formats.shell.jobs.notifications import believed, doubt, stale
    from seed.home.doubt_records import UsualItems

    done = found(home)
    registered = int((home / "identity.json").stat().st_mtime)
    since = min((job.began for job in done if believed(job.began)), default=registered)
    event = stale(done, _name(home), BACKUPS, notify.days, since)
    events = [event] if event is not None else []
    if doubts := UsualItems.of(open_home()).doubts:
        events.append(doubt(_name(home), "the last backup doubts", len(doubts), {"doubts": len(doubts)}))
    return events


def _home() -> Path:
    return open_home().path


SIDE = ProgramSide("seed", _home, _name, _proxy, _overdue)
add_notify(app, SIDE)
add_completion(app, "seed")


def job_ended(console: Console) -> None:
    """Send the notices about an ended job."""
    notify_commands.job_ended(SIDE, console)
