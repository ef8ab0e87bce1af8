"""Names for files that are whole: a name in use is never taken, unless this run has judged it."""

import errno
import fcntl
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from seed.restore.tree.name_state import Mark, mark_of
from seed.restore.tree.system_calls import UNSUPPORTED, rename_new

assert sys.platform != "win32"

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# The file system has no hard links, or no more of them for this file.
_NO_LINKS = UNSUPPORTED | {errno.EPERM, errno.EMLINK}


def give_name(staged: int, staged_name: bytes, folder: int, name: bytes) -> None:
    """Move a staged file to a free name. Raises FileExistsError, OSError.

    There are three ways: a rename that replaces nothing, a hard link, and a look before the rename. The third
    is for exFAT and FAT alone, and two processes never take it at once.
    """
    if not (rename_new(staged, staged_name, folder, name) or _linked(staged, staged_name, folder, name)):
        with alone(folder):
            if _exists(folder, name):
                raise FileExistsError(errno.EEXIST, "something else has this name")
            os.rename(staged_name, name, src_dir_fd=staged, dst_dir_fd=folder)


def replace(staged: int, staged_name: bytes, folder: int, name: bytes, mark: Mark) -> None:
    """Move a staged file over the entry with this mark; a folder is replaced only if it is empty.

    Raises OSError, and FileExistsError if something else has the name by now.
    """
    with alone(folder):
        try:
            now = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            pass
        else:
            if mark_of(now) != mark:
                raise FileExistsError(errno.EEXIST, "something else has this name by now")
            if not stat.S_ISDIR(now.st_mode):
                os.rename(staged_name, name, src_dir_fd=staged, dst_dir_fd=folder)
                return
            os.rmdir(name, dir_fd=folder)
        if not rename_new(staged, staged_name, folder, name):
            os.rename(staged_name, name, src_dir_fd=staged, dst_dir_fd=folder)


@contextmanager
def alone(folder: int) -> Iterator[None]:
    """Keep out other processes of this program that look at a name in this folder and then take it."""
    handle = os.open(".", _FOLDER_FLAGS, dir_fd=folder)
    try:
        with suppress(OSError):  # a file system without locks has no way to keep them out
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _linked(staged: int, staged_name: bytes, folder: int, name: bytes) -> bool:
    try:
        os.link(staged_name, name, src_dir_fd=staged, dst_dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno in _NO_LINKS:
            return False
        raise
    os.unlink(staged_name, dir_fd=staged)
    return True


def _exists(folder: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
