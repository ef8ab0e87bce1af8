"""The folders that a walk is in, outermost first: a tree may be deeper than a process may hold handles.

The outermost and the inner folders stay open. The walk opens the folders between them again when it comes
back to them, from the outermost on and part by part. Each must be the same folder as before.
"""

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

assert sys.platform != "win32"
from seed.source.batch import PASSING_FLAGS  # noqa: E402
from seed.source.handles import share  # noqa: E402

OPEN_MAX = 128


@dataclass(slots=True)
class Level:
    """A folder, and the names in it that are still to come; `handle` is -1 while the folder is not open.

    `device` is the device of the folder; the walk compares the devices of folders in it with this one.
    `inode` is 0 for the outermost folder.
    """

    handle: int
    path: bytes
    device: int
    inode: int
    names: Iterator[bytes]


class Levels:
    """A stack of open folders; it reports to `lost` a folder that it could not open again."""

    def __init__(self, outermost: Level, lost: Callable[[bytes, OSError], None]) -> None:
        self._levels = [outermost]
        self._lost = lost
        self._most = share(OPEN_MAX)

    def enter(self, level: Level) -> None:
        self._levels.append(level)
        self._close_one()

    def leave(self) -> None:
        """Leave the innermost folder."""
        self._shut(self._levels.pop())

    def innermost(self) -> Level | None:
        """Return the folder to go on in, held open; None at the end.

        If folders were moved, it is a folder further out.
        """
        if self._levels and self._levels[-1].handle < 0:
            self._open_again()
        return self._levels[-1] if self._levels else None

    def close(self) -> None:
        while self._levels:
            self.leave()

    def _close_one(self) -> None:
        if len(self._levels) > self._most + 1:
            self._shut(self._levels[-self._most - 1])

    def _open_again(self) -> None:
        """Open again half of the folders that may be open, so that not each step out repeats it."""
        first = max(1, len(self._levels) - self._most // 2)
        for at in range(1, len(self._levels)):
            level = self._levels[at]
            try:
                level.handle = _opened(level, self._levels[at - 1].handle)
            except OSError as error:
                self._lost(level.path, error)
                for gone in self._levels[at:]:
                    self._shut(gone)
                del self._levels[at:]
                return
            if 1 < at <= first:
                self._shut(self._levels[at - 1])

    @staticmethod
    def _shut(level: Level) -> None:
        if level.handle >= 0:
            os.close(level.handle)
            level.handle = -1


def _opened(level: Level, above: int) -> int:
    """Return a handle on the folder. Raises OSError, also if another folder has its name now."""
    handle = os.open(level.path.rpartition(b"/")[2], PASSING_FLAGS, dir_fd=above)
    now = os.fstat(handle)
    if (now.st_dev, now.st_ino) == (level.device, level.inode):
        return handle
    os.close(handle)
    raise FileNotFoundError(2, "the folder was replaced while it was walked")
