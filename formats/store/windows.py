"""The files of a local store by path, for Windows, which has no directory handles and no flush of folders.

A rename there never replaces a file. The bytes are flushed before it, but Windows decides when the new name
itself survives a power cut. So eject a disk before you unplug it. Every failure is an OSError; `failures`
gives its meaning for the user.
"""

import errno
import io
import os
import shutil
import stat
import sys
from collections.abc import Iterator


class PathRoot:
    """A `root.Root` below a path."""

    def __init__(self, path: str, *, create: bool) -> None:
        self._path = _extended(os.path.abspath(path))
        if create:
            os.makedirs(self._path, exist_ok=True)
        if not stat.S_ISDIR(os.stat(self._path).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "not a folder")

    def read(self, name: str) -> io.FileIO:
        if not stat.S_ISREG(self.status(name).st_mode):
            raise OSError(errno.ELOOP, "not a regular file")
        return io.FileIO(self._at(name), "r")

    def pass_cache(self, file: io.FileIO) -> bool:  # noqa: ARG002
        """Return False: only a handle that was opened for that purpose can bypass the cache."""
        return False

    def create(self, name: str) -> io.FileIO:
        path = self._at(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return io.FileIO(path, "x")

    def status(self, name: str) -> os.stat_result:
        return os.lstat(self._at(name))

    def rename_new(self, temporary: str, name: str, *, addressed: bool) -> bool:  # noqa: ARG002
        old, new = self._at(temporary), self._at(name)
        os.makedirs(os.path.dirname(new), exist_ok=True)
        try:
            os.rename(old, new)
        except FileExistsError:
            status = self.status(name)
            if not stat.S_ISREG(status.st_mode):
                raise
            if status.st_size:
                return False
            # An empty file is the claim of a writer that died under another system: this code makes none.
            os.replace(old, new)
        return True

    def move(self, name: str, to: str) -> None:
        new = self._at(to)
        os.makedirs(os.path.dirname(new), exist_ok=True)
        os.rename(self._at(name), new)

    def remove(self, name: str) -> None:
        try:
            os.unlink(self._at(name))
        except FileNotFoundError:
            pass

    def flush(self, file: io.FileIO) -> None:
        # Windows flushes only files that are open for writing. The writer of a file that is only read has flushed it.
        if file.writable():
            os.fsync(file.fileno())

    def flush_folder(self, path: str) -> None:
        """Do nothing: Windows has no such call."""

    def entries(self, path: str) -> Iterator[os.DirEntry[str]]:
        with os.scandir(self._at(path)) as found:
            yield from found

    def space(self) -> tuple[int, int]:
        usage = shutil.disk_usage(self._path)
        return usage.free, usage.total

    def device(self) -> int:
        return os.stat(self._path).st_dev

    def close(self) -> None:
        """Do nothing: no handle is held."""

    def _at(self, name: str) -> str:
        return os.path.join(self._path, *name.split("/")) if name else self._path


def _extended(path: str) -> str:
    r"""Return `path` in the form that may pass 260 characters: `\\?\C:\…`, `\\?\UNC\server\…`."""
    if sys.platform != "win32" or path.startswith("\\\\?\\"):
        return path
    return f"\\\\?\\UNC\\{path[2:]}" if path.startswith("\\\\") else f"\\\\?\\{path}"
