"""The folders for files in the making: a folder of its own on each mount, removed at the end.

The name of a folder is random, so that no name in a catalog can be that of a file in the making. The next
restore that writes there removes the leftovers of a killed restore. The folder of a running restore is
locked.
"""

import errno
import fcntl
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace

assert sys.platform != "win32"
from formats.store.posix import flush_entries  # noqa: E402
from seed.restore.tree.attributes import drop_inherited  # noqa: E402
from seed.restore.tree.system_calls import UNSUPPORTED, sync_file_system  # noqa: E402

_NAME = re.compile(rb"\.offseed-restoring-[0-9a-f]{16}\Z")
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LOCKS = UNSUPPORTED | {errno.ENOLCK, errno.EBADF}


@dataclass(frozen=True)
class _Stage:
    handle: int
    parent: int
    name: bytes


class Staging:
    """A source of places, each a folder's handle and a name that is free in it.

    The folder lies in `root`. On a mount below, it lies in the first folder there that is written into. A
    second mount of one file system counts as another: nothing can be renamed from one into the other.
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
        """Return a place from which a file can be renamed into `folder`."""
        mount = self._mounts.get(folder)
        if mount is None:
            mount = self._mounts[folder] = _mount(folder)
        stage = self._stages.get(mount) or self._lent.get(mount)
        if stage is None:
            stage = self._stages[mount] = _begin(self._root if mount == self._mount else folder)
        self._count += 1
        return stage.handle, b"%b%d" % (self._mark, self._count)

    def branch(self, number: int) -> "Staging":
        """Return a staging for a fork: the same folders, with file names of its own.

        The fork itself removes the folders that it adds.
        """
        twin = Staging(self._root)
        twin._mounts = dict(self._mounts)
        # The fork has handles of its own: the system reports a failed write once to each open handle.
        twin._lent = {
            mount: replace(stage, handle=_open(stage.handle, b".")) for mount, stage in self._stages.items()
        }
        twin._mark, twin._count = b"%d-" % number, self._count
        return twin

    def sweep(self) -> None:
        """Remove the leftovers of killed restores in the root, before anything is judged or written there."""
        with suppress(OSError):
            for name in filter(_NAME.match, map(os.fsencode, os.listdir(self._root))):
                with suppress(OSError):  # not a folder of a restore, or in use: no harm
                    _remove(self._root, name)

    def forget(self, folder: int) -> None:
        """Forget a handle that will be closed: its number may come to mean another folder."""
        self._mounts.pop(folder, None)

    def close(self) -> None:
        """Remove the folders and all files left in them.

        The next restore removes a folder that a broken disk does not let go.
        """
        for stage in self._stages.values():
            with suppress(OSError):
                _empty(stage.handle)
                os.rmdir(stage.name, dir_fd=stage.parent)
            os.close(stage.handle)
            os.close(stage.parent)
        self._stages.clear()


def _mount(folder: int) -> tuple[int, int]:
    """Return the device of a folder and the number of its mount; 0 if the system gives no number."""
    device = os.fstat(folder).st_dev
    with suppress(OSError):
        with open(f"/proc/self/fdinfo/{folder}", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("mnt_id:"):
                    return device, int(line.split()[1])
    return device, 0


def make_durable(folder: int, names: Iterable[bytes] = ()) -> None:
    """Wait until the file system of an open folder is on its medium.

    On a system without a call for this, flush the files of these `names` in the folder. Raises OSError.
    """
    if not sync_file_system(folder):
        for name in names:
            if stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
                try:
                    flush_entries(handle)
                finally:
                    os.close(handle)
    flush_entries(folder)  # behind FUSE a program keeps a cache of its own, which only this call reaches


def _open(folder: int, name: bytes) -> int:
    return os.open(name, _FOLDER_FLAGS, dir_fd=folder)


def _begin(folder: int) -> _Stage:
    name = b".offseed-restoring-" + secrets.token_hex(8).encode()
    os.mkdir(name, 0o700, dir_fd=folder)
    handle = _open(folder, name)
    _lock(handle)
    drop_inherited(handle)  # entries made in it must not inherit in their turn
    return _Stage(handle, os.dup(folder), name)


def _remove(folder: int, name: bytes) -> None:
    handle = _open(folder, name)
    try:
        _lock(handle)
        _empty(handle)
        os.rmdir(name, dir_fd=folder)
    finally:
        os.close(handle)


def _lock(handle: int) -> None:
    """Mark a folder as in use while the handle is open. Raises BlockingIOError if it is marked already."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def _empty(handle: int) -> None:
    for name in os.listdir(handle):
        os.unlink(name, dir_fd=handle)
