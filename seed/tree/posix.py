"""Writes a tree below one target on POSIX, by directory handles: never outside it, never through a symbolic link.

A file appears under its name whole, with all its attributes, or not at all: it is written beside under a name that
follows from its own, so that a run after a crash takes it up again.
"""

import hashlib
import os
import stat
import sys
from collections import OrderedDict
from collections.abc import Callable

from formats.errors import IntegrityError, MediaError
from formats.keyed.catalog import FILE, FOLDER, SYMLINK, Entry
from formats.monitor import Finding, Monitor
from seed.kinds import FORMATS
from seed.xattrs import unpack

assert sys.platform != "win32"

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
_HANDLES_MAX = 64


class TreeWriter:
    """A target folder and the ways to put entries into it. `path` is always relative, checked by the catalog."""

    def __init__(self, target: str, monitor: Monitor, *, overwrite: bool) -> None:
        try:
            os.makedirs(target, exist_ok=True)
            self._root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            code = "read-only" if error.errno == 30 else "path-not-found"
            raise MediaError(
                code, f"cannot write here ({error.strerror})", subject=target, hint="choose another --target"
            ) from error
        self.overwrite = overwrite
        self.root = os.geteuid() == 0
        self._monitor = monitor
        self._folders: OrderedDict[bytes, int] = OrderedDict()
        self._told: set[str] = set()

    def close(self) -> None:
        os.close(self._root)

    def state(self, entry: Entry, path: bytes) -> str:
        """`absent`, `same` (equal type, size and mtime: counts as done) or `other`."""
        try:
            folder, name = self._parent(path, make=False)
            now = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return "absent"
        if stat.S_IFMT(now.st_mode) != FORMATS[entry.type]:
            return "other"
        if entry.type == FOLDER:
            return "same"
        if entry.type == SYMLINK:
            return "same" if os.fsencode(os.readlink(name, dir_fd=folder)) == entry.target else "other"
        if entry.type != FILE:
            return "same" if now.st_rdev == entry.rdev else "other"
        return "same" if (now.st_size, now.st_mtime_ns) == (entry.size, entry.modified) else "other"

    def make_folder(self, path: bytes) -> None:
        """A folder that its entry's attributes are given to later, by `finish_folder`."""
        folder, name = self._parent(path)
        try:
            os.mkdir(name, 0o700, dir_fd=folder)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                self._clear(folder, name)
                os.mkdir(name, 0o700, dir_fd=folder)

    def finish_folder(self, entry: Entry, path: bytes) -> None:
        handle = self._open_folder(path) if path else os.dup(self._root)
        try:
            self._attributes(handle, None, entry, path)
        finally:
            os.close(handle)

    def open_file(self, path: bytes) -> int:
        """A handle on the file under its passing name; `finish_file` gives it its own."""
        folder, name = self._parent(path)
        return os.open(_passing(name), _NEW_FLAGS, 0o600, dir_fd=folder)

    def write_at(self, handle: int, data: memoryview, offset: int) -> None:
        while data:
            written = os.pwrite(handle, data, offset)
            data, offset = data[written:], offset + written

    def set_size(self, handle: int, size: int) -> None:
        """What is not written below `size` is a hole."""
        os.truncate(handle, size)

    def finish_file(self, entry: Entry, path: bytes, handle: int) -> None:
        """Attributes, then the name. Closes the handle."""
        folder, name = self._parent(path)
        try:
            self._attributes(handle, None, entry, path)
        finally:
            os.close(handle)
        self._publish(folder, name)

    def abandon_file(self, path: bytes, handle: int) -> None:
        """A file whose content could not be had is not left behind."""
        folder, name = self._parent(path)
        os.close(handle)
        os.unlink(_passing(name), dir_fd=folder)

    def make_link(self, existing: bytes, path: bytes) -> None:
        """A hard link on a file restored before."""
        source, source_name = self._parent(existing)
        source = os.dup(source)  # the cache may close it while the second parent is found
        try:
            folder, name = self._parent(path)
            passing = _passing(name)
            self._without(lambda: os.unlink(passing, dir_fd=folder))
            os.link(source_name, passing, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False)
            self._publish(folder, name)
        finally:
            os.close(source)

    def is_link(self, existing: bytes, path: bytes) -> bool:
        """Whether both paths are the same file already."""
        try:
            status = []
            for one in (existing, path):
                folder, name = self._parent(one, make=False)
                status.append(os.stat(name, dir_fd=folder, follow_symlinks=False))
        except FileNotFoundError:
            return False
        return (status[0].st_dev, status[0].st_ino) == (status[1].st_dev, status[1].st_ino)

    def make_other(self, entry: Entry, path: bytes) -> bool:
        """A symbolic link, FIFO, socket or device. False where only root may make it."""
        folder, name = self._parent(path)
        passing = _passing(name)
        self._without(lambda: os.unlink(passing, dir_fd=folder))
        try:
            if entry.type == SYMLINK:
                os.symlink(entry.target, passing, dir_fd=folder)
            else:
                os.mknod(passing, FORMATS[entry.type] | 0o600, entry.rdev, dir_fd=folder)
        except PermissionError:
            if entry.type == SYMLINK:
                raise
            self._tell("device", "devices were left out: only root can make them")
            return False
        self._attributes(folder, passing, entry, path)
        self._publish(folder, name)
        return True

    def _publish(self, folder: int, name: bytes) -> None:
        """Give the file its name. What holds it now was judged before: it may be overwritten."""
        try:
            os.rename(_passing(name), name, src_dir_fd=folder, dst_dir_fd=folder)
        except (IsADirectoryError, NotADirectoryError):
            self._clear(folder, name)
            os.rename(_passing(name), name, src_dir_fd=folder, dst_dir_fd=folder)
        self._without(
            lambda: os.unlink(_passing(name), dir_fd=folder)
        )  # a link to the same file stays behind

    def _clear(self, folder: int, name: bytes) -> None:
        """Remove what is in the way, if that was asked for; a folder only where it is empty."""
        if not self.overwrite:
            raise FileExistsError(17, "something else has this name")
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            os.rmdir(name, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)

    def _attributes(self, handle: int, name: bytes | None, entry: Entry, path: bytes) -> None:
        """Owner, mode, extended attributes, times, in the order in which none undoes another.

        On `handle` itself, or on `name` in the folder `handle` for what cannot be opened.
        """
        folder, itself = (None, True) if name is None else (handle, False)
        target: int | bytes = handle if name is None else name
        try:
            os.chown(target, entry.uid, entry.gid, dir_fd=folder, follow_symlinks=itself)
        except PermissionError:
            self._tell("owner", "owners were not restored: only root can give files away")
        if entry.type != SYMLINK:
            os.chmod(target, entry.mode, dir_fd=folder)
        if entry.xattrs:
            self._set_xattrs(handle, name, entry, path)
        os.utime(target, ns=(entry.modified, entry.modified), dir_fd=folder, follow_symlinks=itself)

    def _set_xattrs(self, handle: int, name: bytes | None, entry: Entry, path: bytes) -> None:
        if sys.platform != "linux":
            return
        target: int | str = handle if name is None else f"/proc/self/fd/{handle}/{os.fsdecode(name)}"
        for key, value in unpack(entry.xattrs):
            try:
                if name is None:
                    os.setxattr(target, key, value)
                else:
                    os.setxattr(target, key, value, follow_symlinks=False)
            except OSError as error:
                detail = f"{os.fsdecode(key)}: {error.strerror}"
                if not self.root and not key.startswith(b"user."):
                    self._tell("xattr", "some extended attributes were not restored: only root can set them")
                else:
                    self._monitor.finding(
                        Finding(code="target-xattr", subject=os.fsdecode(path), detail=detail)
                    )

    def _parent(self, path: bytes, *, make: bool = True) -> tuple[int, bytes]:
        """A handle on the folder above `path`, valid until the next call, and the last name."""
        above, _, name = path.rpartition(b"/")
        return self._folder(above, make), name

    def _folder(self, path: bytes, make: bool) -> int:
        if not path:
            return self._root
        cache = self._folders
        if (handle := cache.get(path)) is not None:
            cache.move_to_end(path)
            return handle
        above, _, name = path.rpartition(b"/")
        parent = self._folder(above, make)
        try:
            handle = os.open(name, _FOLDER_FLAGS, dir_fd=parent)
        except FileNotFoundError:
            if not make:
                raise
            os.mkdir(name, 0o700, dir_fd=parent)
            handle = os.open(name, _FOLDER_FLAGS, dir_fd=parent)
        except OSError as error:
            if error.errno in (20, 40):  # ENOTDIR, ELOOP: a link or a file stands where a folder should
                raise IntegrityError(
                    "restore-escape",
                    "something that is no folder stands in the way",
                    subject=os.fsdecode(path),
                    hint="move it away, or restore into an empty folder",
                ) from error
            raise
        cache[path] = handle
        while len(cache) > _HANDLES_MAX:
            os.close(cache.popitem(last=False)[1])
        return handle

    def _open_folder(self, path: bytes) -> int:
        folder, name = self._parent(path)
        return os.open(name, _FOLDER_FLAGS, dir_fd=folder)

    def _tell(self, key: str, text: str) -> None:
        if key not in self._told:
            self._told.add(key)
            self._monitor.notice(text)

    @staticmethod
    def _without(action: Callable[[], None]) -> None:
        try:
            action()
        except FileNotFoundError:
            pass


def _passing(name: bytes) -> bytes:
    """The name under which a file is written: short, whatever its own length, and the same in the next run."""
    return b".offseed-" + hashlib.blake2b(name, digest_size=8).hexdigest().encode() + b".part"
