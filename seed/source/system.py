"""The reader for the system that this runs on."""

import sys

from seed.source.batch import BatchResult, Odd, Wanted, wanted

if sys.platform == "win32":
    from seed.source.windows import (
        FolderOpener,
        FoundEntry,
        Walk,
        data_extents,
        found_at,
        read_batch,
        read_into,
    )
else:
    from seed.source.batch import FolderOpener, read_batch, read_into
    from seed.source.entries import FoundEntry, found_at
    from seed.source.posix import Walk, data_extents

__all__ = (
    "BatchResult",
    "FolderOpener",
    "FoundEntry",
    "Odd",
    "Walk",
    "Wanted",
    "data_extents",
    "found_at",
    "read_batch",
    "read_into",
    "wanted",
)
