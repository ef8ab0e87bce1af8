"""The bytes of a file that a run reads: the one figure of `seed plan` and of `--dry-run`."""

import os
from contextlib import suppress

from seed.source.system import FoundEntry, data_extents


def to_read(found: FoundEntry, whole_max: int) -> int:
    """Return the number of bytes that a run reads of a file.

    The run skips the holes of a file that is larger than `whole_max`.
    """
    size = found.looked[7]
    if size > whole_max and found.allocated < size:  # it has holes; or the file system compresses it
        with suppress(OSError):
            handle = found.open()
            try:
                return sum(length for _, length in data_extents(handle, size))
            finally:
                os.close(handle)
    return size
