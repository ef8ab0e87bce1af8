"""The judgement of this run about one name on the target, before anything is written there."""

import os
import stat
from typing import Literal, NamedTuple

Compare = Literal["content", "times"]
# In doubt the content decides. A twin stands under another name, which this file system takes for the same.
State = Literal["absent", "same", "doubt", "other", "twin"]
Mark = tuple[int, int, int]  # kind, size and time of modification


class Judged(NamedTuple):
    """What stands under a name: a `mark` by which it is known again, None where nothing stands there."""

    state: State
    mark: Mark | None = None


ABSENT = Judged("absent")


def mark_of(status: os.stat_result) -> Mark:
    """Return the mark of what a look has found. Inode numbers are no part of it: FUSE gives new ones."""
    return stat.S_IFMT(status.st_mode), status.st_size, status.st_mtime_ns
