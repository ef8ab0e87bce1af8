"""The writer of a tree below one target on POSIX: never outside it, never through a symbolic link.

It works by directory handles. A file appears under its name whole, with all its attributes, or not at all.
The writer writes it in a staging folder, makes it durable there with others, and renames it. seed/restore/file_writer.py
gives the order of these writes.
"""

import errno
import os
import stat
import sys
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from copy import copy
from typing import Self

from formats.errors import IntegrityError, MediaError
from formats.keyed.catalog import BLOCK_DEVICE, CHARACTER_DEVICE, FILE, FOLDER, SYMLINK, CatalogEntry
from formats.monitor import Finding, Monitor
from seed.restore.outcome import IN_THE_WAY
from seed.restore.tree.name_state import ABSENT, Compare, Mark, NameState, State, is_time, mark_of
from seed.restore.tree.new_file import NewFile
from seed.source.file_types import FORMATS
from seed.source.handles import share

assert sys.platform != "win32"
from seed.restore.tree.attributes import drop_inherited, set_xattrs  # noqa: E402
from seed.restore.tree.folders import OpenFolders  # noqa: E402
from seed.restore.tree.naming import give_name, replace  # noqa: E402
from seed.restore.tree.staging import Staging, make_durable  # noqa: E402
from seed.restore.tree.system_calls import UNSUPPORTED  # noqa: E402

_NEW_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
NO_OWNER = (1 << 32) - 1  # the call that gives a file to this id leaves its owner as it is
_FILES_MAX = 256


