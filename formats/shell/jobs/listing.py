"""The jobs of a home, read from their logs: running jobs, and those that ended or were killed."""

import os
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from formats.monitor import Tally
from formats.shell.jobs.log import FOLDER, KILLED, NOTHING, JobLog, end_killed
from formats.shell.jobs.log_lines import has_end, integer, is_alive, read_lines
from formats.untrusted import Json

STATES = {
    0: "done", 3: "warnings", 4: "unfinished", 129: "stopped", 130: "stopped", 143: "stopped", KILLED: "killed",
}  # fmt: skip
SUCCESS = ("done", "warnings")


@dataclass
class JobRecord:
    """One job. Times are in seconds since 1970.

    `state` is running, done, warnings, unfinished (a further disk is needed), stopped, failed or killed. It
    is skipped if another command was at work, and not-due if the schedule says so. `of` bytes are to be read,
    None if that is not known. `codes` counts the findings.
    """

    job: str
    kind: str
    path: Path
    began: int
    state: str = "killed"
    ended: int | None = None
    seconds: int = 0
    read: int = 0
    of: int | None = None
    written: int = 0
    files: int = 0
    findings: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    error: dict[str, str] | None = None
    lines: list[dict[str, Any]] = field(default_factory=list)

    @property
    def succeeded(self) -> bool:
        return self.state in SUCCESS

    def to_json(self) -> dict[str, Json]:
        return {
            "job": self.job,
            "kind": self.kind,
            "state": self.state,
            "started": self.began,
            "finished": self.ended,
            "seconds": self.seconds,
            "read_bytes": self.read,
            "total_bytes": self.of,
            "written_bytes": self.written,
            "files": self.files,
            "findings": self.findings,
            "codes": dict(self.codes),
            "error": None if self.error is None else dict(self.error),
            "log": str(self.path),
        }


def jobs(home: Path) -> list[JobRecord]:
    """Return all jobs that have logs, in the order in which they began."""
    return [job for path in _logs(home) if (job := read_job(path)) is not None]


def read_job(path: Path) -> JobRecord | None:
    """Read a job from its log; return None if that is no log, or was removed meanwhile."""
    lines = list(read_lines(path))
    if not lines or lines[0].get("event") != "begin":
        return None
    first = lines[0]
    job = JobRecord(
        str(first.get("job")), str(first.get("kind")), path, integer(first.get("time")), lines=lines
    )
    for line in lines:
        _take(job, line)
    if job.ended is None:
        job.seconds = integer(lines[-1].get("time")) - job.began
        if is_alive(first.get("pid"), first.get("process")):
            job.state = "running"
    return job


def end_those_killed(home: Path) -> list[JobRecord]:
    """Return the jobs that were killed since the last call, and end their logs."""
    found = []
    for path in _logs(home):
        if has_end(path) or (job := read_job(path)) is None or job.state != "killed":
            continue
        with suppress(OSError):
            end_killed(path, job.began + job.seconds, job.seconds, job.findings)
            found.append(job)
    return found


def ended_now(log: JobLog, console: Tally) -> JobRecord:
    """Return a job that has just ended, for the case that its log could not be written."""
    state = log.nothing or STATES.get(log.code, "failed")
    job = JobRecord(log.job, log.kind, log.path, int(time.time()), state, int(time.time()))
    job.codes.update(finding.code for finding in console.findings)
    job.findings = len(console.findings)
    if log.error is not None:
        job.error = {"code": log.error.code, "what": log.error.what}
    return job


def _take(job: JobRecord, line: dict[str, Any]) -> None:
    event = line.get("event")
    if event in ("progress", "end") and "read" in line:
        job.read, job.written = integer(line.get("read")), integer(line.get("written"))
        job.files = integer(line.get("files"))
        job.of = integer(line["of"]) if line.get("of") is not None else None
    if event == "finding":
        job.findings += 1
        job.codes[str(line.get("code"))] += 1
    if event == "end":
        job.ended = integer(line.get("time"))
        job.seconds = integer(line.get("seconds"))
        job.findings = integer(line.get("findings"))
        nothing = line.get("nothing")
        job.state = str(nothing) if nothing in NOTHING else STATES.get(integer(line.get("code")), "failed")
        if isinstance(
            codes := line.get("codes"), dict
        ):  # of all findings, also those without a line of their own
            job.codes = Counter({str(code): integer(count) for code, count in codes.items()})
        if isinstance(error := line.get("error"), dict):
            job.error = {name: str(value) for name, value in error.items()}


def _logs(home: Path) -> list[Path]:
    """Return the logs of a home; none if it may not be read."""
    try:
        return sorted(home / FOLDER / name for name in os.listdir(home / FOLDER) if name.endswith(".jsonl"))
    except OSError:
        return []
