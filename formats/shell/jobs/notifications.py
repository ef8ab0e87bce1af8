"""Notifications of the ends of jobs: a command, a webhook, and a file of metrics for Prometheus.

The settings are kept in the home. A clock that was once ahead leaves times in the future. They are not
believed: none of them may suppress an alarm for years. A notification may fail; that is a notice, and changes
nothing of the job. No notification contains the name of anything that was backed up.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from formats.documents.codec import Record, choice, integer, many, member, text
from formats.errors import HomeError, UsageError
from formats.records import read_record, write_record
from formats.shell.jobs.listing import JobRecord
from formats.words import counted, moment

FILE = "notify.json"
EVENTS = ("failure", "warning", "stale", "doubt")
DOUBTED = "item-doubted"
PATIENCE = 30.0  # seconds that the command or the webhook may take
DAY = 24 * 3600
FAILED = ("failed", "killed")


class Notify(Record):
    """The actions for events of the kinds in `events`. A success is due every `days` days; 0 for never.

    The actions are to run the `command` by the system's shell, and to put to the `webhook`. At every end of a
    job, the file `metrics` is written.
    """

    command: str = member(text(4000), default="")
    webhook: str = member(text(4000), default="")
    metrics: str = member(text(4000), default="")
    events: tuple[str, ...] = member(
        many(choice(*EVENTS), len(EVENTS)), default=("failure", "stale", "doubt")
    )
    days: int = member(integer(0, 9999), default=2)

    @classmethod
    def of(cls, home: Path) -> "Notify":
        """Read the settings of a home, or return the default ones. Raises HomeError home-damaged."""
        path = home / FILE
        return read_record(path, cls) if os.path.exists(path) else cls()

    def save(self, home: Path) -> None:
        """Check and write the settings. Raises HomeError, UsageError."""
        if self.webhook and not _is_web(self.webhook):
            raise UsageError(
                "usage", "a webhook is an address of http or https", subject="--webhook",
                hint="write it as https://host/path",
            )  # fmt: skip
        write_record(home / FILE, self)


def _is_web(address: str) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    plain = address.isprintable() and " " not in address and address.isascii()
    return plain and parts.scheme in ("http", "https") and bool(parts.hostname)


@dataclass(frozen=True)
class Event:
    """One of `EVENTS`, with the name of its home and its text, in words and for programs."""

    event: str
    who: str
    what: str
    details: dict[str, object]


def event_of(job: JobRecord, who: str) -> Event | None:
    """Return the event of a job's end; None if it ended well, was stopped or continues with a further disk."""
    details: dict[str, object] = {**job.to_json()}
    if job.error is not None:
        details["error"] = {name: job.error.get(name) for name in ("code", "what")}
    if job.state in FAILED:
        why = f": {job.error['what']} [{job.error['code']}]" if job.error is not None else ""
        return Event("failure", who, f"{job.kind} {job.state}{why}", details)
    if job.state == "skipped":
        return Event("warning", who, f"{job.kind} was left out: another command was at work", details)
    if job.codes[DOUBTED]:
        return doubt(who, f"{job.kind} doubts", job.codes[DOUBTED], details)
    if job.state == "warnings":
        counts = ", ".join(f"{n} × {code}" for code, n in job.codes.most_common())
        return Event("warning", who, f"{job.kind} ended with warnings: {counts}", details)
    return None


def believed(at: int) -> int:
    """Return the time `at`; 0, which is long ago, if it lies more than a day ahead of the clock."""
    return at if at <= time.time() + DAY else 0


def doubt(who: str, of: str, items: int, details: dict[str, object]) -> Event:
    """Return the event that so many items are empty or mostly gone: the machine doubts its last backup."""
    what = f"{of} {counted(items, 'item')}: empty, not mounted or mostly gone; `seed status` tells which"
    return Event("doubt", who, what, details)


def stale(jobs: Iterable[JobRecord], who: str, kinds: Sequence[str], days: int, since: int) -> Event | None:
    """Return an event if no job of these kinds succeeded for so many days.

    The days count from `since` at the earliest, because no job could succeed before it.
    """
    times = [job.ended or 0 for job in jobs if job.kind in kinds and job.succeeded]
    return overdue(who, sorted(times, reverse=True), days, since)


def overdue(who: str, times: Iterable[int], days: int, since: int) -> Event | None:
    """Return an event if the last success is longer ago than so many days.

    `times` are the times of the successes, the last one first.
    """
    last = ahead = 0
    for at in times:
        if last := believed(at):
            break
        ahead = max(ahead, at)
    now = int(time.time())
    if not days or now - max(last, believed(since)) <= days * DAY:
        return None
    ago = f"for {(now - last) // DAY} days" if last else "ever"
    if ahead:
        ago += f"; one bears the date {moment(ahead)[:10]}, so a clock was ahead"
    return Event("stale", who, f"no backup has succeeded {ago}", {"last_success": last or None, "days": days})


def tell(notify: Notify, event: Event, proxy: str = "") -> list[str]:
    """Report an event, if that is wanted; return the errors, in words."""
    if event.event not in notify.events and not (event.event == "doubt" and "warning" in notify.events):
        return []
    about = {"event": event.event, "name": event.who, "text": f"{event.who}: {event.what}", **event.details}
    data = json.dumps(about).encode()
    wrong = []
    if notify.command and (why := _run(notify.command, data)):
        wrong.append(f"the command of `notify` {why}")
    if notify.webhook and (why := _post(notify.webhook, data, proxy)):
        wrong.append(f"the webhook of `notify` {why}")
    return wrong


