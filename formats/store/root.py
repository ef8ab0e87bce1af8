"""The files below one folder, as a local store needs them, and whole reads and writes of them.

`StoreRoot` is the interface to the system; `posix` and `windows` implement it. This module knows nothing of
objects.
"""

import os
from collections.abc import Callable, Iterator
from io import FileIO
from mmap import PAGESIZE
from typing import Protocol

from formats.store.contract import Limiter

SLICE = 8 << 20
PACE = 64 << 10  # bytes that a limiter is asked for at a time


class StoreRoot(Protocol):
    """The files below one folder; names are relative, with `/`. All failures are OSErrors."""

    def read(self, name: str) -> FileIO:
        """Return the regular file `name`, open for reading; nothing else is ever opened."""

    def pass_cache(self, file: FileIO) -> bool:
        """Read the open file from the medium from now on; return False if the page cache may still answer.

        True also means that reads must be of whole, aligned pages, the last one short.
        """

    def create(self, name: str) -> FileIO:
        """Return a new file, open for writing; its folder is made if it is missing."""

    def status(self, name: str) -> os.stat_result:
        """Return the status of the entry of that name; for a link its own. The entry is not opened."""

    def rename_new(self, temporary: str, name: str, *, addressed: bool) -> bool:
        """Give `temporary` the name and make its folder; return False if a file that is not empty has the name.

        With `addressed`, any other writer of the name brings equal bytes, and may be replaced.
        """

    def move(self, name: str, to: str) -> None:
        """Rename an entry of any kind, and make the folders above `to`.

        Raises FileExistsError if something is there.
        """

    def remove(self, name: str) -> None:
        """Remove the file; it is no error if there is none."""

    def flush(self, file: FileIO) -> None:
        """Make the file's bytes survive a power cut."""

    def flush_folder(self, path: str) -> None:
        """Make the names in the folder, and its own name, survive a power cut, as far as the system can."""

    def entries(self, path: str) -> Iterator[os.DirEntry[str]]:
        """Yield the entries of the folder, in any order.

        The caller asks an entry for its status before it takes the next one.
        """

    def space(self) -> tuple[int, int]:
        """Return free and total bytes of the file system."""

    def device(self) -> int:
        """Return the file system's number."""

    def close(self) -> None:
        """Release the folder."""


def children(
    root: StoreRoot, folder: str, wanted: Callable[[str], bool]
) -> Iterator[tuple[str, os.stat_result]]:
    """Yield name and status of the `wanted` entries in `folder`; nothing if there is no such folder."""
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
    """Write all of `view`, in slices, even if the system takes only little at a time."""
    done = 0
    while done < len(view):
        done += file.write(view[done : done + _paced(limiter, len(view) - done)])


def read(file: FileIO, length: int, limiter: Limiter | None = None) -> bytes:
    """Return `length` bytes, fewer only if the file ends; without a copy if one call brings them all."""
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
    """Fill `buffer`; return the number of bytes placed, fewer than requested only if the file ends."""
    done = 0
    while done < len(buffer) and (
        count := file.readinto(buffer[done : done + _paced(limiter, len(buffer) - done)])
    ):
        done += count
    return done


def _paced(limiter: Limiter | None, left: int) -> int:
    """Return the number of bytes that may go at once, if so many are left."""
    if limiter is None:
        return SLICE
    count = min(PACE, left)
    limiter.take(count)
    return count


def read_pages(file: FileIO, buffer: memoryview, size: int) -> int:
    """Read a file of `size` bytes in whole pages to the front of the page-aligned `buffer`.

    Return the number of bytes placed.
    """
    done = 0
    while done < size and (count := file.readinto(buffer[done : done + SLICE])):
        done += count
        if count % PAGESIZE:
            break  # this is the file's end: another read from here would not be aligned
    return done


def equal(file: FileIO, view: memoryview) -> bool:
    """Return True if the file continues with exactly these bytes."""
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
