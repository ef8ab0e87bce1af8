"""The command group `notify`, the same in both programs: the receivers of messages about the ends of jobs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from formats.errors import OffseedError, UsageError
from formats.shell.command_groups import group
from formats.shell.console import DONE, FAILED, WITH_FINDINGS, Console, command
from formats.words import counted

if TYPE_CHECKING:
    from formats.shell.jobs.notifications import Event, Notify


CommandOption = Annotated[
    str | None,
    typer.Option(
        "--command",
        metavar="COMMAND",
        help="A command for the system's shell; its input is the event as JSON. '' for none.",
    ),
]
WebhookOption = Annotated[
    str | None,
    typer.Option("--webhook", metavar="URL", help="Put the same JSON to this address. '' for none."),
]
OnOption = Annotated[
    str | None,
    typer.Option("--on", metavar="EVENTS", help="Of failure, warning, stale and doubt, with commas between."),
]
DaysOption = Annotated[
    int | None,
    typer.Option("--days", metavar="N", min=0, max=9999, help="Stale is no success for N days; 0: never."),
]
MetricsOption = Annotated[
    str | None,
    typer.Option(
        "--metrics", metavar="FILE", help="Keep this file for Prometheus' node exporter. '' for none."
    ),
]


@dataclass(frozen=True)
class ProgramSide:
    """The parts that differ between the two programs: the home, its name, the proxy, and the overdue events."""

    program: str
    home: Callable[[], Path]
    name: Callable[[Path], str]
    proxy: Callable[[Path], str]
    overdue: "Callable[[Console, Path, Notify], list[Event]]"


def add_notify(app: typer.Typer, side: ProgramSide) -> None:
    """Add the command group `notify` to `app`."""
    about = "Show and set the notices about ended jobs."
    example = f"{side.program} notify set --command 'mail -s offseed root' --on failure,stale --days 2"
    commands, below = _Commands(side), group(app, "notify", about, example)
    command(below, "set", example=f"{side.program} notify set --on failure,stale")(commands.set)
    for one in (commands.show, commands.test, commands.check):
        command(below, one.__name__, example=f"{side.program} notify {one.__name__}")(one)


class _Commands:
    """The commands of one side."""

    def __init__(self, side: ProgramSide) -> None:
        self._side = side

    def set(
        self,
        console: Console,
        run: CommandOption = None,
        webhook: WebhookOption = None,
        on: OnOption = None,
        days: DaysOption = None,
        metrics: MetricsOption = None,
    ) -> None:
        """Set the notifications of job ends.

        An option that is not given keeps its value.
        """
        from formats.shell.jobs.notifications import EVENTS, Notify, check_metrics

        home = self._side.home()
        notify = Notify.of(home)
        events = notify.events if on is None else tuple(word for word in on.split(",") if word)
        if unknown := [word for word in events if word not in EVENTS]:
            raise UsageError(
                "usage",
                "there is no such event",
                subject=", ".join(unknown),
                hint=f"write {', '.join(EVENTS)}",
            )
        given = {"command": run, "webhook": webhook, "metrics": metrics, "days": days}
        notify = replace(notify, events=events, **{n: v for n, v in given.items() if v is not None})  # type: ignore[arg-type]
        if metrics and Notify.of(home).metrics != metrics:
            check_metrics(Path(metrics), self._side.program, self._side.name(home))
        if notify.metrics:
            refresh(self._side, home, notify)
        notify.save(home)
        _show(console, notify)

    def show(self, console: Console) -> None:
        """Show the notifications of job ends."""
        from formats.shell.jobs.notifications import Notify

        _show(console, Notify.of(self._side.home()))

    def test(self, console: Console) -> int:
        """Send a test message, to see that it arrives."""
        from formats.shell.jobs.notifications import EVENTS, Event, Notify, tell

        home = self._side.home()
        notify = replace(Notify.of(home), events=EVENTS)
        event = Event("failure", self._side.name(home), "this is a test, nothing has failed", {"test": True})
        wrong = tell(notify, event, self._side.proxy(home))
        for why in wrong:
            console.aside(f"{self._side.program}: {why}")
        if not wrong:
            asked = bool(notify.command or notify.webhook)
            console.say("told, and nothing went wrong" if asked else "nobody is to be told")
        console.result({"wrong": [*wrong]})
        return FAILED if wrong else DONE

    def check(self, console: Console) -> int:
        """Report overdue backups and killed jobs.

        Also report a last backup that is doubted. Run this daily, for example by cron. The exit code is 3 if
        there is anything to report.
        """
        from formats.shell.jobs.notifications import Notify, tell

        home = self._side.home()
        notify = Notify.of(home)
        events = [*_killed(self._side, home), *self._side.overdue(console, home, notify)]
        for event in events:
            console.say(f"{event.who}: {event.what}")
            for why in tell(notify, event, self._side.proxy(home)):
                console.notice(why)
        if not events:
            console.say("nothing is overdue")
        if notify.metrics:
            refresh(self._side, home, notify)
        console.result([{"event": e.event, "name": e.who, "text": e.what} for e in events])
        return WITH_FINDINGS if events else DONE


def job_ended(side: ProgramSide, console: Console) -> None:
    """Report the end of a job to its receivers, then write the metrics.

    An error here becomes a note, and prevents nothing else.
    """
    from formats.shell.jobs.listing import ended_now, read_job
    from formats.shell.jobs.notifications import Notify, event_of, tell

    log = console.log
    if log is None or not log.is_begun:
        return
    try:
        notify = Notify.of(log.home)
    except OffseedError as error:
        console.aside(f"note: nobody was told how it ended: {error.what}")
        return
    job = read_job(log.path) or ended_now(log, console)
    event = event_of(job, _or(lambda: side.name(log.home), side.program))
    for one in (*_killed(side, log.home), *([event] if event is not None else [])):
        for why in tell(notify, one, _or(lambda: side.proxy(log.home), "")):
            console.aside(f"note: {why}")
    try:
        if notify.metrics:
            refresh(side, log.home, notify)
    except OffseedError as error:
        console.aside(f"note: {error.what}")


def _killed(side: ProgramSide, home: Path) -> "list[Event]":
    """Return an event for each job that was killed and could not report its end."""
    from formats.shell.jobs.listing import end_those_killed
    from formats.shell.jobs.notifications import event_of

    who = _or(lambda: side.name(home), side.program)
    return [event for job in end_those_killed(home) if (event := event_of(job, who)) is not None]


def _or(ask: Callable[[], str], otherwise: str) -> str:
    """Return the answer of `ask`, or `otherwise`, because a damaged home may give none."""
    try:
        return ask()
    except OffseedError:
        return otherwise


def refresh(side: ProgramSide, home: Path, notify: "Notify") -> None:
    """Write the file of metrics. Raises HomeError."""
    from formats.shell.jobs.listing import jobs
    from formats.shell.jobs.notifications import write_metrics

    name = _or(lambda: side.name(home), side.program)
    write_metrics(Path(notify.metrics), side.program, name, jobs(home))


def _show(console: Console, notify: "Notify") -> None:
    from urllib.parse import urlsplit

    parts = urlsplit(notify.webhook)
    webhook = f"{parts.scheme}://{parts.hostname}/…" if notify.webhook else ""  # the rest may be a secret
    console.say(f"Told of: {', '.join(notify.events) or 'nothing'}")
    console.say(f"  command      {notify.command or 'none'}")
    console.say(f"  webhook      {webhook or 'none'}")
    after = f"after {counted(notify.days, 'day')}" if notify.days else "never"
    console.say(f"  stale        {after}")
    console.say(f"  metrics      {notify.metrics or 'none'}")
    console.result(
        {
            "on": [*notify.events],
            "command": notify.command or None,
            "webhook": webhook or None,
            "days": notify.days,
            "metrics": notify.metrics or None,
        }
    )
