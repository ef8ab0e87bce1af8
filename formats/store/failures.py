"""The meaning of an OSError for the user: one table from `errno` to our error, its code and its hint."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from formats.errors import MediaError, StoreError

_WINDOWS_WRITE_PROTECTED = 19  # ERROR_WRITE_PROTECT; Python reports it as EACCES


@dataclass(frozen=True)
class _Meaning:
    kind: type[MediaError] | type[StoreError]
    code: str
    what: str
    hint: str


_FULL = _Meaning(
    MediaError,
    "disk-full",
    "no room is left",
    "make room there, and run the same command again; what was written before stays valid",
)
_READ_ONLY = _Meaning(
    MediaError,
    "read-only",
    "the medium cannot be written",
    "mount it read-write; on a disk, check the write-protect switch",
)
_DENIED = _Meaning(
    StoreError,
    "denied",
    "access is denied",
    "run the command as a user who may read and write there, or give this one the folder (chown)",
)
_GONE = _Meaning(
    StoreError,
    "store-missing",
    "there is no such folder",
    "check the path, and that the disk is mounted",
)
_ODD = _Meaning(
    StoreError,
    "denied",
    "something else stands where a file or folder of the store should be",
    "a store follows no links and reads no devices inside itself; look at what lies there",
)
_CLAIMED = _Meaning(
    StoreError,
    "denied",
    "another writer claims this name",
    "let the other command finish; if none is running, remove the empty file of that name, and see who holds a lock (lslocks)",
)
_HANDLES = _Meaning(
    StoreError,
    "handles-short",
    "the system lets this process open too few files at once",
    "allow more, as by `ulimit -n 1024`, and run the same command again",
)
_MEANINGS = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.ENOENT: _GONE,
    errno.ENAMETOOLONG: _GONE,
    errno.ENOTDIR: _ODD,
    errno.EISDIR: _ODD,
    errno.ELOOP: _ODD,
    errno.EBUSY: _CLAIMED,
    errno.EMFILE: _HANDLES,
    errno.ENFILE: _HANDLES,
}


def read_only(subject: str) -> MediaError:
    """Return the error for a write to a store that was opened for reading."""
    return MediaError(
        "read-only", "the store was opened for reading only", subject=subject, hint=_READ_ONLY.hint
    )


def meaning(error: OSError, subject: str) -> MediaError | StoreError:
    """Return our error for the meaning of `error` for `subject`."""
    known = _MEANINGS.get(error.errno or 0)
    if getattr(error, "winerror", None) == _WINDOWS_WRITE_PROTECTED:
        known = _READ_ONLY
    if known is None:
        return MediaError(
            "io-error",
            f"the medium reports an error ({error.strerror or type(error).__name__})",
            subject=subject,
            hint="check cable, connection and the system's log, then run the same command again",
        )
    return known.kind(known.code, known.what, subject=subject, hint=known.hint)


@contextmanager
def told(subject: str) -> Iterator[None]:
    """Turn any OSError inside the block into our error for `subject`."""
    try:
        yield
    except OSError as error:
        raise meaning(error, subject) from error
