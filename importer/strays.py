"""Objects of a disk that are not where they belong: a checker of file systems has put them into lost+found, say, or somebody
has moved them. Found by size and digest, below the place where the disk is mounted; names say nothing.

Nothing outside that place is looked at or read: no link is followed on the way, nor another file system entered.
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
from formats.store.root import Root
from formats.tables.archive import ARCHIVE_SIZE_MAX

ENTRIES_MAX = 1_000_000
READ_MIN, READ_FACTOR = 1 << 30, 4


@dataclass(frozen=True)
class Stray:
    """A file below the disk `top`, and how long it is."""

    top: Path
    name: str
    size: int

    def __str__(self) -> str:
        return str(self.top / self.name)

    def read(self) -> bytes:
        """Return its bytes. Raises OSError, NotFoundError where it is another file by now."""
        root = SystemRoot(str(self.top), create=False)
        try:
            return _read(root, self)
        finally:
            root.close()


def find(top: Path, missing: Mapping[str, tuple[int, HexDigest]]) -> dict[str, Stray]:
    """Where objects lie by now, of which name, size and digest are known. No more is read than would be worth it: whoever
    wrote the disk may have filled it with files of these sizes."""
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


def _read(root: Root, stray: Stray) -> bytes:
    with root.read(stray.name) as file:
        if os.fstat(file.fileno()).st_size != stray.size:
            raise NotFoundError(str(stray))
        return file.read(stray.size)


def moved_folders(top: Path) -> Iterator[Path]:
    """Folders that hold a label, wherever they lie."""
    for _, stray in _files(top):
        if stray.name.rpartition("/")[2] == "label":
            yield (top / stray.name).parent


def _files(top: Path) -> Iterator[tuple[Root, Stray]]:
    """The regular files below `top`, on its own file system, links not followed."""
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
                    with suppress(OSError):  # of a damaged file system one entry alone may be unreadable
                        status = entry.stat(follow_symlinks=False)
                        if stat.S_ISDIR(status.st_mode) and status.st_dev == device:
                            folders.append(name)
                        elif stat.S_ISREG(status.st_mode):
                            yield root, Stray(top, name, status.st_size)
    finally:
        root.close()
