"""The reader of small files: it reads many at a time, end to end into one space.

Small files cost little for a byte and much for a file. The reader finds a file by its path and knows it by
its device and inode. It opens the folder anew, part by part. So it may be another process than the process
that walks (seed/pipeline/small_file_worker.py).
"""

import errno
import os
import stat
import sys
from collections.abc import Sequence
from typing import NamedTuple

from formats.ids import content_id
from formats.keyed.catalog import Looked
from seed.source.clocks import changed_ns
from seed.source.quiet_open import open_quietly
from seed.source.xattrs import read as xattrs_of

# A file as the walk met it: path, size, mtime and ctime (each in seconds and further nanoseconds), device, inode.
Wanted = tuple[bytes, int, int, int, int, int, int, int]
# The oddities of a file: its packed xattrs, whether it stayed unchanged during the reading, the errno of xattrs
# that could not be read, the errno of a file that could not be read. An errno is 0 if that reading did not fail.
Odd = tuple[bytes, bool, int, int]


class BatchResult(NamedTuple):
    """The results of a batch, in the order of its files.

    `lengths` holds the bytes read and `contents` the content ids (16 bytes each) of all files. `odd` holds
    the oddities of some files, by their numbers in the batch. A file without bytes has no content id: zeros
    replace it.
    """

    lengths: list[int]
    contents: bytes
    odd: dict[int, Odd]


def wanted(looked: Looked) -> Wanted:
    return (looked[0], *looked[7:14])


assert sys.platform != "win32"

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Where no list is needed, the right to pass through a folder is enough.
PASSING_FLAGS = FOLDER_FLAGS | getattr(os, "O_PATH", 0)
FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class FolderOpener:
    """An opener of files by path that follows no links.

    The last folder stays open, because the next file mostly lies in it too.
    """

    def __init__(self) -> None:
        self._path: bytes | None = None
        self._handle = -1

    def open(self, path: bytes) -> int:
        """Return a read handle on the file, without ever waiting. Raises OSError."""
        folder, _, name = path.rpartition(b"/")
        return open_quietly(name, FILE_FLAGS, self.handle(folder))

    def handle(self, folder: bytes) -> int:
        """Return a handle on the folder, valid until the call for another folder. Raises OSError."""
        if folder != self._path:
            self._enter(folder)
        return self._handle

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
        self._path, self._handle = None, -1

    def _enter(self, folder: bytes) -> None:
        if self._path is not None and folder.startswith(self._path + b"/"):
            handle, parts = self._handle, folder[len(self._path) + 1 :]
        else:
            self.close()
            handle, parts = os.open("/", PASSING_FLAGS), folder
        self._path, self._handle = None, handle
        for part in parts.split(b"/") if parts else ():
            below = os.open(part, PASSING_FLAGS, dir_fd=self._handle)
            os.close(self._handle)
            self._handle = below
        self._path = folder


def read_into(handle: int, space: memoryview) -> int:
    """Read from the handle's position into `space`, and return the number of bytes.

    Return 0 at the end of the file. Raises OSError.
    """
    return os.readv(handle, [space])


def read_batch(files: Sequence[Wanted], space: memoryview, key: bytes, folders: FolderOpener) -> BatchResult:
    """Read the files one behind the other into `space`, which has room for all of them.

    `key` is the key of their content ids.
    """
    lengths: list[int] = []
    contents: list[bytes] = []
    odd: dict[int, Odd] = {}
    at = 0
    for number, file in enumerate(files):
        length, told = 0, _LIKE_MOST
        try:
            length, told = _read(file, space[at : at + file[1]], folders)
        except OSError as error:
            told = b"", True, 0, error.errno or errno.EIO
        if told != _LIKE_MOST:
            odd[number] = told
        lengths.append(length)
        contents.append(content_id(space[at : at + length], key) if length else _NONE)
        at += length
    return BatchResult(lengths, b"".join(contents), odd)


_NONE = bytes(16)
_LIKE_MOST: Odd = (b"", True, 0, 0)


def _read(file: Wanted, space: memoryview, folders: FolderOpener) -> tuple[int, Odd]:
    path, size, mtime, mtime_ns, ctime, ctime_ns, device, inode = file
    handle = folders.open(path)
    try:
        before = os.fstat(handle)
        if not stat.S_ISREG(before.st_mode) or before.st_ino != inode or before.st_dev != device:
            raise FileNotFoundError(errno.ENOENT, "something else has its name now")
        length = read_into(handle, space)
        while length < size and (more := read_into(handle, space[length:])):
            length += more
        xattrs, failure = xattrs_of(handle)
        now = os.fstat(handle)
    finally:
        os.close(handle)
    times = mtime * 10**9 + mtime_ns, ctime * 10**9 + ctime_ns
    stayed = now.st_size == size and (now.st_mtime_ns, changed_ns(now)) == times
    return length, (xattrs, stayed, failure, 0)
