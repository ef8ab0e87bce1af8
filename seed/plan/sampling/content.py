"""Parts of files, as far as they can be read."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress

from seed.source.quiet_open import open_quietly
from seed.source.system import data_extents

READ_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

Region = tuple[int, int]  # offset and length


def located(path: bytes) -> bytes:
    return b"/" + path if os.name == "posix" else path


def regions_of(path: bytes) -> list[Region]:
    """Return the data regions of a file; none if it cannot be read any more."""
    with suppress(OSError):
        handle = open_quietly(located(path), READ_FLAGS)
        try:
            return list(data_extents(handle, os.fstat(handle).st_size))
        finally:
            os.close(handle)
    return []


def within(regions: Iterable[Region], at: int, length: int) -> Iterator[Region]:
    """Yield the regions of `length` bytes of data from `at` on; holes do not count."""
    for start, size in regions:
        if at < size and length > 0:
            taken = min(size - at, length)
            yield start + at, taken
            length -= taken
        at = max(at - size, 0)


def content_of(path: bytes, regions: Iterable[Region]) -> bytes:
    """Return these parts of a file, end to end, without the parts that cannot be read any more."""
    parts = []
    with suppress(OSError):
        handle = open_quietly(located(path), READ_FLAGS)
        try:
            for start, length in regions:
                os.lseek(handle, start, os.SEEK_SET)
                parts.append(os.read(handle, length))
        finally:
            os.close(handle)
    return b"".join(parts)
