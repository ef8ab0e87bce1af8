"""Folders below a target, held open: never one outside it, never one that a symbolic link leads to."""

import os
import sys
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Iterator

from formats.errors import IntegrityError

assert sys.platform != "win32"

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_MAX = 64


class Folders:
    """Open folders by path, relative to `root`; `forget` hears of each handle before it is closed."""

    def __init__(self, root: int, forget: Callable[[int], None]) -> None:
        self.root = root
        self._forget = forget
        self._open: OrderedDict[bytes, int] = OrderedDict()
        self._names: dict[int, frozenset[bytes]] = {}
        self._systems = {os.fstat(root).st_dev: root}

    def close(self) -> None:
        for handle in self._open.values():
            os.close(handle)
        for handle in self._systems.values():
            os.close(handle)

    def systems(self) -> Iterator[int]:
        """A handle on each file system that was met below the root, its own first."""
        return iter(self._systems.values())

    def above(self, path: bytes, *, make: bool = True) -> tuple[int, bytes]:
        """A handle on the folder above `path`, valid until the next call, and the last name."""
        folder, _, name = path.rpartition(b"/")
        return self._handle(folder, make), name

    def spells(self, folder: int, name: bytes) -> bool:
        """Whether the open folder lists just this name. A file system may find an entry by other spellings too.

        The list is read once, when something is found: what comes later comes from this run, and is known to it.
        """
        if folder not in self._names:
            self._names[folder] = _listed(folder)
        return name in self._names[folder]

    def forget_names(self) -> None:
        """Read all lists anew."""
        self._names.clear()

    def rival(self, folder: int, name: bytes) -> str:
        """Say what has the name, or is taken for it by the file system."""
        listed = _listed(folder)
        if name in listed:
            return "something else has this name by now"
        alike = next((other for other in sorted(listed) if _folded(other) == _folded(name)), None)
        which = "another name" if alike is None else os.fsdecode(alike)
        return f"this file system takes the name for {which}, which is there already"

    def open(self, path: bytes) -> int:
        """A handle of the caller's own on a folder."""
        if not path:
            return os.dup(self.root)
        folder, name = self.above(path)
        return os.open(name, FOLDER_FLAGS, dir_fd=folder)

    def _handle(self, path: bytes, make: bool) -> int:
        """A handle on a folder, opened from the nearest one that is open still, part by part."""
        at = path
        while at and at not in self._open:
            at = at.rpartition(b"/")[0]
        handle = self._open[at] if at else self.root
        while at != path:
            end = path.find(b"/", len(at) + 1 if at else 0)
            at = path if end < 0 else path[:end]
            handle = self._open[at] = self._step(handle, at, make)
            if len(self._open) > _OPEN_MAX:
                self._shut(self._open.popitem(last=False)[1])
        if path:
            self._open.move_to_end(path)
        return handle

    def _step(self, parent: int, path: bytes, make: bool) -> int:
        name = path.rpartition(b"/")[2]
        try:
            handle = os.open(name, FOLDER_FLAGS, dir_fd=parent)
        except FileNotFoundError:
            if not make:
                raise
            os.mkdir(name, 0o700, dir_fd=parent)
            handle = os.open(name, FOLDER_FLAGS, dir_fd=parent)
        except OSError as error:
            if error.errno not in (20, 40):  # ENOTDIR, ELOOP: a link or a file stands where a folder should
                raise
            raise IntegrityError(
                "restore-escape",
                "something that is no folder stands in the way",
                subject=os.fsdecode(path),
                hint="move it away, or restore into an empty folder",
            ) from error
        if (device := os.fstat(handle).st_dev) not in self._systems:
            self._systems[device] = os.dup(handle)
        return handle

    def _shut(self, folder: int) -> None:
        self._forget(folder)
        self._names.pop(folder, None)
        os.close(folder)


def _listed(folder: int) -> frozenset[bytes]:
    return frozenset(map(os.fsencode, os.listdir(folder)))


def _folded(name: bytes) -> str:
    """What is left of a name when case, composition, and dots and spaces at its end do not count."""
    return unicodedata.normalize("NFC", os.fsdecode(name)).casefold().rstrip(". ")
