"""Reads small files, many at a time, end to end into one space: what costs little for a byte and much for a file.

Whoever reads is told by path where a file lies and by number which it is, and opens its folder anew, part by part: so
it may be another process than the one that walks (seed/helper.py).
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
from seed.source.quiet import open_quietly
from seed.xattrs import read as xattrs_of

# A file as the walk met it: path, size, mtime and ctime in seconds and nanoseconds beyond, device, inode.
Wanted = tuple[bytes, int, int, int, int, int, int, int]
# What is told of a file that is not like most: xattrs (packed), whether it was not changed meanwhile, an errno where some
# of the xattrs could not be read, an errno where the file could not.
Odd = tuple[bytes, bool, int, int]


class Got(NamedTuple):
    """What became of files, in their order: bytes read and content ids (16 bytes each) of all, and what is odd about some.

    A file without bytes has no content id: zeros stand there.
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


class Folders:
    """Opens files by path, without following links; the last folder stays open, for the next file lies mostly in it."""

    def __init__(self) -> None:
        self._path: bytes | None = None
        self._handle = -1

    def open(self, path: bytes) -> int:
        """A read handle on the file; never waits. Raises OSError."""
        folder, _, name = path.rpartition(b"/")
        return open_quietly(name, FILE_FLAGS, self.handle(folder))

    def handle(self, folder: bytes) -> int:
        """A handle on the folder, good until another is asked for. Raises OSError."""
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
    """Bytes read from the handle's position on into `space`; 0 at the end. Raises OSError."""
    return os.readv(handle, [space])


def read_batch(files: Sequence[Wanted], space: memoryview, key: bytes, folders: Folders) -> Got:
    """Read each file behind the one before into `space`, which has room for all; name what was read under `key`."""
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
    return Got(lengths, b"".join(contents), odd)


_NONE = bytes(16)
_LIKE_MOST: Odd = (b"", True, 0, 0)


def _read(file: Wanted, space: memoryview, folders: Folders) -> tuple[int, Odd]:
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
