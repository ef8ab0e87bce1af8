"""Where files lie while they are written: a folder of its own on each mount, removed at the end.

Its name is random, so that no name in a catalog can be that of a file in the making. What a killed restore left
behind is removed by the next one that writes there.
"""

import os
import re
import secrets
import sys
from contextlib import suppress
from dataclasses import dataclass

assert sys.platform != "win32"
from seed.tree.attributes import drop_inherited  # noqa: E402

_NAME = re.compile(rb"\.offseed-restoring-[0-9a-f]{16}\Z")
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class _Stage:
    handle: int
    parent: int
    name: bytes


class Staging:
    """Gives out places, each a folder's handle and a name that is free in it.

    The folder lies in `root`; on what is mounted below, in the first folder there that is written into. A second
    mount of one file system counts as another: nothing can be renamed from one into the other.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._mount = _mount(root)
        self._mounts: dict[int, tuple[int, int]] = {}
        self._stages: dict[tuple[int, int], _Stage] = {}
        self._lent: dict[tuple[int, int], _Stage] = {}
        self._count = 0
        self._mark = b""

    def place(self, folder: int) -> tuple[int, bytes]:
        """A place from which a file can be renamed into `folder`."""
        mount = self._mounts.get(folder)
        if mount is None:
            mount = self._mounts[folder] = _mount(folder)
        stage = self._stages.get(mount) or self._lent.get(mount)
        if stage is None:
            if mount == self._mount:
                _sweep(self._root)
            stage = self._stages[mount] = _begin(self._root if mount == self._mount else folder)
        self._count += 1
        return stage.handle, b"%b%d" % (self._mark, self._count)

    def branch(self, number: int) -> "Staging":
        """For a fork: the same folders, under names of its own; what it adds to them it removes itself."""
        twin = Staging(self._root)
        twin._mounts, twin._lent = dict(self._mounts), dict(self._stages)
        twin._mark, twin._count = b"%d-" % number, self._count
        return twin

    def forget(self, folder: int) -> None:
        """The handle is closed, and may come to mean another folder."""
        self._mounts.pop(folder, None)

    def close(self) -> None:
        """Remove the folders and what is left in them."""
        for stage in self._stages.values():
            _empty(stage.handle)
            os.close(stage.handle)
            os.rmdir(stage.name, dir_fd=stage.parent)
            os.close(stage.parent)
        self._stages.clear()


def _mount(folder: int) -> tuple[int, int]:
    """The device of a folder and, where the system tells, the number of the mount."""
    device = os.fstat(folder).st_dev
    with suppress(OSError):
        with open(f"/proc/self/fdinfo/{folder}", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("mnt_id:"):
                    return device, int(line.split()[1])
    return device, 0


def _begin(folder: int) -> _Stage:
    name = b".offseed-restoring-" + secrets.token_hex(8).encode()
    os.mkdir(name, 0o700, dir_fd=folder)
    handle = os.open(name, _FOLDER_FLAGS, dir_fd=folder)
    drop_inherited(handle)  # what is made in it must not inherit in its turn
    return _Stage(handle, os.dup(folder), name)


def _sweep(folder: int) -> None:
    """Remove what killed restores left. A folder of such a name that the backup itself holds is empty as yet: nothing
    is written before this, so what is empty is left alone."""
    for name in filter(_NAME.match, map(os.fsencode, os.listdir(folder))):
        try:
            handle = os.open(name, _FOLDER_FLAGS, dir_fd=folder)
        except OSError:
            continue
        try:
            if os.listdir(handle):
                _empty(handle)
                os.rmdir(name, dir_fd=folder)
        except OSError:
            continue  # not one of ours, and no harm
        finally:
            os.close(handle)


def _empty(handle: int) -> None:
    for name in os.listdir(handle):
        os.unlink(name, dir_fd=handle)
