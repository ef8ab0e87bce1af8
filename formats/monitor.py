"""The reports of long work: findings that do not stop it, notices, and progress.

Counting happens only here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from formats.errors import OffseedError, is_damage


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One discrepancy that did not stop the work: a stable `code`, the `subject`, the details."""

    code: str
    subject: str
    detail: str


class Monitor(Protocol):
    """The receiver of an operation's reports. Any thread must be able to call an implementation."""

    def finding(self, finding: Finding) -> None:
        """Report that something was left out or is damaged. The work goes on and the exit code becomes 3."""

    def notice(self, text: str) -> None:
        """Report something that the user may want to know. It never changes the exit code."""

    def progress(self, *, done: int = 0, files: int = 0, stored: int = 0, kept: int = 0) -> None:
        """Report more bytes read, files finished, bytes written.

        Bytes `kept` from before need not be read.
        """

    def expect(self, *, total: int, files: int, final: bool) -> None:
        """Report the bytes and files to read in all.

        They are lower bounds until the count has ended (`final`).
        """

    def stopping(self) -> bool:
        """Return True once the user has asked to stop.

        Then the caller finishes the work in flight and returns.
        """


@contextmanager
def damage_told(monitor: Monitor, subject: str) -> Iterator[None]:
    """Report damage as a finding and continue; raise all other errors."""
    try:
        yield
    except OffseedError as error:
        if not is_damage(error):
            raise
        monitor.finding(Finding(code=error.code, subject=subject, detail=error.what))


@dataclass
class Tally:
    """A monitor that only remembers. The console of the command line is built on it."""

    findings: list[Finding] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    done: int = 0
    files: int = 0
    stored: int = 0
    kept: int = 0
    expected: int = 0
    expected_files: int = 0
    expected_final: bool = False
    stop: bool = False

    def finding(self, finding: Finding) -> None:
        self.findings.append(finding)

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def progress(self, *, done: int = 0, files: int = 0, stored: int = 0, kept: int = 0) -> None:
        self.done += done
        self.files += files
        self.stored += stored
        self.kept += kept

    def expect(self, *, total: int, files: int, final: bool) -> None:
        self.expected = total
        self.expected_files = files
        self.expected_final = final

    def stopping(self) -> bool:
        return self.stop


class Recorder(Tally):
    """A monitor that passes everything on to another one, and remembers the findings of one part of the work."""

    def __init__(self, monitor: Monitor) -> None:
        super().__init__()
        self._monitor = monitor

    def finding(self, finding: Finding) -> None:
        super().finding(finding)
        self._monitor.finding(finding)

    def notice(self, text: str) -> None:
        self._monitor.notice(text)

    def progress(self, *, done: int = 0, files: int = 0, stored: int = 0, kept: int = 0) -> None:
        self._monitor.progress(done=done, files=files, stored=stored, kept=kept)

    def expect(self, *, total: int, files: int, final: bool) -> None:
        self._monitor.expect(total=total, files=files, final=final)

    def stopping(self) -> bool:
        return self._monitor.stopping()
