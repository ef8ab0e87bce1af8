"""What the catalog says of one file on POSIX, asked through the handle of the folder that it lies in."""

import os
import stat
import sys
from functools import lru_cache
from typing import Protocol

from formats.keyed.catalog import BLOCK_DEVICE, CHARACTER_DEVICE, FILE, SYMLINK, Entry
from seed.kinds import TYPES
from seed.xattrs import pack

assert sys.platform != "win32"
import grp  # noqa: E402
import pwd  # noqa: E402

_XATTR_UNSUPPORTED, _XATTR_GONE = 95, 61  # EOPNOTSUPP, ENODATA


class Told(Protocol):
    """Called with a path, what went wrong there, and the code of the finding that it is."""

    def __call__(self, path: bytes, error: OSError, code: str) -> None: ...


def describe(folder: int, name: str, path: bytes, told: Told) -> Entry:
    """The entry `path` for what has this name now; attributes that cannot be read are told. Raises OSError."""
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    kind = TYPES.get(stat.S_IFMT(status.st_mode))
    if kind is None:
        raise OSError(22, "a kind of file that is not known")
    target, rdev, xattrs = b"", 0, b""
    if kind == SYMLINK:
        target = os.fsencode(os.readlink(name, dir_fd=folder))
    elif kind in (CHARACTER_DEVICE, BLOCK_DEVICE):
        rdev = status.st_rdev
    if sys.platform == "linux":
        xattrs = _xattrs(f"/proc/self/fd/{folder}/{name}", path, told)
    return Entry(
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
        target,
        rdev,
        xattrs,
    )


def _xattrs(reachable: str, path: bytes, told: Told) -> bytes:
    """Extended attributes, ACLs and capabilities among them, raw; see seed/xattrs.py."""
    if sys.platform != "linux":
        return b""
    try:
        names = os.listxattr(reachable, follow_symlinks=False)
    except OSError as error:
        if error.errno != _XATTR_UNSUPPORTED:
            told(path, error, code="source-xattrs")
        return b""
    if not names:
        return b""
    pairs = []
    for name in sorted(names):
        try:
            pairs.append((os.fsencode(name), os.getxattr(reachable, name, follow_symlinks=False)))
        except OSError as error:
            if error.errno != _XATTR_GONE:
                told(path, error, code="source-xattrs")
    return pack(pairs)


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
