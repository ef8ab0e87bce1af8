"""Output files that a user names: a file that cannot be written is refused before the work, with a hint."""

import os
from pathlib import Path

from formats.errors import UsageError


def check_writable(path: Path) -> None:
    """Check before the work that the report can be written to `path`. Raises UsageError path-not-found."""
    if path.is_dir() or not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise UsageError(
            "path-not-found", "cannot write the report here", subject=str(path),
            hint="name a file in a folder that is there and can be written",
        )  # fmt: skip


def create_private(path: Path) -> int:
    """Create a file that only its owner may read, and return it open for writing.

    Raises UsageError file-exists, path-not-found.
    """
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError(
            "file-exists", "this file exists already", subject=str(path), hint="choose another name"
        ) from None
    except OSError as error:
        raise UsageError(
            "path-not-found", f"cannot write here ({error.strerror})", subject=str(path),
            hint="name a file in a folder that is there and can be written",
        ) from error  # fmt: skip
