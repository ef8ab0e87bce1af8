"""Objects of a disk that are not where they belong: a checker of file systems has put them into lost+found, say, or somebody
has moved them. Found by size and digest, below the place where the disk is mounted; names say nothing.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from formats.errors import NotFoundError
from formats.ids import HexDigest, hex_digest
from formats.tables.archive import ARCHIVE_SIZE_MAX

ENTRIES_MAX = 1_000_000
READ_MIN, READ_FACTOR = 1 << 30, 4
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def find(top: Path, missing: Mapping[str, tuple[int, HexDigest]]) -> dict[str, Path]:
    """Where objects lie by now, of which name, size and digest are known. No more is read than would be worth it: whoever
    wrote the disk may have filled it with files of these sizes."""
    wanted: dict[int, dict[HexDigest, str]] = {}
    for name, (size, digest) in missing.items():
        if size <= ARCHIVE_SIZE_MAX:
            wanted.setdefault(size, {})[digest] = name
    left = READ_MIN + READ_FACTOR * sum(size for size, _ in missing.values() if size in wanted)
    found: dict[str, Path] = {}
    for path, size in _files(top) if wanted else ():
        if size in wanted:
            left -= size
            with suppress(OSError, NotFoundError):
                which = wanted[size].get(hex_digest(read(path, size)))
                if which is not None:
                    found.setdefault(which, path)
        if len(found) == len(missing) or left < 0:
            break
    return found


def read(path: Path, size: int) -> bytes:
    """A regular file of that size. Raises OSError, NotFoundError where it is another."""
    handle = os.open(path, os.O_RDONLY | NO_FOLLOW)
    with open(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_size != size:
            raise NotFoundError(str(path))
        return file.read(size)


def moved_folders(top: Path) -> Iterator[Path]:
    """Folders that hold a label, wherever they lie."""
    for path, _ in _files(top):
        if path.name == "label":
            yield path.parent


def _files(top: Path) -> Iterator[tuple[Path, int]]:
    """The regular files below `top`, on its own file system, links not followed."""
    left = ENTRIES_MAX
    try:
        device = os.lstat(top).st_dev
    except OSError:
        return
    folders = [top]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    left -= 1
                    if left < 0:
                        return
                    with suppress(OSError):
                        status = entry.stat(follow_symlinks=False)
                        if stat.S_ISDIR(status.st_mode) and status.st_dev == device:
                            folders.append(Path(entry.path))
                        elif stat.S_ISREG(status.st_mode):
                            yield Path(entry.path), status.st_size
        except OSError:
            continue
