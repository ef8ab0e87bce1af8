"""Files that could not be read where the walk met them: they are read again, or given up."""

import errno
import os
from collections import deque
from collections.abc import Iterator

from seed.pipeline.row import PlacedEntry
from seed.pipeline.source_report import SourceReport
from seed.source.clocks import Clocks
from seed.source.system import FolderOpener, FoundEntry, found_at


class MissedFiles:
    """The rows of such files, and the errors."""

    def __init__(self, clocks: Clocks, report: SourceReport) -> None:
        self._clocks = clocks
        self._report = report
        self._missed: deque[tuple[PlacedEntry, int]] = deque()
        self._folders = FolderOpener()

    def __bool__(self) -> bool:
        return bool(self._missed)

    def add(self, row: PlacedEntry, failure: int) -> None:
        """Note that a file could not be read, by an errno. Its row waits."""
        row.awaited = True
        self._missed.append((row, failure))

    def again(self) -> Iterator[tuple[PlacedEntry, FoundEntry]]:
        """Yield the files that were saved anew since the walk met them, as they are now; give up the others.

        The caller reads each file before it goes on.
        """
        while self._missed:
            row, failure = self._missed.popleft()
            again = failure == errno.ENOENT and row.attempts
            fresh = found_at(row.entry.path, self._folders) if again else None
            if fresh is None:
                self._lose(row, os.strerror(failure))
                continue
            row.attempts -= 1
            row.hides = self._clocks.hides(fresh.looked)
            row.pieces = None
            yield row, fresh

    def _lose(self, row: PlacedEntry, reason: str) -> None:
        """Leave out a file that cannot be read; try its next name, if it has one."""
        self._report.unreadable(row.entry.path, reason)
        row.gone, row.awaited = True, False
        if row.others:
            first, *first.others = row.others
            first.same = None
            for other in first.others:
                other.same = first
            self.add(first, errno.ENOENT)

    def close(self) -> None:
        self._folders.close()
