"""The files of a local store on POSIX: all below one directory handle, so that a path is resolved only once.

Below the root, this code follows no symbolic link and opens only regular files. It never gives one name to
two files. Every failure is an OSError; `failures` gives its meaning for the user.
"""

import ctypes
import errno
import fcntl
import io
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache

assert sys.platform != "win32"

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = _WRITE | os.O_CREAT | os.O_EXCL

_RENAME_NOREPLACE = 1
_CLAIM_ATTEMPTS = 100
LOCK_SECONDS = 60.0
_LOCK_POLL = 0.01
_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
# The answers of file systems that cannot, or need not, flush a folder. The handle itself is known to be good.
_NO_FOLDER_SYNC = _UNSUPPORTED | {errno.EBADF}
_NO_LOCKS = _UNSUPPORTED | {errno.ENOLCK, errno.EBADF}

# File systems in which O_DIRECT reads the device. FUSE and tmpfs take the flag too, but then answer from a cache: the
# program behind FUSE reads its device like any other file.
_DIRECT = {"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "vfat", "msdos", "exfat", "ntfs3"}

_Rename = Callable[[int, bytes, int, bytes, int], int]


class PosixRoot:
    """A `root.Root` below an open directory."""

    def __init__(self, path: str, *, create: bool) -> None:
        if create:
            _make_folders(os.path.abspath(path))
        self._handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._settled: set[str] = set()
        self._kind: str | None = None

    def read(self, name: str) -> io.FileIO:
        with self._folder_of(name) as (folder, leaf):
            # Look first: opening a device can have effects, and a socket gives a misleading error.
            _expect_file(os.stat(leaf, dir_fd=folder, follow_symlinks=False))
            file = io.FileIO(os.open(leaf, _READ, dir_fd=folder), "r")
        try:
            _expect_file(os.fstat(file.fileno()))
        except OSError:
            file.close()
            raise
        return file

    def pass_cache(self, file: io.FileIO) -> bool:
        handle = file.fileno()
        if sys.platform == "darwin":
            with suppress(OSError):  # bytes that the cache already holds are still read from there
                fcntl.fcntl(handle, fcntl.F_NOCACHE, 1)
        if sys.platform != "linux":
            return False
        # Drop the cache first: if a file system ignores O_DIRECT after all, it finds nothing in the cache either.
        with suppress(OSError):
            os.fsync(handle)
        with suppress(OSError):
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        if self._kind is None:
            self._kind = _file_system(self._handle)
        if self._kind not in _DIRECT:
            return False
        try:
            fcntl.fcntl(handle, fcntl.F_SETFL, fcntl.fcntl(handle, fcntl.F_GETFL) | os.O_DIRECT)
        except OSError:
            return False
        return True

    def create(self, name: str) -> io.FileIO:
        with self._folder_of(name, create=True) as (folder, leaf):
            return io.FileIO(os.open(leaf, _CREATE, 0o666, dir_fd=folder), "w")

    def status(self, name: str) -> os.stat_result:
        with self._folder_of(name) as (folder, leaf):
            return os.stat(leaf, dir_fd=folder, follow_symlinks=False)

    def rename_new(self, temporary: str, name: str, *, addressed: bool) -> bool:
        with (
            self._folder_of(temporary) as (source, old),
            self._folder_of(name, create=True) as (target, new),
        ):
            done = _rename_noreplace(source, old, target, new)
            if done is None:
                done = self._rename_checked(source, old, target, new, addressed=addressed)
        return done

    def move(self, name: str, to: str) -> None:
        with self._folder_of(name) as (source, old), self._folder_of(to, create=True) as (target, new):
            rename = _renameat2()
            if rename is not None:
                if rename(source, os.fsencode(old), target, os.fsencode(new), _RENAME_NOREPLACE) == 0:
                    return
                if (code := ctypes.get_errno()) not in _UNSUPPORTED:
                    raise OSError(code, os.strerror(code))
            # There is no race: nobody else knows the random folder that `to` lies in.
            with suppress(FileNotFoundError):
                os.stat(new, dir_fd=target, follow_symlinks=False)
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            _rename(source, old, target, new)

    def remove(self, name: str) -> None:
        try:
            with self._folder_of(name) as (folder, leaf):
                os.unlink(leaf, dir_fd=folder)
        except FileNotFoundError:
            pass

    def flush(self, file: io.FileIO) -> None:
        _flush(file.fileno())

    def flush_folder(self, path: str) -> None:
        # Another writer may have made the parents without flushing them yet: flush them all, once per folder.
        paths = [path] if path in self._settled else [path, *_parents(path)]
        for each in paths:
            with self._folder(each) as folder:
                flush_entries(folder)
        self._settled.add(path)

    def entries(self, path: str) -> Iterator[os.DirEntry[str]]:
        with self._folder(path) as folder, os.scandir(folder) as found:
            yield from found

    def space(self) -> tuple[int, int]:
        status = os.statvfs(self._handle)
        return status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize

    def device(self) -> int:
        return os.fstat(self._handle).st_dev

    def close(self) -> None:
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)

    def _rename_checked(self, source: int, old: str, target: int, new: str, *, addressed: bool) -> bool:
        """Rename where the system has no exclusive rename, or where an empty file stands in its way."""
        if addressed:
            # Without locks, another writer that races for this name brings equal bytes, and may be replaced.
            # With locks, that is avoided: on FUSE a replaced file is gone for its readers.
            _lock(target)
            return _is_free(target, new) and _rename(source, old, target, new)
        with _claimed(target, new) as free:
            return free and _rename(source, old, target, new)

    @contextmanager
    def _folder(self, path: str, *, create: bool = False) -> Iterator[int]:
        """Yield a handle to the folder `path` below the root, reached without following a link."""
        handle = os.open(".", _FOLDER, dir_fd=self._handle)
        try:
            for part in path.split("/") if path else ():
                below = _enter(handle, part, create=create)
                os.close(handle)
                handle = below
            yield handle
        finally:
            os.close(handle)

    @contextmanager
    def _folder_of(self, name: str, *, create: bool = False) -> Iterator[tuple[int, str]]:
        """Yield a handle to the folder that holds `name`, and the last component of `name`."""
        path, _, leaf = name.rpartition("/")
        with self._folder(path, create=create) as folder:
            yield folder, leaf


