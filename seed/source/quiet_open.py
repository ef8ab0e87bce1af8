"""The opening of files without a trace: their access times stay, if the system lets this user ask for it."""

import os

_NO_TRACE = getattr(os, "O_NOATIME", 0)  # for the owner and for root


def open_quietly(path: str | bytes, flags: int, folder: int | None = None) -> int:
    """Return a handle, as `os.open` does. Raises OSError.

    `path` is relative to the open `folder` if one is given.
    """
    if _NO_TRACE:
        try:
            return os.open(path, flags | _NO_TRACE, dir_fd=folder)
        except PermissionError:  # the file of another user; this user may still be able to read it
            pass
    return os.open(path, flags, dir_fd=folder)
