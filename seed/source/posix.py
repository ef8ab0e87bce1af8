"""Walks a tree on POSIX by directory handles: no path is resolved twice, none can be too long.

Entries come sorted by path components, each while its parent folder is held open.
"""

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from formats.keyed.catalog import BLOCK_DEVICE, CHARACTER_DEVICE, FILE, FOLDER, SYMLINK, Entry
from formats.monitor import Finding, Monitor
from seed.kinds import TYPES
from seed.source.rules import CACHE_TAG, CACHE_TAG_SIGNATURE, Rules, kernel_devices, outermost
from seed.xattrs import pack

assert sys.platform != "win32"
import grp  # noqa: E402
import pwd  # noqa: E402

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Of the folders above a root no list is needed: the right to pass through them is enough.
_ABOVE_FLAGS = _FOLDER_FLAGS | getattr(os, "O_PATH", 0)
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_XATTR = sys.platform == "linux"


@dataclass(slots=True)
class Found:
    """An entry and the way to its bytes: valid until the walk goes on."""

    entry: Entry
    folder: int
    name: str

    def open(self) -> int:
        """A read handle on what now has the file's name; never waits. Raises OSError."""
        return os.open(self.name, _FILE_FLAGS, dir_fd=self.folder)


@dataclass(slots=True)
class _Level:
    handle: int
    path: bytes
    device: int
    names: Iterator[str]