class TreeWriter:
    """A target folder and the ways to put entries into it.

    `path` is always relative, and the catalog has checked it.
    """

    def __init__(
        self, target: str, monitor: Monitor, *, overwrite: bool, compare: Compare | None = None
    ) -> None:
        """Open the target, and make it if need be. Raises MediaError.

        Without `compare`, the writer compares by `content` if `overwrite` is set, else by `times`.
        """
        self.existed = os.path.isdir(target)
        try:
            os.makedirs(target, exist_ok=True)
            root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            codes = {errno.EROFS: "read-only", errno.EACCES: "denied", errno.EPERM: "denied"}
            code = codes.get(error.errno or 0, "path-not-found")
            raise MediaError(
                code, f"cannot write here ({error.strerror})", subject=target, hint="choose another --target"
            ) from error
        self.overwrite = overwrite
        self.compare: Compare = compare or ("content" if overwrite else "times")
        self._files_max = share(_FILES_MAX)
        self.root = os.geteuid() == 0
        self._monitor = monitor
        self._staging = Staging(root)
        self._folders = OpenFolders(root, self._staging.forget)
        self._open: OrderedDict[NewFile, None] = OrderedDict()
        self._told: set[str] = set()
        self._roomy: bytes | None = None
        self._steady: set[int] = set()  # staging folders from which a file has kept its time

    def close(self) -> None:
        for new in list(self._open):
            self._let_go(new)
        self._staging.close()
        self._folders.restore_modes()
        self._folders.close()

    def begin(self) -> None:
        """Allow changes of the target from now on.

        The leftovers of killed restores are removed before anything is judged.
        """
        self._folders.allow_changes()
        self._staging.sweep()

    def make_room(self, path: bytes) -> None:
        """Let this user write into the folder above `path`, if the user owns it."""
        folder = path.rpartition(b"/")[0]
        if folder != self._roomy:  # mostly it is the folder of the entry before
            self._roomy = folder
            with suppress(OSError, IntegrityError):  # the later write reports the obstacle
                self._folders.make_room(path)

    def prepare(self) -> None:
        """Make the staging folder that forks share: see `branch`."""
        self._staging.place(self._folders.root)

    def branch(self, number: int, monitor: Monitor) -> Self:
        """Return this writer for a fork; only `settle` ends it.

        `number` differs from the numbers of the other forks that run.
        """
        twin = copy(self)
        twin._monitor, twin._staging = monitor, self._staging.branch(number)
        twin._open, twin._told = OrderedDict(), set()
        return twin

    def judge(self, entry: CatalogEntry, path: bytes) -> NameState:
        """Compare the entry that has the name now with `entry`."""
        try:
            folder, name = self._folders.above(path, make=False)
            now = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return ABSENT
        spelt = self._folders.spells(folder, name)
        return NameState(self._state(entry, now, folder, name) if spelt else "twin", mark_of(now))

    def rival(self, path: bytes) -> str:
        """Return a text about the entry that has the name, or that the file system takes for it."""
        return self._folders.rival(*self._folders.above(path, make=False))

    def _state(self, entry: CatalogEntry, now: os.stat_result, folder: int, name: bytes) -> State:
        if stat.S_IFMT(now.st_mode) != FORMATS[entry.type]:
            return "other"
        if entry.type == FILE:
            return self._file_state(entry, now)
        if entry.type == SYMLINK:
            same = os.fsencode(os.readlink(name, dir_fd=folder)) == entry.target
        else:
            same = entry.type == FOLDER or now.st_rdev == entry.rdev
        return "same" if same else "other"

    def _file_state(self, entry: CatalogEntry, now: os.stat_result) -> State:
        """Return how a file compares with its entry by size and time.

        A file with another time counts as another with `overwrite`; without it, its content decides.
        `compare` decides about a file with the same time.
        """
        if now.st_size != entry.size:
            return "other"
        if not is_time(now, entry.modified):
            return "other" if self.overwrite else "doubt"
        return "doubt" if self.compare == "content" else "same"

    def open_there(self, path: bytes) -> int:
        """Return a read handle on the file that has the name; open nothing but files. Raises OSError."""
        folder, name = self._folders.above(path, make=False)
        if stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            handle = os.open(name, _READ_FLAGS, dir_fd=folder)
            if stat.S_ISREG(os.fstat(handle).st_mode):
                return handle
            os.close(handle)
        raise FileNotFoundError(errno.ENOENT, "no file is there")

    def make_folder(self, path: bytes) -> bool:
        """Make a folder, and return False if it was there; `finish_folder` gives it its attributes later.

        Raises FileExistsError, OSError.
        """
        self.make_room(path)
        folder, name = self._folders.above(path)
        try:
            os.mkdir(name, 0o700, dir_fd=folder)
        except FileExistsError:
            if not self._folders.spells(folder, name):
                raise FileExistsError(errno.EEXIST, self._folders.rival(folder, name)) from None
            if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                return False
            self._clear(folder, name)
            os.mkdir(name, 0o700, dir_fd=folder)
        return True

    def finish_folder(self, entry: CatalogEntry, path: bytes) -> None:
        """Give a folder its attributes; the target itself keeps its own if it was there before."""
        if not path and self.existed:
            return
        handle = self._folders.open(path)
        try:
            self._attributes(handle, None, entry, path)
            self._folders.finish(path)
        finally:
            os.close(handle)

    def open_file(self, path: bytes) -> NewFile:
        """Return a file in the making; `publish` gives it its name."""
        parent, _ = self._folders.above(path)
        folder, name = self._staging.place(parent)
        new = NewFile(folder, name, os.open(name, _NEW_FLAGS, 0o600, dir_fd=folder))
        self._hold(new)
        return new

    def write_at(self, new: NewFile, data: memoryview, offset: int) -> None:
        if new.handle < 0:
            new.handle = os.open(new.name, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=new.folder)
        self._hold(new)
        while data:
            written = os.pwrite(new.handle, data, offset)
            data, offset = data[written:], offset + written

    def set_size(self, new: NewFile, size: int) -> None:
        """Set the size of the file; the unwritten parts below `size` are holes."""
        os.truncate(new.handle, size)

    def finish_file(self, entry: CatalogEntry, path: bytes, new: NewFile) -> None:
        """Give the file its attributes."""
        self.write_at(new, memoryview(b""), 0)
        try:
            self._attributes(new.handle, None, entry, path)
            new.modified = entry.modified
        finally:
            self._let_go(new)

    def flush(self, staged: Iterable[NewFile]) -> None:
        """Wait until all these files are on their media, with their attributes. Raises OSError."""
        by_folder: dict[int, list[bytes]] = {}
        for new in staged:
            by_folder.setdefault(new.folder, []).append(new.name)
        for folder, names in by_folder.items():
            make_durable(folder, names)

    def publish(self, new: NewFile, path: bytes, mark: Mark | None) -> None:
        """Give a durable file its name; it may replace the entry of that name if the entry has this mark.

        Raises FileExistsError, OSError.
        """
        folder, name = self._folders.above(path)
        try:
            if mark is None:
                give_name(new.folder, new.name, folder, name)
            else:
                replace(new.folder, new.name, folder, name, mark)
        except FileExistsError as error:
            raise FileExistsError(errno.EEXIST, self._folders.rival(folder, name)) from error
        if new.modified is not None and new.folder not in self._steady:
            self._mend_time(new.folder, new.modified, folder, name)

    def _mend_time(self, staged: int, modified: int, folder: int, name: bytes) -> None:
        """Set the time again if the new name changed it, as with FAT behind FUSE.

        Once a file has kept its time, all files from the same staging folder do.
        """
        now = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if is_time(now, modified):
            self._steady.add(staged)
        else:
            with suppress(OSError):  # a time that cannot be set was reported already
                os.utime(name, ns=(modified, modified), dir_fd=folder, follow_symlinks=False)

    def abandon_file(self, new: NewFile) -> None:
        """Remove a file that is not published, such as one without its content.

        If this fails, the next restore removes the file.
        """
        self._let_go(new)
        with suppress(OSError):
            os.unlink(new.name, dir_fd=new.folder)

    def make_link(self, existing: bytes, path: bytes, mark: Mark | None) -> None:
        """Make a hard link to a file restored before. Raises the errors of `publish`."""
        source, source_name = self._folders.above(existing)
        new = NewFile(*self._staging.place(source), -1)
        os.link(source_name, new.name, src_dir_fd=source, dst_dir_fd=new.folder, follow_symlinks=False)
        try:
            self.publish(new, path, mark)
        finally:
            self.abandon_file(new)  # renaming onto itself does nothing

    def is_link(self, existing: bytes, path: bytes) -> bool:
        """Return whether both paths are the same file already."""
        try:
            status = []
            for one in (existing, path):
                folder, name = self._folders.above(one, make=False)
                status.append(os.stat(name, dir_fd=folder, follow_symlinks=False))
        except FileNotFoundError:
            return False
        return (status[0].st_dev, status[0].st_ino) == (status[1].st_dev, status[1].st_ino)

    def make_other(self, entry: CatalogEntry, path: bytes) -> NewFile | None:
        """Make a symbolic link, FIFO, socket or device, without its name yet.

        Return None for a device if only root may make it.
        """
        parent, _ = self._folders.above(path)
        folder, name = self._staging.place(parent)
        try:
            if entry.type == SYMLINK:
                os.symlink(entry.target, name, dir_fd=folder)
            else:
                os.mknod(name, FORMATS[entry.type] | 0o600, entry.rdev, dir_fd=folder)
        except PermissionError:
            if entry.type not in (CHARACTER_DEVICE, BLOCK_DEVICE):
                raise
            self.note("devices were left out: only root can make them")
            return None
        self._attributes(folder, name, entry, path)
        return NewFile(folder, name, -1, entry.modified)

    def note(self, text: str) -> None:
        """Give a notice that holds for many entries, once."""
        if text not in self._told:
            self._told.add(text)
            self._monitor.notice(text)

    def settle(self) -> None:
        """Close the staging: all files are written, and from here on only attributes of folders change."""
        self._staging.close()

    def sync(self) -> None:
        """Wait until all names and folders are on their media too. Raises OSError."""
        self._folders.restore_modes()
        for folder in self._folders.systems():
            make_durable(folder)

    def _hold(self, new: NewFile) -> None:
        """Keep `new` open, and close the file with the oldest last write if too many are open."""
        self._open[new] = None
        self._open.move_to_end(new)
        if len(self._open) > self._files_max:
            self._let_go(next(iter(self._open)))

    def _let_go(self, new: NewFile) -> None:
        if self._open.pop(new, new) is None:
            os.close(new.handle)
            new.handle = -1

    def _clear(self, folder: int, name: bytes) -> None:
        """Remove the entry that is in the way, if `overwrite` allows it; a folder only if it is empty."""
        if not self.overwrite:
            raise FileExistsError(errno.EEXIST, IN_THE_WAY)
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            os.rmdir(name, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)

    def _attributes(self, handle: int, name: bytes | None, entry: CatalogEntry, path: bytes) -> None:
        """Set owner, extended attributes, mode and times, in an order that lets none undo or forbid another.

        Set them on `handle` itself, or on `name` in the folder `handle` for an entry that cannot be opened.
        Report each attribute that the target does not take; the rest is as good without it.
        """
        folder, itself = (None, True) if name is None else (handle, False)
        target: int | bytes = handle if name is None else name
        mode = entry.mode
        try:
            if NO_OWNER in (entry.uid, entry.gid):
                raise PermissionError(errno.EPERM, "no file has this owner")
            os.chown(target, entry.uid, entry.gid, dir_fd=folder, follow_symlinks=itself)
        except OSError:
            mode &= ~0o6000  # the program of another user must not run with this user's rights
            self.note("owners were not restored: only root can give files away")
        if mode & 0o6000 and not self.root and entry.type != FOLDER:
            mode &= ~0o6000  # else the catalog's author lets every user run it as this user
            self.note("programs were restored without set-uid and set-gid: only root restores these")
        if sys.platform == "linux":
            if entry.type == FOLDER:
                drop_inherited(handle, entry.xattrs)
            if entry.xattrs:
                self._set_xattrs(handle, name, entry, path)
        try:
            if entry.type != SYMLINK:
                os.chmod(target, mode, dir_fd=folder)
        except OSError as error:
            if error.errno in UNSUPPORTED:
                self.note("modes were not restored: this file system has none")
            else:
                self._lack(path, "target-failed", f"restored, but without its mode: {error.strerror}")
        try:
            os.utime(target, ns=(entry.modified, entry.modified), dir_fd=folder, follow_symlinks=itself)
            kept = os.fstat(handle) if name is None else os.stat(name, dir_fd=handle, follow_symlinks=False)
        except OSError as error:
            self._lack(path, "target-failed", f"restored, but without its time: {error.strerror}")
            return
        if kept.st_mtime_ns == entry.modified:
            return
        if not is_time(kept, entry.modified):
            self._lack(path, "target-failed", "restored, but this file system cannot keep its time")
        else:
            self.note("times were restored as finely as this file system keeps them")

    def _set_xattrs(self, handle: int, name: bytes | None, entry: CatalogEntry, path: bytes) -> None:
        target = handle if name is None else f"/proc/self/fd/{handle}/{os.fsdecode(name)}"
        for key, error in set_xattrs(target, entry.xattrs):
            if not self.root and not key.startswith(b"user."):
                self.note("some extended attributes were not restored: only root can set them")
            else:
                self._lack(path, "target-xattr", f"{os.fsdecode(key)}: {error.strerror}")

    def _lack(self, path: bytes, code: str, detail: str) -> None:
        self._monitor.finding(Finding(code=code, subject=os.fsdecode(path), detail=detail))
