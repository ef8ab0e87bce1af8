"""The log of a command, written while it runs: JSON lines in a file of its home. The oldest logs make room.

The file names begin with a rising number, so that they sort in the order of the jobs, even if the clock was
wrong. Nothing here may end a job, or delay it: a line that cannot be written is left out.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from formats.errors import OffseedError
from formats.monitor import Finding, Tally
from formats.shell.jobs.log_lines import is_running
from formats.words import printable

FOLDER = "jobs"
FILES_MAX = 400
KILLED = 137  # 128 and SIGKILL
FINDINGS_MAX = 1000  # written one by one; the last line counts all
NOTHING = ("skipped", "not-due")  # another command was at work; or the schedule says: not today
PAUSE = 2.0  # seconds between two lines of progress, or a hundredth of the elapsed time: so a log has some hundreds


class JobLog:
    """The log of one job; the first line begins it.

    `job` is its id: the time of its start and random digits.
    """

    def __init__(self, home: Path, kind: str) -> None:
        self.kind = kind
        self.home = home
        now = time.time()
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
        self.job = f"{stamp}-{int(now * 1000) % 1000:03}{os.urandom(2).hex()}"
        self.is_begun = False
        self._began = time.monotonic()
        self.path = home / FOLDER / f"{self.job}-{kind}.jsonl"
        self._handle: int | None = None
        self._next = 0.0
        self._findings = 0
        self.code = 0
        self.error: OffseedError | None = None
        self.nothing: str | None = None  # the reason why it did nothing, one of `NOTHING`

    def begin(self) -> None:
        """Write the first line; do nothing if there is no home, or if it cannot be written."""
        if self.is_begun:
            return
        self.is_begun = True
        with suppress(OSError):
            self._open()
        import psutil

        created = None
        with suppress(psutil.Error):  # then nobody can tell whether it lives
            created = psutil.Process().create_time()
        self._line("begin", job=self.job, kind=self.kind, pid=os.getpid(), process=created)

    def _open(self) -> None:
        """Open a new file in the folder of logs. Raises OSError."""
        folder = self.path.parent
        folder.mkdir(mode=0o700, exist_ok=True)
        self.path = folder / f"{_next_number(folder):08}-{self.path.name}"
        _make_room(folder)
        self._handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)

    def finding(self, finding: Finding) -> None:
        self._findings += 1
        if self._findings <= FINDINGS_MAX:
            self._line(
                "finding",
                code=finding.code,
                subject=printable(finding.subject),
                detail=printable(finding.detail),
            )

    def notice(self, text: str) -> None:
        self._line("notice", text=printable(text))

    def progress(self, tally: Tally) -> None:
        if (now := time.monotonic()) >= self._next:
            self._next = now + max(PAUSE, (now - self._began) / 100)
            self._line("progress", **_counts(tally))

    def end(self, code: int, error: OffseedError | None, tally: Tally) -> None:
        """Write the last line. A job that failed before its first line is logged too."""
        self.begin()
        self.code, self.error = code, error
        told = None
        if error is not None:
            told = {
                "code": error.code,
                "what": printable(error.what),
                "subject": printable(error.subject),
                "hint": printable(error.hint),
            }
        seconds = round(time.monotonic() - self._began, 3)
        found = Counter(finding.code for finding in tally.findings)
        self._line(
            "end", code=code, error=told, seconds=seconds, findings=found.total(), codes=dict(found),
            nothing=self.nothing, **_counts(tally),
        )  # fmt: skip
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _line(self, event: str, **members: object) -> None:
        if self._handle is not None:
            with suppress(OSError):
                _write(self._handle, time.time(), event, members)


def end_killed(path: Path, when: int, seconds: int, findings: int) -> None:
    """Write the last line of a job that was killed and could not write it itself. Raises OSError."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(handle, b"\n")  # its own last line may have been cut
        _write(handle, when, "end", {"code": KILLED, "seconds": seconds, "findings": findings})
    finally:
        os.close(handle)


def _write(handle: int, when: float, event: str, members: Mapping[str, object]) -> None:
    line = {"time": round(when, 3), "event": event, **members}
    os.write(handle, json.dumps(line).encode() + b"\n")


def _next_number(folder: Path) -> int:
    """Return the number of the next log. Two jobs that begin together may share it."""
    numbers = (path.name.partition("-")[0] for path in folder.glob("*.jsonl"))
    return 1 + max((int(number) for number in numbers if number.isdecimal()), default=0)


def _make_room(folder: Path) -> None:
    """Remove the oldest logs above `FILES_MAX`, except those of running jobs."""
    for old in sorted(folder.glob("*.jsonl"))[: 1 - FILES_MAX]:
        if not is_running(old):
            old.unlink(missing_ok=True)


def _counts(tally: Tally) -> dict[str, object]:
    total = tally.expected if tally.expected_final and tally.expected else None
    return {"read": tally.done + tally.kept, "of": total, "written": tally.stored, "files": tally.files}
