"""The catalog's facts about one file on POSIX, read through the handle of its folder."""

import os
import stat
import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from formats.keyed.catalog import BLOCK_DEVICE, CHARACTER_DEVICE, FILE, SYMLINK, CatalogEntry, Looked
from seed.source.file_types import TYPES
from seed.source.xattrs import read, why

assert sys.platform != "win32"
import grp  # noqa: E402
import pwd  # noqa: E402

from seed.source.batch import FILE_FLAGS, FolderOpener  # noqa: E402
from seed.source.clocks import changed_ns  # noqa: E402
from seed.source.quiet_open import open_quietly  # noqa: E402


class ErrorReporter(Protocol):
    """A callback for a path, the error there, and the code of the finding about it."""

    def __call__(self, path: bytes, error: OSError, code: str) -> None: ...


@dataclass(slots=True)
class FoundEntry:
    """An entry as the walk found it, and the way to its bytes: valid until the walk goes on.

    `lacking` becomes true if `described` cannot read all its attributes. `above` is true for a folder above
    an item: only a part of its content is backed up.
    """

    path: bytes
    type: int
    looked: Looked
    rdev: int
    folder: int
    name: bytes
    told: ErrorReporter
    allocated: int = 0  # bytes on the disk
    lacking: bool = False
    above: bool = False

    @property
    def number(self) -> tuple[int, int]:
        """The device and the inode."""
        return self.looked[12:14]

    def described(self) -> CatalogEntry:
        """Return the entry with its attributes and without its content. Raises OSError.

        Attributes that cannot be read are a finding, reported by `told`.
        """
        target, rdev = b"", 0
        if self.type == SYMLINK:
            target = os.readlink(self.name, dir_fd=self.folder)
        elif self.type in (CHARACTER_DEVICE, BLOCK_DEVICE):
            rdev = self.rdev
        xattrs, failure = read(b"/proc/self/fd/%d/%b" % (self.folder, self.name))
        if failure:
            self.lacking = True
            self.told(self.path, OSError(failure, why(failure)), code="source-xattrs")
        return CatalogEntry(*self.looked, target, rdev, xattrs)

    def open(self) -> int:
        """Return a read handle on the file, without ever waiting.

        Raises OSError, also if something else has the name now.
        """
        handle = open_quietly(self.name, FILE_FLAGS, self.folder)
        now = os.fstat(handle)
        if stat.S_ISREG(now.st_mode) and (now.st_dev, now.st_ino) == self.number:
            return handle
        os.close(handle)
        raise FileNotFoundError(2, "something else has its name now")

    def renewed(self) -> "FoundEntry | None":
        """Return the file that has this name now, such as a newly saved one; None if no file has it."""
        try:
            found = look(self.folder, self.name, self.path, _pass_over)
        except OSError:
            return None
        return found if found.type == FILE else None


def look(folder: int, name: bytes, path: bytes, told: ErrorReporter) -> FoundEntry:
    """Return the entry that has this name now, as the entry `path`. Raises OSError."""
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    kind = TYPES.get(stat.S_IFMT(status.st_mode))
    if kind is None:
        raise OSError(22, "a kind of file that is not known")
    uid, gid = status.st_uid, status.st_gid
    looked = (
        path,
        kind,
        status.st_mode & 0o7777,
        uid,
        gid,
        user_name(uid),
        group_name(gid),
        status.st_size if kind == FILE else 0,
        *divmod(status.st_mtime_ns, 10**9),
        *divmod(changed_ns(status), 10**9),
        status.st_dev,
        status.st_ino,
        status.st_nlink,
    )
    return FoundEntry(path, kind, looked, status.st_rdev, folder, name, told, 512 * status.st_blocks)


def found_at(path: bytes, folders: FolderOpener) -> FoundEntry | None:
    """Return the file at a path, as it is now; None if no file is there."""
    folder, _, name = path.rpartition(b"/")
    try:
        found = look(folders.handle(folder), name, path, _pass_over)
    except OSError:
        return None
    return found if found.type == FILE else None


def _pass_over(path: bytes, error: OSError, code: str) -> None:
    """Ignore attributes that cannot be read: the walk reported them when it first met the file."""


@lru_cache(maxsize=4096)
def user_name(uid: int) -> str:
    try:
        return _utf8(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return ""


@lru_cache(maxsize=4096)
def group_name(gid: int) -> str:
    try:
        return _utf8(grp.getgrgid(gid).gr_name)
    except KeyError:
        return ""


def _utf8(name: str) -> str:
    return name.encode("utf-8", "replace").decode("utf-8")
