"""The reader for the system that this runs on."""

import sys

from seed.source.batch import Got, Odd, Wanted, wanted

if sys.platform == "win32":
    from seed.source.windows import Folders, Found, Walk, data_extents, found_at, read_batch, read_into
else:
    from seed.source.batch import Folders, read_batch, read_into
    from seed.source.entries import Found, found_at
    from seed.source.posix import Walk, data_extents

__all__ = (
    "Folders",
    "Found",
    "Got",
    "Odd",
    "Walk",
    "Wanted",
    "data_extents",
    "found_at",
    "read_batch",
    "read_into",
    "wanted",
)
