"""Foreign entries in a store, as a listing reports them.

A listing looks at names and kinds only. It never opens a foreign entry, never follows it, and never looks
below it.
"""

import stat
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

FILE, FOLDER, LINK, PIPE, SOCKET, DEVICE = "file", "folder", "link", "pipe", "socket", "device"
EMPTY, CLOSED = "empty file", "unreadable folder"

TEMPORARIES = "tmp"
SET_ASIDE = "set-aside"  # entries that were moved away lie below it
SYSTEM_FOLDERS = (
    "lost+found",
    "System Volume Information",
    "$RECYCLE.BIN",
)  # a file system makes them in its root

NAMES_MAX = 10_000  # the most names that a tally keeps

_KINDS = {
    stat.S_IFREG: FILE,
    stat.S_IFDIR: FOLDER,
    stat.S_IFLNK: LINK,
    stat.S_IFIFO: PIPE,
    stat.S_IFSOCK: SOCKET,
}


class Foreign(NamedTuple):
    """One foreign entry: its path in the store and its kind.

    `blocks` says that it stands in the place of our object or folder. For an empty file of ours, `written` is
    the time when it was written, in seconds.
    """

    name: str
    kind: str
    blocks: bool = False
    written: float = 0.0


Passed = Callable[[Foreign], None]


def kind_of(mode: int) -> str:
    """Return the kind of an entry with this mode."""
    return _KINDS.get(stat.S_IFMT(mode), DEVICE)


def is_still(kind: str | None, mode: int, size: int) -> bool:
    """Return whether an entry of this mode and size is still of the kind that was seen; None is any kind."""
    if kind == EMPTY:
        return kind_of(mode) == FILE and not size
    return kind is None or kind == kind_of(mode)


class Strangers:
    """A tally of foreign entries, in bounded memory.

    It counts all, and keeps the first ones and the first that block.
    """

    def __init__(self) -> None:
        self.count = 0
        self.kinds: Counter[str] = Counter()
        self.first: list[Foreign] = []
        self.blocking: list[Foreign] = []

    def __call__(self, found: Foreign) -> None:
        self.count += 1
        self.kinds[found.kind] += 1
        for kept in (self.first, self.blocking) if found.blocks else (self.first,):
            if len(kept) < NAMES_MAX:
                kept.append(found)
