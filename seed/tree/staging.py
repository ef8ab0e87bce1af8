"""Where files lie while they are written: a folder of its own on each file system, removed at the end.

Its name is random, so that no name in a catalog can be that of a file in the making. What a killed restore left
behind is removed by the next one that writes there.
"""

import os
import re
import secrets
import sys
from dataclasses import dataclass

assert sys.platform != "win32"

_NAME = re.compile(rb"\.offseed-restoring-[0-9a-f]{16}\Z")
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class _Stage:
    handle: int
    parent: int
    name: bytes


class Staging:
    """Gives out places, each a folder's handle and a name that is free in it."""

    def __init__(self) -> None:
        self._stages: dict[int, _Stage] = {}
        self._count = 0

    def place(self, folder: int) -> tuple[int, bytes]:
        """A place on the file system of `folder`, from which a file can be renamed into it."""
        device = os.fstat(folder).st_dev
        stage = self._stages.get(device)
        if stage is None:
            stage = self._stages[device] = _begin(folder)
        self._count += 1
        return stage.handle, b"%d" % self._count

    def close(self) -> None:
        """Remove the folders and what is left in them."""
        for stage in self._stages.values():
            _empty(stage.handle)
            os.close(stage.handle)
            os.rmdir(stage.name, dir_fd=stage.parent)
            os.close(stage.parent)
        self._stages.clear()


def _begin(folder: int) -> _Stage:
    for name in filter(_NAME.match, map(os.fsencode, os.listdir(folder))):
        _remove(folder, name)
    name = b".offseed-restoring-" + secrets.token_hex(8).encode()
    os.mkdir(name, 0o700, dir_fd=folder)
    return _Stage(os.open(name, _FOLDER_FLAGS, dir_fd=folder), os.dup(folder), name)


def _remove(folder: int, name: bytes) -> None:
    """Remove what a killed restore left; anything else of such a name stays, and does no harm."""
    try:
        handle = os.open(name, _FOLDER_FLAGS, dir_fd=folder)
    except OSError:
        return
    try:
        _empty(handle)
        os.rmdir(name, dir_fd=folder)
    except OSError:
        pass
    finally:
        os.close(handle)


def _empty(handle: int) -> None:
    for name in os.listdir(handle):
        os.unlink(name, dir_fd=handle)
