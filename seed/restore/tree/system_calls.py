"""System calls that Python lacks (Linux only): a rename that replaces nothing, the sync of a file system."""

import ctypes
import errno
import os
from collections.abc import Callable
from functools import cache
from typing import Any

UNSUPPORTED = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})
_NOREPLACE = 1


def rename_new(source: int, old: bytes, target: int, new: bytes) -> bool:
    """Rename between open folders; return False if the system or the file system cannot.

    Raises FileExistsError, OSError.
    """
    rename = _function(
        "renameat2", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint
    )
    if rename is None:
        return False
    if rename(source, old, target, new, _NOREPLACE) == 0:
        return True
    if (code := ctypes.get_errno()) in UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code))


def sync_file_system(folder: int) -> bool:
    """Wait until the file system of an open folder is on its medium; return False if there is no such call.

    Raises OSError.
    """
    sync = _function("syncfs", ctypes.c_int)
    if sync is None:
        return False
    if sync(folder) == 0:
        return True
    code = ctypes.get_errno()
    raise OSError(code, os.strerror(code))


@cache
def _function(name: str, *arguments: Any) -> Callable[..., int] | None:
    """Return a function of the C library, or None if the library lacks it."""
    try:
        function: Any = getattr(ctypes.CDLL(None, use_errno=True), name)
    except (OSError, AttributeError):
        return None
    function.argtypes = arguments
    function.restype = ctypes.c_int
    found: Callable[..., int] = function
    return found
