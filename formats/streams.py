"""Standard output and error, whose reader may have gone: that ends no work, and what comes after it is written.

A reader has gone where a pipe is closed, as by `head`, or a terminal. An output that has no room is another matter: the work is
done to its end, and then the command fails.
"""

import errno
import os
import sys
from contextlib import suppress

from formats.errors import OffseedError

_GONE = {errno.EPIPE, errno.EIO, *([errno.EINVAL] if sys.platform == "win32" else [])}


class Output:
    """Standard output. `is_heard` until a write fails; `lost` is why, where the reader has not simply gone."""

    def __init__(self) -> None:
        self.is_heard = True
        self.lost: OSError | None = None

    def write(self, text: str, *, flush: bool) -> None:
        """Print a line, where anybody still reads."""
        if self.is_heard:
            try:
                print(text, flush=flush)
            except OSError as error:
                self._fail(error)

    def flush(self) -> None:
        """Hand over what was printed."""
        if self.is_heard:
            try:
                sys.stdout.flush()
            except OSError as error:
                self._fail(error)

    def finish(self) -> None:
        """Hand over what was printed, at the end of the work. Raises OffseedError disk-full where it could not be written."""
        self.flush()
        if self.lost is not None:
            raise OffseedError(
                "disk-full", f"the output cannot be written ({self.lost.strerror})", hint="send it where there is room"
            )  # fmt: skip

    def _fail(self, error: OSError) -> None:
        self.is_heard = False
        self.lost = None if error.errno in _GONE else error
        drop_output()


def drop_output() -> None:
    """Let nothing more reach stdout, not even what the interpreter flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def write_error(data: bytes) -> None:
    """Write to stderr, from a handler of signals too."""
    with suppress(OSError):
        os.write(2, data)
