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


def is_time(now: os.stat_result, wanted: int) -> bool:
    """Whether a file has the time of modification `wanted`, as finely as its file system keeps times.

    How finely that is shows in the time of its last change, which nobody can set: whole seconds there mean ext4 with
    small inodes, exFAT or FAT, whose steps are of two seconds at most; whole steps of 100 ns mean NTFS.
    """
    if now.st_mtime_ns == wanted:
        return True
    step = next((s for s in (10**9, 100) if not (now.st_mtime_ns % s or now.st_ctime_ns % s)), 1)
    return abs(now.st_mtime_ns - wanted) < (2 * step if step == 10**9 else step)
