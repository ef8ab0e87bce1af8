"""Reads small files, many at a time, end to end into one space: what costs little for a byte and much for a file.

Whoever reads is told by path where a file lies and by number which it is, and opens its folder anew, part by part: so
it may be another process than the one that walks (seed/source/helper.py). It stands alone: it loads nothing large.
"""

import errno
import marshal
import os
import stat
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from formats.ids import ContentId, content_id
from seed.xattrs import read as xattrs_of


class Wanted(NamedTuple):
    """A file as the walk met it: `path` from the root of all paths, times in nanoseconds since 1970."""

    path: bytes
    device: int
    inode: int
    size: int
    modified: int
    changed: int

    @property
    def space(self) -> int:
        """Bytes that it may take: one more than it had, by which it is noticed that it grew."""
        return self.size + 1


class Got(NamedTuple):
    """What became of it: `length` bytes were read, whose id is `content`, or it failed with `errno`."""

    length: int
    content: ContentId
    xattrs: bytes = b""  # packed, see seed/xattrs.py
    stayed: bool = True  # it was not changed meanwhile
    xattrs_errno: int = 0  # some of them could not be read
    errno: int = 0


def tell(sink: Connection, *message: Any) -> None:
    """Send plain values to the other process: tuples as such, for their classes are known there. Raises OSError."""
    sink.send_bytes(marshal.dumps(message))


def hear(source: Connection) -> Any:
    """What the other process told. Raises EOFError where it has ended."""
    return marshal.loads(source.recv_bytes())  # noqa: S302  both are this program


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
        return os.open(name, FILE_FLAGS, dir_fd=self.handle(folder))

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


def read_batch(wanted: Sequence[Wanted], space: memoryview, key: bytes, folders: Folders) -> list[Got]:
    """Read each file behind the one before into `space`, which has room for all; name what was read under `key`."""
    got, at = [], 0
    for file in wanted:
        try:
            read = _read(file, space[at : at + file.space], key, folders)
        except OSError as error:
            read = Got(0, _NONE, errno=error.errno or errno.EIO)
        got.append(read)
        at += read.length
    return got


_NONE = ContentId(bytes(16))


def _read(file: Wanted, space: memoryview, key: bytes, folders: Folders) -> Got:
    handle = folders.open(file.path)
    try:
        before = os.fstat(handle)
        if not stat.S_ISREG(before.st_mode) or (before.st_dev, before.st_ino) != (file.device, file.inode):
            raise FileNotFoundError(errno.ENOENT, "something else has its name now")
        length = read_into(handle, space)
        while length < file.size and (more := read_into(handle, space[length:])):
            length += more
        xattrs, failure = xattrs_of(handle)
        now = os.fstat(handle)
    finally:
        os.close(handle)
    stayed = (now.st_size, now.st_mtime_ns, now.st_ctime_ns) == (file.size, file.modified, file.changed)
    return Got(length, content_id(space[:length], key) if length else _NONE, xattrs, stayed, failure)
