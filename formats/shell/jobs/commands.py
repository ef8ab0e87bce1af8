"""The command `jobs`, the same in both programs: the list of logs, and following one of them."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from formats.errors import UsageError
from formats.shell.console import DONE, Console
from formats.untrusted import Json
from formats.words import counted, moment, one_line, size

if TYPE_CHECKING:
    from formats.shell.jobs.listing import JobRecord

SHOWN = 20
LOOK = 0.5  # seconds between two looks at a log that is followed

JobArgument = Annotated[
    str | None, typer.Argument(metavar="JOB", help="The beginning of a job's id: tell all of this one.")
]
FollowOption = Annotated[
    bool,
    typer.Option("--follow", help="Follow the job until it ends; without JOB the running one."),
]
AllOption = Annotated[
    bool, typer.Option("--all", help="All of which there are logs, not the last ones alone.")
]


def told(job: "JobRecord") -> str:
    """Return a job in one line."""
    from formats.shell.jobs.listing import STATES

    of = f" of {size(job.of)}" if job.of is not None and job.state not in STATES.values() else ""
    parts = [f"{size(job.read)}{of} read", f"{size(job.written)} written"]
    if job.findings:
        parts.append(counted(job.findings, "finding"))
    if job.error is not None:
        parts.append(f"{one_line(job.error.get('what', ''))} [{job.error.get('code', '')}]")
    return f"{job.job}  {moment(job.began)}  {job.kind:8} {job.state:10} {_span(job.seconds):>9}  {', '.join(parts)}"


def chosen(jobs: "Sequence[JobRecord]", wanted: str) -> "JobRecord":
    """Return the job with an id that begins with `wanted`. Raises UsageError job-unknown."""
    found = [job for job in jobs if job.job.startswith(wanted)] if wanted else []
    if len(found) != 1:
        raise UsageError(
            "job-unknown", "several jobs begin so" if found else "there is no such job here", subject=wanted,
            hint="the list of jobs, `jobs` without a name, shows their ids",
        )  # fmt: skip
    return found[0]


def show_job(console: Console, job: "JobRecord") -> None:
    """Print everything in a job's log."""
    console.say(told(job))
    for line in job.lines:
        if line.get("event") == "finding":
            console.say(f"  {line.get('code')}: {one_line(str(line.get('subject')))}: {line.get('detail')}")
        if line.get("event") == "notice":
            console.say(f"  note: {one_line(str(line.get('text')))}")
    if job.error is not None and job.error.get("hint"):
        console.say(f"  what to do: {one_line(job.error['hint'])}")
    console.say(f"  log          {job.path}")
    console.result(job.to_json())


def follow(console: Console, home: Path, wanted: str | None) -> int:
    """Print the events of a job until it ends; the result is not the job's exit code.

    A signal to stop leaves the job alone. Then the result is the exit code of the signal. Raises UsageError
    job-unknown.
    """
    from formats.shell.jobs.listing import jobs, read_job

    job: JobRecord | None
    if wanted is not None:
        job = chosen(jobs(home), wanted)
    else:
        running = [one for one in jobs(home) if one.state == "running"]
        if not running:
            console.say("no job runs")
            console.result(None)
            return DONE
        job = running[-1]
    shown = 0
    with console.heeding("not followed any longer: the job itself goes on"):
        while job is not None and not console.stopping():
            for line in job.lines[shown:]:
                console.say(_line(line), at_once=True)
                console.result(line, at_once=True)
            shown = len(job.lines)
            if job.state != "running":
                console.say(told(job))
                return DONE
            time.sleep(LOOK)
            job = read_job(job.path)
    return 128 + console.signal_number if console.stopping() else DONE


def of_one(console: Console, home: Path, wanted: str | None, *, following: bool) -> int | None:
    """Print the one requested job, or the running one. Return the exit code; None if all jobs are requested.

    Raises UsageError job-unknown.
    """
    from formats.shell.jobs.listing import jobs

    if following:
        return follow(console, home, wanted)
    if wanted is None:
        return None
    show_job(console, chosen(jobs(home), wanted))
    return DONE


def list_jobs(console: Console, rows: "Sequence[tuple[str, dict[str, Json]]]", *, every: bool) -> None:
    """Print all jobs, or the last ones, running jobs included."""
    shown = rows if every else rows[-SHOWN:]
    for text, _ in shown:
        console.say(text)
    if not shown:
        console.say("nothing was done yet")
    console.result([row for _, row in shown])


def _line(line: "dict[str, object]") -> str:
    """Return a line of a log, for people."""
    from formats.shell.jobs.log_lines import integer

    when = moment(integer(line.get("time")))
    event = line.get("event")
    if event == "progress":
        return f"{when}  {size(integer(line.get('read')))} read, {size(integer(line.get('written')))} written"
    if event == "finding":
        return f"{when}  {line.get('code')}: {one_line(str(line.get('subject')))}: {line.get('detail')}"
    if event == "notice":
        return f"{when}  note: {one_line(str(line.get('text')))}"
    return f"{when}  {'begun' if event == 'begin' else 'ended'}"


def _span(seconds: int) -> str:
    if seconds < 60:
        return f"{seconds} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02} h" if minutes >= 60 else f"{minutes}:{rest:02} min"
