"""Folders below a target, held open: never one outside it, never one that a symbolic link leads to.

A restore opens up each folder that this user owns but may not write into, for as long as the restore takes.
"""

import os
import stat
import sys
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress

from formats.errors import IntegrityError
from seed.source.handles import share

assert sys.platform != "win32"

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDERS_MAX = 64
_EFFECTIVE = os.access in os.supports_effective_ids


class OpenFolders:
    """Open folders by path, relative to `root`; `forget` gets the handle of a folder before it is closed."""

    def __init__(self, root: int, forget: Callable[[int], None]) -> None:
        self.root = root
        self._forget = forget
        self._open: OrderedDict[bytes, int] = OrderedDict()
        self._most = share(_FOLDERS_MAX)
        self._changes = False
        self._roomy: set[int] = set()  # open folders into which this user may write
        self._shut_before: dict[bytes, int] = {}  # modes of folders that were opened up
        self._names: dict[int, frozenset[bytes]] = {}
        self._systems = {os.fstat(root).st_dev: root}

    def close(self) -> None:
        for handle in self._open.values():
            os.close(handle)
        for handle in self._systems.values():
            os.close(handle)

    def systems(self) -> Iterator[int]:
        """Return a handle on each file system that was met below the root, the root's own first."""
        return iter(self._systems.values())

    def above(self, path: bytes, *, make: bool = True) -> tuple[int, bytes]:
        """Return a handle on the folder above `path`, valid until the next call, and the last name."""
        folder, _, name = path.rpartition(b"/")
        return self._handle(folder, make), name

    def allow_changes(self) -> None:
        """Allow this object to open up folders from now on, and open up the root first."""
        self._changes = True
        self._make_room(self.root, b"")

    def make_room(self, path: bytes) -> None:
        """Open up the folder above `path` if need be."""
        folder, _ = self.above(path)
        if folder not in self._roomy:
            self._make_room(folder, path.rpartition(b"/")[0])

    def finish(self, path: bytes) -> None:
        """Forget the earlier mode of a folder, which has its own mode by now."""
        self._shut_before.pop(path, None)

    def restore_modes(self) -> None:
        """Give the folders that were opened up their earlier mode back, unless they got another mode."""
        while self._shut_before:
            path, mode = self._shut_before.popitem()
            with suppress(OSError, IntegrityError):  # it was removed meanwhile, or replaced
                handle = self.open(path)
                os.fchmod(handle, mode)
                os.close(handle)

    def spells(self, folder: int, name: bytes) -> bool:
        """Return whether the open folder lists exactly this name.

        A file system may find an entry by other spellings too. The list is read once, and again for a name
        that it lacks.
        """
        if name not in self._names.get(folder, ()):
            self._names[folder] = _listed(folder)
        return name in self._names[folder]

    def rival(self, folder: int, name: bytes) -> str:
        """Return a text about the entry that has the name, or that the file system takes for it."""
        listed = _listed(folder)
        if name in listed:
            return "something else has this name by now"
        alike = next((other for other in sorted(listed) if _folded(other) == _folded(name)), None)
        which = "another name" if alike is None else os.fsdecode(alike)
        return f"this file system takes the name for {which}, which is there already"

    def open(self, path: bytes) -> int:
        """Return a handle on a folder, which the caller closes."""
        if not path:
            return os.dup(self.root)
        folder, _ = self.above(path)
        return self._enter(folder, path, make=False)

    def _handle(self, path: bytes, make: bool) -> int:
        """Return a handle on a folder, opened part by part from the nearest folder that is still open."""
        at = path
        while at and at not in self._open:
            at = at.rpartition(b"/")[0]
        handle = self._open[at] if at else self.root
        while at != path:
            end = path.find(b"/", len(at) + 1 if at else 0)
            at = path if end < 0 else path[:end]
            handle = self._open[at] = self._enter(handle, at, make)
            if (device := os.fstat(handle).st_dev) not in self._systems:
                self._systems[device] = os.dup(handle)
            if len(self._open) > self._most:
                self._shut(self._open.popitem(last=False)[1])
        if path:
            self._open.move_to_end(path)
        return handle

    def _enter(self, parent: int, path: bytes, make: bool) -> int:
        name = path.rpartition(b"/")[2]
        try:
            return os.open(name, FOLDER_FLAGS, dir_fd=parent)
        except FileNotFoundError:
            if not make:
                raise
            os.mkdir(name, 0o700, dir_fd=parent)
        except PermissionError:
            mode = self._own_mode(parent, name)
            if mode is None:
                raise
            os.chmod(name, mode | 0o700, dir_fd=parent)
            self._shut_before.setdefault(path, mode)
        except OSError as error:
            if error.errno not in (20, 40):  # ENOTDIR, ELOOP: a link or a file stands where a folder should
                raise
            raise IntegrityError(
                "restore-escape",
                "something that is no folder stands in the way",
                subject=os.fsdecode(path),
                hint="move it away, or restore into an empty folder",
            ) from error
        return os.open(name, FOLDER_FLAGS, dir_fd=parent)

    def _own_mode(self, parent: int, name: bytes) -> int | None:
        """Return the mode of a folder that this user may open up, else None."""
        now = os.stat(name, dir_fd=parent, follow_symlinks=False)
        own = self._changes and stat.S_ISDIR(now.st_mode) and now.st_uid == os.geteuid()
        return stat.S_IMODE(now.st_mode) if own else None

    def _make_room(self, folder: int, path: bytes) -> None:
        now = os.fstat(folder)
        if (
            self._changes
            and now.st_uid == os.geteuid()
            and not os.access(".", os.W_OK | os.X_OK, dir_fd=folder, effective_ids=_EFFECTIVE)
        ):
            with suppress(OSError):  # the later write reports the reason
                os.fchmod(folder, stat.S_IMODE(now.st_mode) | 0o700)
                self._shut_before.setdefault(path, stat.S_IMODE(now.st_mode))
        self._roomy.add(folder)

    def _shut(self, folder: int) -> None:
        self._forget(folder)
        self._names.pop(folder, None)
        self._roomy.discard(folder)
        os.close(folder)


def _listed(folder: int) -> frozenset[bytes]:
    return frozenset(map(os.fsencode, os.listdir(folder)))


def _folded(name: bytes) -> str:
    """Return a name in a form without case, with one composition, and without dots and spaces at its end."""
    return unicodedata.normalize("NFC", os.fsdecode(name)).casefold().rstrip(". ")
