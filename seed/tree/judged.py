"""The judgement of this run about one name on the target, before anything is written there."""

import os
import stat
from typing import Literal, NamedTuple

Compare = Literal["content", "times"]
State = Literal["absent", "same", "doubt", "other"]  # in doubt the content decides
Mark = tuple[int, int, int]  # kind, size and time of modification


class Judged(NamedTuple):
    """What stands under a name: a `mark` by which it is known again, None where nothing stands there."""

    state: State
    mark: Mark | None = None


ABSENT = Judged("absent")


def mark_of(status: os.stat_result) -> Mark:
    """Return the mark of what a look has found. Inode numbers are no part of it: FUSE gives new ones."""
    return stat.S_IFMT(status.st_mode), status.st_size, status.st_mtime_ns