class Walk:
    """Iterate over `roots` (absolute paths) and the folders above them; each entry once, sorted."""

    def __init__(self, roots: Sequence[bytes], rules: Rules, monitor: Monitor) -> None:
        self.roots = outermost(roots)
        self.rules = rules
        self.monitor = monitor
        self._kernel = kernel_devices()
        self._above: set[bytes] = set()

    def __iter__(self) -> Iterator[Found]:
        for root in self.roots:
            yield from self._ancestors(root)
            yield from self._root(root)

    def _ancestors(self, root: bytes) -> Iterator[Found]:
        """The folders above a root, so that their owner and mode come back too."""
        parts = root.strip(b"/").split(b"/")
        for depth in range(1, len(parts)):
            path = b"/".join(parts[:depth])
            if path and path not in self._above:
                self._above.add(path)
                parent, _, name = path.rpartition(b"/")
                handle = os.open(b"/" + parent, _ABOVE_FLAGS)
                try:
                    yield Found(self._describe(handle, os.fsdecode(name), path), handle, "")
                finally:
                    os.close(handle)

    def _root(self, root: bytes) -> Iterator[Found]:
        relative = root.strip(b"/")
        if not relative:
            handle = os.open("/", _FOLDER_FLAGS)
            yield from self._below(_Level(handle, b"", os.fstat(handle).st_dev, self._names(handle, b"")))
            return
        parent, _, name = relative.rpartition(b"/")
        handle = os.open(b"/" + parent, _ABOVE_FLAGS)
        status = os.stat(name, dir_fd=handle, follow_symlinks=False)
        yield from self._below(_Level(handle, parent, status.st_dev, iter([os.fsdecode(name)])))

    def _below(self, top: _Level) -> Iterator[Found]:
        """Depth first, with a stack of open folders instead of recursion."""
        stack = [top]
        try:
            while stack:
                level = stack[-1]
                name = next(level.names, None)
                if name is None:
                    os.close(stack.pop().handle)
                    continue
                path = level.path + b"/" + os.fsencode(name) if level.path else os.fsencode(name)
                if self.rules.excludes.match(b"/" + path):
                    continue
                try:
                    entry = self._describe(level.handle, name, path)
                except OSError as error:
                    self._skip(path, error)
                    continue
                yield Found(entry, level.handle, name)
                if entry.type == FOLDER and (below := self._enter(level, name, entry)):
                    stack.append(below)
        finally:
            for level in stack:
                os.close(level.handle)

    def _enter(self, level: _Level, name: str, entry: Entry) -> _Level | None:
        """The folder opened, or None where what lies below it is left out."""
        shown = "/" + os.fsdecode(entry.path)
        if (entry.device, entry.inode) in self.rules.pruned:
            self.monitor.notice(f"left out: what lies below {shown} (this program's own)")
            return None
        if entry.device != level.device:
            if kind := self._kernel.get(entry.device):
                self.monitor.notice(f"left out: what lies below {shown} (kernel file system {kind})")
                return None
            if self.rules.one_file_system:
                self.monitor.notice(f"left out: what lies below {shown} (another file system)")
                return None
        try:
            handle = os.open(name, _FOLDER_FLAGS, dir_fd=level.handle)
        except OSError as error:
            self._skip(entry.path, error)
            return None
        if self.rules.exclude_caches and _is_cache(handle):
            self.monitor.notice(f"left out: what lies below {shown} (marked as cache)")
            os.close(handle)
            return None
        return _Level(handle, entry.path, entry.device, self._names(handle, entry.path))

    def _names(self, handle: int, path: bytes) -> Iterator[str]:
        try:
            return iter(sorted(os.listdir(handle), key=os.fsencode))
        except OSError as error:
            self._skip(path, error)
            return iter(())

    def _describe(self, folder: int, name: str, path: bytes) -> Entry:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        kind = TYPES.get(stat.S_IFMT(status.st_mode))
        if kind is None:
            raise OSError(22, "a kind of file that is not known")
        entry = Entry(
            path,
            kind,
            stat.S_IMODE(status.st_mode),
            status.st_uid,
            status.st_gid,
            user_name(status.st_uid),
            group_name(status.st_gid),
            status.st_size if kind == FILE else 0,
            *divmod(status.st_mtime_ns, 10**9),
            *divmod(status.st_ctime_ns, 10**9),
            status.st_dev,
            status.st_ino,
            status.st_nlink,
        )
        if kind == SYMLINK:
            entry.target = os.fsencode(os.readlink(name, dir_fd=folder))
        elif kind in (CHARACTER_DEVICE, BLOCK_DEVICE):
            entry.rdev = status.st_rdev
        if _XATTR:
            entry.xattrs = self._xattrs(f"/proc/self/fd/{folder}/{name}", path)
        return entry

    def _xattrs(self, reachable: str, path: bytes) -> bytes:
        """Extended attributes, ACLs and capabilities among them, raw; see seed/xattrs.py."""
        if sys.platform != "linux":
            return b""
        try:
            names = os.listxattr(reachable, follow_symlinks=False)
            if not names:
                return b""
            pairs = [
                (os.fsencode(n), os.getxattr(reachable, n, follow_symlinks=False)) for n in sorted(names)
            ]
        except OSError as error:
            if error.errno not in _XATTR_UNSUPPORTED:
                self._skip(path, error, code="source-xattrs")
            return b""
        return pack(pairs)

    def _skip(self, path: bytes, error: OSError, code: str = "source-unreadable") -> None:
        detail = error.strerror or type(error).__name__
        self.monitor.finding(Finding(code=code, subject="/" + os.fsdecode(path), detail=detail))


_XATTR_UNSUPPORTED = (95, 61)  # EOPNOTSUPP, ENODATA


def read_into(handle: int, space: memoryview) -> int:
    """Bytes read from the handle's position on into `space`; 0 at the end. Raises OSError."""
    return os.readv(handle, [space])


def data_extents(handle: int, size: int) -> list[tuple[int, int]]:
    """(offset, length) of the data regions of a file with holes; one region where it has none."""
    found: list[tuple[int, int]] = []
    at = 0
    try:
        while at < size:
            start = os.lseek(handle, at, os.SEEK_DATA)
            if start >= size:
                break
            at = min(os.lseek(handle, start, os.SEEK_HOLE), size)
            found.append((start, at - start))
    except OSError as error:
        if error.errno != 6:  # ENXIO: no data beyond
            return [(0, size)]
    return found


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


def _is_cache(folder: int) -> bool:
    try:
        handle = os.open(CACHE_TAG, _FILE_FLAGS, dir_fd=folder)
    except OSError:
        return False
    try:
        return os.read(handle, len(CACHE_TAG_SIGNATURE)) == CACHE_TAG_SIGNATURE
    except OSError:
        return False
    finally:
        os.close(handle)
