"""The result of a restore, or of a share of it: counts, and the entries that failed."""

import os
from dataclasses import dataclass, fields

from formats.errors import MediaError, OffseedError
from formats.keyed.catalog import FILE, CatalogEntry
from formats.monitor import Finding, Monitor

FULL_OR_READ_ONLY = (28, 30, 122)


@dataclass
class RestoreResult:
    """Counts of a restore: `same` were there already, `other` stood in the way and were left alone.

    `by_time` of the `same` files were taken by their time: their content was not read.
    """

    files: int = 0
    file_bytes: int = 0
    folders: int = 0
    others: int = 0
    same: int = 0
    by_time: int = 0
    other: int = 0
    failed: int = 0

    def add(self, more: "RestoreResult") -> None:
        """Add the counts of another share."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(more, each.name))


IN_THE_WAY = "something else is there; --overwrite replaces it"


class RestoreCounts:
    """The counts of a restore; it reports to the monitor about single entries."""

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor
        self.done = RestoreResult()

    def fail(self, path: bytes, error: OSError | OffseedError) -> None:
        """Report an error with one entry as a finding.

        Raises MediaError disk-full, read-only: such an error ends the restore.
        """
        if isinstance(error, OSError) and error.errno in FULL_OR_READ_ONLY:
            raise target_error(error, os.fsdecode(path)) from error
        code = error.code if isinstance(error, OffseedError) else "target-failed"
        detail = error.what if isinstance(error, OffseedError) else error.strerror or type(error).__name__
        self.find(path, code=code, detail=detail)

    def count_link(self, entry: CatalogEntry) -> None:
        """Count a further hard link."""
        if entry.type == FILE:
            self.done.files += 1
        else:
            self.done.others += 1

    def leave(self, path: bytes, detail: str) -> None:
        """Count and report an entry that was left alone, because something else stands at its place."""
        self.done.other += 1
        self.find(path, code="target-exists", detail=detail)

    def find(self, path: bytes, *, code: str, detail: str) -> None:
        """Report a discrepancy."""
        self.monitor.finding(Finding(code=code, subject=os.fsdecode(path), detail=detail))


def target_error(error: OSError, subject: str) -> MediaError:
    """Return the error that ends a restore if its target cannot go on."""
    if error.errno in FULL_OR_READ_ONLY:
        return MediaError(
            "read-only" if error.errno == 30 else "disk-full",
            "the target cannot take more",
            subject=subject,
            hint="make room, or choose another target, and run the same command again: restored files count as done",
        )
    return MediaError(
        "io-error",
        f"cannot make the written files durable at the target ({error.strerror})",
        subject=subject,
        hint="check the disk and its cable, or choose another target, and run the same command again",
    )