def _enter(folder: int, part: str, *, create: bool) -> int:
    try:
        return os.open(part, _FOLDER, dir_fd=folder)
    except FileNotFoundError:
        if not create:
            raise
    try:
        os.mkdir(part, 0o777, dir_fd=folder)
    except FileExistsError:
        pass
    return os.open(part, _FOLDER, dir_fd=folder)


def _make_folders(path: str) -> None:
    """Make `path` and its parents, and flush each into the folder above it."""
    if os.path.isdir(path):
        return
    above = os.path.dirname(path)
    _make_folders(above)
    try:
        os.mkdir(path)
    except FileExistsError:
        return
    handle = os.open(above, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flush_entries(handle)
    finally:
        os.close(handle)


def _parents(path: str) -> list[str]:
    """Return the folders above a path: `archives` and `` for `archives/ab`; none for the root."""
    parts = path.split("/") if path else []
    return ["/".join(parts[:depth]) for depth in range(len(parts) - 1, -1, -1)]


def _file_system(handle: int) -> str:
    """Return the kind of the file system of an open file, as Linux names it; "" if it does not tell."""
    try:
        with open(f"/proc/self/fdinfo/{handle}", encoding="ascii") as lines:
            mount = next(line.split()[1] for line in lines if line.startswith("mnt_id:"))
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as lines:
            found = next(line for line in lines if line.partition(" ")[0] == mount)
    except (OSError, StopIteration):
        return ""
    return found.partition(" - ")[2].partition(" ")[0]


def _expect_file(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.ELOOP, "not a regular file")


def _size(folder: int, leaf: str) -> int:
    status = os.stat(leaf, dir_fd=folder, follow_symlinks=False)
    _expect_file(status)
    return status.st_size


def _is_free(folder: int, leaf: str) -> bool:
    """Return True if no object has the name: nothing is there, or an empty file."""
    try:
        return _size(folder, leaf) == 0
    except FileNotFoundError:
        return True


def _rename(source: int, old: str, target: int, new: str) -> bool:
    os.rename(old, new, src_dir_fd=source, dst_dir_fd=target)
    return True


def _rename_noreplace(source: int, old: str, target: int, new: str) -> bool | None:
    """Return True if renamed, False if an object has the name, None if this call cannot decide it."""
    rename = _renameat2()
    if rename is None:
        return None
    if rename(source, os.fsencode(old), target, os.fsencode(new), _RENAME_NOREPLACE) == 0:
        return True
    code = ctypes.get_errno()
    if code == errno.EEXIST:
        return None if _is_free(target, new) else False
    if code in _UNSUPPORTED:
        return None
    raise OSError(code, os.strerror(code))


@cache
def _renameat2() -> _Rename | None:
    """Return the C library's function of that name. Only Linux has it, and there not in every library."""
    if sys.platform != "linux":
        return None
    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    function.restype = ctypes.c_int
    call: _Rename = function
    return call


@contextmanager
def _claimed(folder: int, leaf: str) -> Iterator[bool]:
    """Hold the name `leaf` by an empty file that is locked; yield False if an object has the name.

    The lock ends with its holder, so the next writer takes over the claim of a dead one. A writer that waits
    for the lock then finds the other writer's object under the name.
    """
    claim, made = _open_claim(folder, leaf)
    try:
        if not _lock(claim) and not made:
            raise OSError(errno.EBUSY, "another writer claims the name")
        yield _size(folder, leaf) == 0
    finally:
        os.close(claim)


def _open_claim(folder: int, leaf: str) -> tuple[int, bool]:
    """Return a handle to the file `leaf`, and whether this call made it."""
    for _ in range(_CLAIM_ATTEMPTS):
        try:
            return os.open(leaf, _CREATE, 0o666, dir_fd=folder), True
        except FileExistsError:
            pass
        try:
            return os.open(leaf, _WRITE, dir_fd=folder), False
        except FileNotFoundError:
            pass  # another writer has just put its object in the claim's place
    raise OSError(errno.EBUSY, "the name comes and goes")


def _lock(handle: int) -> bool:
    """Wait for the lock on an open file or folder; return False if the file system has no locks.

    Anybody with the right to read a folder may lock it for ever. So the wait ends. Raises OSError EBUSY.
    """
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > until:
                raise OSError(errno.EBUSY, "another process holds the lock") from error
            time.sleep(_LOCK_POLL)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return False
            raise
        else:
            return True


def _flush(handle: int) -> None:
    if sys.platform == "darwin":
        # On macOS, fsync leaves the bytes in the drive's own cache.
        try:
            fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
            return
        except OSError:
            pass
    os.fsync(handle)


def flush_entries(folder: int) -> None:
    """Make the names in an open folder survive a power cut, if its file system can."""
    try:
        _flush(folder)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
