"""Extended attributes of restored entries: those of the catalog, and no other access lists (Linux)."""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress

from seed.source.xattrs import unpack

assert sys.platform != "win32"

ACCESS_LISTS = frozenset(["system.posix_acl_access", "system.posix_acl_default"])


def set_xattrs(target: int | str, packed: bytes) -> Iterator[tuple[bytes, OSError]]:
    """Set the attributes in `packed` on a handle, or on the entry at a path; a last link is not followed.

    Yield the name and the error of each attribute that could not be set and does not stand there already.
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
    """Return whether the value is there from an earlier restore.

    A folder that has been read-only since that restore lets nothing be set again.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            return os.getxattr(target, key, follow_symlinks=itself) == value
    return False


def drop_inherited(handle: int, packed: bytes = b"") -> None:
    """Remove the access lists that a new folder inherited from its parent, unless `packed` has them."""
    if sys.platform == "linux":
        with suppress(OSError):  # a file system without attributes gives none
            for name in ACCESS_LISTS.intersection(os.listxattr(handle)):
                if os.fsencode(name) not in dict(unpack(packed)):
                    os.removexattr(handle, name)
