"""What came of a restore, or of a share of it: counts, and what could not be done."""

import os
from dataclasses import dataclass, fields

from formats.errors import MediaError, OffseedError
from formats.keyed.catalog import FILE, Entry
from formats.monitor import Finding, Monitor

FULL_OR_READ_ONLY = (28, 30, 122)


@dataclass
class Restored:
    """Counts of what was done: `same` were there already, `other` stood in the way and were left alone.

    Of the `same`, so many files were taken `by_time`: their content was not read.
    """

    files: int = 0
    file_bytes: int = 0
    folders: int = 0
    others: int = 0
    same: int = 0
    by_time: int = 0
    other: int = 0
    failed: int = 0

    def add(self, more: "Restored") -> None:
        """Count what another did."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(more, each.name))


IN_THE_WAY = "something else is there; --overwrite replaces it"


class Outcome:
    """Counts, and tells the monitor what concerns one entry."""

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor
        self.done = Restored()

    def fail(self, path: bytes, error: OSError | OffseedError) -> None:
        """What concerns one entry is a finding. Raises MediaError disk-full, read-only: that ends the restore."""
        if isinstance(error, OSError) and error.errno in FULL_OR_READ_ONLY:
            raise target_error(error, os.fsdecode(path)) from error
        code = error.code if isinstance(error, OffseedError) else "target-failed"
        detail = error.what if isinstance(error, OffseedError) else error.strerror or type(error).__name__
        self.find(path, code=code, detail=detail)

    def count_link(self, entry: Entry) -> None:
        """Count a further hard link."""
        if entry.type == FILE:
            self.done.files += 1
        else:
            self.done.others += 1

    def leave(self, path: bytes, detail: str) -> None:
        """Count what was left alone, because something else stands at its place, and tell of it."""
        self.done.other += 1
        self.find(path, code="target-exists", detail=detail)

    def find(self, path: bytes, *, code: str, detail: str) -> None:
        """Tell of a discrepancy."""
        self.monitor.finding(Finding(code=code, subject=os.fsdecode(path), detail=detail))


def target_error(error: OSError, subject: str) -> MediaError:
    """Return what ends a restore whose target cannot go on."""
    if error.errno in FULL_OR_READ_ONLY:
        return MediaError(
            "read-only" if error.errno == 30 else "disk-full",
            "the target cannot take more",
            subject=subject,
            hint="make room, or choose another target, and run the same command again: what is there counts as done",
        )
    return MediaError(
        "io-error",
        f"the target cannot make durable what was written ({error.strerror})",
        subject=subject,
        hint="check the disk and its cable, or choose another target, and run the same command again",
    )
