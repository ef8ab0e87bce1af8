"""The files below one folder, as a local store needs them, and whole reads and writes of them.

`Root` is what a system must offer; `posix` and `windows` offer it. Nothing here knows of objects.
"""

import os
from collections.abc import Callable, Iterator
from io import FileIO
from mmap import PAGESIZE
from typing import Protocol

from formats.store.contract import Limiter

SLICE = 8 << 20
PACE = 64 << 10  # bytes that a limiter is asked for at a time


class Root(Protocol):
    """The files below one folder; names are relative, with `/`. All failures are OSErrors."""

    def read(self, name: str) -> FileIO:
        """The regular file `name`, open for reading; nothing else is ever opened."""

    def pass_cache(self, file: FileIO) -> bool:
        """From now on read the open file from the medium; False where the page cache may answer all the same.

        True also means that reads must be of whole, aligned pages, the last one short.
        """

    def create(self, name: str) -> FileIO:
        """A new file, open for writing; its folder is made where it is missing."""

    def status(self, name: str) -> os.stat_result:
        """The status of whatever has the name; a link's own. It is not opened."""

    def rename_new(self, temporary: str, name: str, *, addressed: bool) -> bool:
        """Give `temporary` the name, making its folder; False if a file that is not empty has it.

        With `addressed`, whoever else comes for the name brings equal bytes, and may be replaced.
        """

    def move(self, name: str, to: str) -> None:
        """Rename whatever has the name, making the folders above `to`. Raises FileExistsError where something is there."""

    def remove(self, name: str) -> None:
        """Remove the file; none there is fine."""

    def flush(self, file: FileIO) -> None:
        """Make the file's bytes survive a power cut."""

    def flush_folder(self, path: str) -> None:
        """Make the names in the folder, and its own, survive a power cut; as far as the system can."""

    def entries(self, path: str) -> Iterator[os.DirEntry[str]]:
        """What lies in the folder, in any order; an entry is asked for its status before the next is taken."""

    def space(self) -> tuple[int, int]:
        """Free and total bytes of the file system."""

    def device(self) -> int:
        """The file system's number."""

    def close(self) -> None:
        """Let go of the folder."""


def children(root: Root, folder: str, wanted: Callable[[str], bool]) -> Iterator[tuple[str, os.stat_result]]:
    """Name and status of what lies in `folder` and is `wanted`; nothing if there is no such folder."""
    try:
        for entry in root.entries(folder):
            if wanted(entry.name):
                try:
                    yield entry.name, entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # deleted since the folder was read
    except FileNotFoundError:
        return


def write(file: FileIO, view: memoryview, limiter: Limiter | None = None) -> None:
    """Write all of `view`, in slices, however little the system takes at a time."""
    done = 0
    while done < len(view):
        done += file.write(view[done : done + _paced(limiter, len(view) - done)])


def read(file: FileIO, length: int, limiter: Limiter | None = None) -> bytes:
    """`length` bytes, fewer only if the file ends; without a copy where one call brings them all."""
    if limiter is not None:
        paced = bytearray(length)
        with memoryview(paced) as room:
            count = read_into(file, room, limiter)
        return bytes(paced[:count])
    data = file.read(length)
    while len(data) < length and (more := file.read(length - len(data))):
        data += more
    return data


def read_into(file: FileIO, buffer: memoryview, limiter: Limiter | None = None) -> int:
    """Fill `buffer`; the number of bytes placed, fewer than asked only if the file ends."""
    done = 0
    while done < len(buffer) and (
        count := file.readinto(buffer[done : done + _paced(limiter, len(buffer) - done)])
    ):
        done += count
    return done


def _paced(limiter: Limiter | None, left: int) -> int:
    """Bytes that may go at once, of so many that are left."""
    if limiter is None:
        return SLICE
    count = min(PACE, left)
    limiter.take(count)
    return count


def read_pages(file: FileIO, buffer: memoryview, size: int) -> int:
    """Read a file of `size` bytes in whole pages to the front of `buffer`, which is page-aligned; the bytes placed."""
    done = 0
    while done < size and (count := file.readinto(buffer[done : done + SLICE])):
        done += count
        if count % PAGESIZE:
            break  # the file's end: to ask once more from here would not be aligned
    return done


def equal(file: FileIO, view: memoryview) -> bool:
    """True if the file goes on with just these bytes."""
    slab = bytearray(min(SLICE, len(view)))  # compared as bytearray: memoryviews compare item by item
    for start in range(0, len(view), SLICE):
        part = view[start : start + SLICE]
        if len(part) < len(slab):
            slab = bytearray(len(part))
        with memoryview(slab) as room:
            if read_into(file, room) < len(part):
                return False
        if slab != part:
            return False
    return True
