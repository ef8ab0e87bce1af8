"""Objects of a disk that are not in their places, found by size and digest.

A checker of file systems has put them into lost+found, for example, or somebody has moved them. Their names
say nothing. The search reads nothing outside the place where the disk is mounted: it follows no link and
enters no other file system.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from formats.errors import NotFoundError
from formats.ids import HexDigest, hex_digest
from formats.store.local import SystemRoot
from formats.store.root import StoreRoot
from formats.tables.archive import ARCHIVE_SIZE_MAX

ENTRIES_MAX = 1_000_000
READ_MIN, READ_FACTOR = 1 << 30, 4


@dataclass(frozen=True)
class Stray:
    """A file below the disk `top`, and its size in bytes."""

    top: Path
    name: str
    size: int

    def __str__(self) -> str:
        return str(self.top / self.name)

    def read(self) -> bytes:
        """Return its bytes. Raises OSError, and NotFoundError if it is another file by now."""
        root = SystemRoot(str(self.top), create=False)
        try:
            return _read(root, self)
        finally:
            root.close()


def find(top: Path, missing: Mapping[str, tuple[int, HexDigest]]) -> dict[str, Stray]:
    """Return the new places of `missing` objects, which are given by name, size and digest.

    The search reads no more than would be worth it: the writer of the disk may have filled it with files of
    these sizes.
    """
    wanted: dict[int, dict[HexDigest, str]] = {}
    for name, (size, digest) in missing.items():
        if size <= ARCHIVE_SIZE_MAX:
            wanted.setdefault(size, {})[digest] = name
    left = READ_MIN + READ_FACTOR * sum(size for size, _ in missing.values() if size in wanted)
    found: dict[str, Stray] = {}
    for root, stray in _files(top) if wanted else ():
        if stray.size in wanted:
            left -= stray.size
            with suppress(OSError, NotFoundError):
                which = wanted[stray.size].get(hex_digest(_read(root, stray)))
                if which is not None:
                    found.setdefault(which, stray)
        if len(found) == len(missing) or left < 0:
            break
    return found


def _read(root: StoreRoot, stray: Stray) -> bytes:
    with root.read(stray.name) as file:
        if os.fstat(file.fileno()).st_size != stray.size:
            raise NotFoundError(str(stray))
        return file.read(stray.size)


def moved_folders(top: Path) -> Iterator[Path]:
    """Yield the folders that hold a label, anywhere on the disk."""
    for _, stray in _files(top):
        if stray.name.rpartition("/")[2] == "label":
            yield (top / stray.name).parent


def _files(top: Path) -> Iterator[tuple[StoreRoot, Stray]]:
    """Yield the regular files below `top`, on its own file system; links are not followed."""
    left = ENTRIES_MAX
    try:
        root = SystemRoot(str(top), create=False)
    except OSError:
        return
    try:
        device = root.device()
        folders = [""]
        while folders:
            folder = folders.pop()
            with suppress(OSError):
                for entry in root.entries(folder):
                    left -= 1
                    if left < 0:
                        return
                    name = f"{folder}/{entry.name}" if folder else entry.name
                    with suppress(OSError):  # on a damaged file system, one entry alone may be unreadable
                        status = entry.stat(follow_symlinks=False)
                        if stat.S_ISDIR(status.st_mode) and status.st_dev == device:
                            folders.append(name)
                        elif stat.S_ISREG(status.st_mode):
                            yield root, Stray(top, name, status.st_size)
    finally:
        root.close()
