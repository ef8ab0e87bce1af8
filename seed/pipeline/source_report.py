"""The words and figures about the source that a run gives to its monitor, and the monitor's wish to stop."""

import os

from formats.errors import Interrupted
from formats.keyed.catalog import CatalogEntry
from formats.monitor import Finding, Monitor
from seed.source.xattrs import why

PROGRESS_STEP = 4 << 20
PROGRESS_FILES = 1000


class SourceReport:
    """A count of the entries and bytes that were read or kept; and findings about single files."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._done = self._files = self._kept = 0

    def check_stop(self) -> None:
        """Raise Interrupted if the user asks to stop."""
        if self._monitor.stopping():
            raise Interrupted(2)

    def read(self, size: int) -> None:
        """Count bytes that were read."""
        self._done += size
        if self._done >= PROGRESS_STEP or self._files >= PROGRESS_FILES:
            self.tell()

    def kept(self, size: int) -> None:
        """Count bytes of unchanged content, which were not read."""
        self._kept += size

    def passed(self) -> None:
        """Count an entry of the walk."""
        self._files += 1
        if self._files >= PROGRESS_FILES:
            self.tell()

    def tell(self) -> None:
        """Report progress. The other methods do so now and then."""
        self._monitor.progress(done=self._done, files=self._files, kept=self._kept)
        self._done = self._files = self._kept = 0

    def changed(self, entry: CatalogEntry) -> None:
        self._find(entry.path, "changed while it was read; it was kept as it was read", "source-changed")

    def unreadable(self, path: bytes, reason: str) -> None:
        self._find(path, reason, "source-unreadable")

    def without_xattrs(self, path: bytes, failure: int) -> None:
        self._find(path, why(failure), "source-xattrs")

    def _find(self, path: bytes, detail: str, code: str) -> None:
        self._monitor.finding(Finding(code=code, subject="/" + os.fsdecode(path), detail=detail))
