"""How long work reports: findings that do not stop it, notices, and progress. Counting happens here alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from formats.errors import OffseedError, is_damage


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One discrepancy that was met and passed: a stable `code`, the `subject`, what was seen."""

    code: str
    subject: str
    detail: str


class Monitor(Protocol):
    """Receives what an operation meets. Implementations must be callable from any thread."""

    def finding(self, finding: Finding) -> None:
        """Something was left out or found damaged; the work goes on and the exit code becomes 3."""

    def notice(self, text: str) -> None:
        """Something the user may want to know; never changes the exit code."""

    def progress(self, *, done: int = 0, files: int = 0, stored: int = 0, kept: int = 0) -> None:
        """So many more bytes read, files finished, bytes written; bytes `kept` from before need not be read."""

    def expect(self, *, total: int, files: int, final: bool) -> None:
        """So many bytes and files will be read in all; at least so many, until counting them has ended: `final`."""

    def stopping(self) -> bool:
        """True once the user asked to stop: finish what is in flight and return."""


@contextmanager
def damage_told(monitor: Monitor, subject: str) -> Iterator[None]:
    """Pass over what is damage, as a finding; raise all else."""
    try:
        yield
    except OffseedError as error:
        if not is_damage(error):
            raise
        monitor.finding(Finding(code=error.code, subject=subject, detail=error.what))


@dataclass
class Tally:
    """A monitor that only remembers; the command line's console builds on it."""

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
    """Passes everything on to another monitor, and remembers what concerned one part of the work."""

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
