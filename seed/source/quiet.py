"""Opening what is backed up without leaving a trace: its access times stay, where the system lets this user ask for it."""

import os

_NO_TRACE = getattr(os, "O_NOATIME", 0)  # for the owner and for root


def open_quietly(path: str | bytes, flags: int, folder: int | None = None) -> int:
    """Return a handle, as `os.open` does; `path` is relative to the open `folder` where one is given. Raises OSError."""
    if _NO_TRACE:
        try:
            return os.open(path, flags | _NO_TRACE, dir_fd=folder)
        except PermissionError:  # another's file, which this user may perhaps read all the same
            pass
    return os.open(path, flags, dir_fd=folder)
