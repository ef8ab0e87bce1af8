"""Standard output and error. A reader that goes away ends no work.

A reader has gone if it closed a pipe, as `head` does, or a terminal. An output without room is another case:
the command finishes its work, and then fails.
"""

import errno
import os
import sys
from contextlib import suppress

from formats.errors import OffseedError

_GONE = {errno.EPIPE, errno.EIO, *([errno.EINVAL] if sys.platform == "win32" else [])}


class Output:
    """Standard output.

    `is_heard` holds until a write fails; `lost` is the error, unless the reader has simply gone.
    """

    def __init__(self) -> None:
        self.is_heard = True
        self.lost: OSError | None = None

    def write(self, text: str, *, flush: bool) -> None:
        """Print a line, if somebody still reads."""
        if self.is_heard:
            try:
                print(text, flush=flush)
            except OSError as error:
                self._fail(error)

    def flush(self) -> None:
        """Flush the printed text."""
        if self.is_heard:
            try:
                sys.stdout.flush()
            except OSError as error:
                self._fail(error)

    def finish(self) -> None:
        """Flush the printed text at the end of the work.

        Raises OffseedError disk-full if it could not be written.
        """
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
    """Let nothing more reach stdout, not even the text that the interpreter flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def write_error(data: bytes) -> None:
    """Write to stderr, from a signal handler too."""
    with suppress(OSError):
        os.write(2, data)