def _run(command: str, data: bytes) -> str:
    try:
        code = subprocess.run(  # noqa: S602  it is the user's own command line
            command, shell=True, input=data, stdout=sys.stderr, timeout=PATIENCE
        ).returncode
    except subprocess.TimeoutExpired:
        return f"was ended after {PATIENCE:.0f} s"
    except OSError as error:
        return f"could not be run ({error.strerror})"
    return f"ended with {code}" if code else ""


def _post(url: str, data: bytes, proxy: str) -> str:
    """Call the webhook in a thread: a server may send a byte now and then, and so delay a job without end."""
    wrong: list[str] = []
    asking = threading.Thread(target=lambda: wrong.append(_ask(url, data, proxy)), daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return wrong[0] if wrong else f"did not answer within {PATIENCE:.0f} s"


def _ask(url: str, data: bytes, proxy: str) -> str:
    from http.client import HTTPException
    from urllib import request as web
    from urllib.error import HTTPError, URLError

    # No other schemes, and no redirects: these would lose the message, or send requests on behalf of the server.
    opener = web.OpenerDirector()
    for handler in (
        web.ProxyHandler({"http": proxy, "https": proxy} if proxy else None),
        web.HTTPHandler(),
        web.HTTPSHandler(),
        web.HTTPDefaultErrorHandler(),
        web.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    asked = web.Request(url, data, {"Content-Type": "application/json", "User-Agent": "offseed"})  # noqa: S310  see above
    try:
        answer = opener.open(asked, timeout=PATIENCE)
        if answer is None:
            return "has an address that is not of http or https"
        answer.close()
        return ""
    except HTTPError as error:
        return f"was answered by {error.code}"
    except URLError as error:
        return f"could not be reached ({error.reason})"
    except (HTTPException, OSError, ValueError) as error:  # their words may contain the address
        return f"could not be reached ({type(error).__name__})"


def check_metrics(path: Path, program: str, name: str) -> None:
    """Raise UsageError file-exists if another home keeps its metrics in this file.

    Each home would overwrite the other's metrics.
    """
    try:
        found = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return  # the later write reports more
    of = re.findall(r'^offseed_job_.*name="([^"]*)",program="([^"]*)"', found, re.MULTILINE)
    if others := sorted({other for other in of if other != (name, program)}):
        raise UsageError(
            "file-exists", f"the {others[0][1]} of {others[0][0]} keeps its metrics in this file", subject=str(path),
            hint="name another file for each home, or remove this one where that home is no more",
        )  # fmt: skip


def write_metrics(path: Path, program: str, name: str, jobs: Sequence[JobRecord]) -> None:
    """Write a file for the textfile collector of Prometheus' node exporter, replaced whole. Raises HomeError.

    It shows the last jobs of each kind.
    """
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    registry = CollectorRegistry()
    labels = ("program", "name", "kind")

    def gauge(what: str, about: str) -> Gauge:
        return Gauge(f"offseed_job_{what}", about, labels, registry=registry)

    success = gauge("last_success_timestamp_seconds", "When a job of this kind last succeeded.")
    ended = gauge("last_end_timestamp_seconds", "When a job of this kind last ended.")
    good = gauge("last_succeeded", "Whether the last one that ended succeeded.")
    seconds = gauge("last_duration_seconds", "How long the last one took that ended.")
    read = gauge("last_read_bytes", "What the last one read.")
    written = gauge("last_written_bytes", "What the last one wrote or sent.")
    findings = gauge("last_findings", "What the last one left out or found damaged.")
    doubted = gauge("last_doubted_items", "Items that the last one found empty, not mounted or mostly gone.")
    running = gauge("running", "How many of this kind run.")
    for kind in sorted({job.kind for job in jobs}):
        of_kind = [job for job in jobs if job.kind == kind]
        where = (program, name, kind)
        running.labels(*where).set(sum(job.state == "running" for job in of_kind))
        if succeeded := [job.ended or 0 for job in of_kind if job.succeeded]:
            success.labels(*where).set(max(map(believed, succeeded)))
        if over := [job for job in of_kind if job.state not in ("running", "not-due")]:
            last = over[-1]
            ended.labels(*where).set(believed(last.ended or last.began))
            good.labels(*where).set(last.succeeded)
            seconds.labels(*where).set(last.seconds)
            read.labels(*where).set(last.read)
            written.labels(*where).set(last.written)
            findings.labels(*where).set(last.findings)
            doubted.labels(*where).set(last.codes[DOUBTED])
    try:
        _replace(path, generate_latest(registry))
    except OSError as error:
        raise HomeError(
            "home-damaged", f"the file of metrics cannot be written ({error.strerror})", subject=str(path),
            hint="name a file in a folder that is there and can be written by `notify set --metrics`",
        ) from error  # fmt: skip


def _replace(path: Path, data: bytes) -> None:
    """Replace a file that all may read. Raises OSError.

    Its folder may be another user's, so this follows no link there.
    """
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            if sys.platform != "win32":
                os.fchmod(handle, 0o644)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
