"""Keeps the memory of long runs near what they hold: allocators give back what they were lent by many threads."""

import ctypes
import sys

import pyarrow as pa

# Parameters of glibc's mallopt(3). Buffers of about a megabyte come and go in every thread; by default each thread
# keeps an arena of its own, and glibc raises by itself the size up to which freed memory is kept. Measured on
# 46,000 files to one disk: 336 MiB at most before, 288 MiB after, no slower.
_ARENA_MAX, _ARENAS = -8, 2
_TRIM_THRESHOLD, _TRIM = -1, 128 << 10


def be_lean() -> None:
    """To be called before threads begin; does nothing where the C library has no such settings."""
    pa.set_memory_pool(pa.system_memory_pool())
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_ARENA_MAX, _ARENAS)
    mallopt(_TRIM_THRESHOLD, _TRIM)
