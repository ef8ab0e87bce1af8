"""Extended attributes onto what is restored: those of the catalog, and of the access lists no others (Linux)."""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress

from seed.xattrs import unpack

assert sys.platform != "win32"

ACCESS_LISTS = frozenset(["system.posix_acl_access", "system.posix_acl_default"])


def set_xattrs(target: int | str, packed: bytes) -> Iterator[tuple[bytes, OSError]]:
    """Set what `packed` holds on a handle, or on what a path leads to without following a last link.

    Yields the name of each that could not be set and does not stand there already.
    """
    if sys.platform != "linux":
        return
    itself = isinstance(target, int)
    for key, value in unpack(packed):
        try:
            os.setxattr(target, key, value, follow_symlinks=itself)
        except OSError as error:
            if not _stands(target, key, value, itself):
                yield key, error


def _stands(target: int | str, key: bytes, value: bytes, itself: bool) -> bool:
    """Whether it is there from an earlier restore: of a folder that is read-only since, none can be set again."""
    if sys.platform == "linux":
        with suppress(OSError):
            return os.getxattr(target, key, follow_symlinks=itself) == value
    return False


def drop_inherited(handle: int, packed: bytes = b"") -> None:
    """Take off the access lists that a new folder was given by the one it lies in, unless `packed` has them."""
    if sys.platform == "linux":
        with suppress(OSError):  # a file system without attributes gives none
            for name in ACCESS_LISTS.intersection(os.listxattr(handle)):
                if os.fsencode(name) not in dict(unpack(packed)):
                    os.removexattr(handle, name)
