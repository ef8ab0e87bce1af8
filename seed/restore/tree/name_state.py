"""The judgement of this run about one name on the target, before anything is written there."""

import os
import stat
from typing import Literal, NamedTuple

Compare = Literal["content", "times"]
# In doubt the content decides. A twin stands under another name, which this file system takes for the same.
State = Literal["absent", "same", "doubt", "other", "twin"]
Mark = tuple[int, int, int]  # kind, size and time of modification


class NameState(NamedTuple):
    """The state of a name, and a `mark` that identifies its entry later; None if nothing stands there."""

    state: State
    mark: Mark | None = None


ABSENT = NameState("absent")


def mark_of(status: os.stat_result) -> Mark:
    """Return the mark of an entry with this status.

    Inode numbers are no part of it: FUSE gives new ones.
    """
    return stat.S_IFMT(status.st_mode), status.st_size, status.st_mtime_ns


def is_time(now: os.stat_result, wanted: int) -> bool:
    """Return whether a file has the time of modification `wanted`, as finely as its file system keeps times.

    The time of its last change, which nobody can set, shows these steps. Whole seconds there mean ext4 with
    small inodes, exFAT or FAT: their steps are two seconds at most. Whole steps of 100 ns mean NTFS.
    """
    if now.st_mtime_ns == wanted:
        return True
    step = next((s for s in (10**9, 100) if not (now.st_mtime_ns % s or now.st_ctime_ns % s)), 1)
    return abs(now.st_mtime_ns - wanted) < (2 * step if step == 10**9 else step)
