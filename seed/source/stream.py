"""The data of an open file as one stream, without its holes."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from seed.source.system import read_into

READ_MAX = 4 << 20  # bytes: short reads show progress, and hear a request to stop


class SourceError(OSError):
    """An error of the file that is read, not of the work on its data."""


@contextmanager
def reading() -> Iterator[None]:
    """Turn each OSError inside this context into a SourceError."""
    try:
        yield
    except OSError as error:
        raise SourceError(error.errno, error.strerror) from error


class Stream:
    """The data regions of a file, (offset, length) each, end to end; `at` bytes of them are passed.

    `end` is the offset at which the file ended, if it ended before its last region. The stream calls `heard`
    after each read with the number of bytes.
    """

    def __init__(self, handle: int, regions: Sequence[tuple[int, int]], heard: Callable[[int], None]) -> None:
        self._handle = handle
        self.regions = regions
        self._ahead = deque(regions)
        self._heard = heard
        self.at = 0
        self.end: int | None = None

    def read(self, space: memoryview) -> int:
        """Read to the front of `space`, and return the number of bytes; 0 at the end.

        Raises SourceError, and the errors of `heard`.
        """
        if not self._ahead:
            return 0
        offset, left = self._ahead[0]
        with reading():
            os.lseek(self._handle, offset, os.SEEK_SET)
            got = read_into(self._handle, space[: min(len(space), left, READ_MAX)])
        if got:
            self.skip(got)
        else:
            self.end = offset
            self._ahead.clear()
        self._heard(got)
        return got

    def skip(self, length: int) -> None:
        """Pass over `length` bytes without reading them."""
        self.at += length
        while length:
            offset, left = self._ahead.popleft()
            if left > length:
                self._ahead.appendleft((offset + length, left - length))
            length -= min(left, length)
