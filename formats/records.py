"""The files in a home. Each file is replaced whole and durably, so a crash leaves the old or the new one."""

import errno
import os
import sys
from pathlib import Path
from typing import TypeVar

from formats.documents.codec import Record
from formats.errors import FormatError, HomeError
from formats.homes import make_private
from formats.untrusted import decode_json, encode_json

R = TypeVar("R", bound=Record)


def read_record(path: Path, kind: type[R], hint: str = "bring this file back from a copy") -> R:
    """Read a record of the home. Raises HomeError home-damaged."""
    try:
        return kind.from_json(decode_json(path.read_bytes(), path.name), path.name)
    except FormatError as error:
        raise HomeError(
            "home-damaged",
            f"the state in the home cannot be read: {error}",
            subject=str(path),
            hint=hint,
        ) from error
    except OSError as error:
        raise HomeError(
            "home-damaged",
            f"the state in the home cannot be read: {error.strerror}",
            subject=str(path),
            hint="run as its owner",
        ) from error


def write_record(path: Path, record: Record) -> None:
    """Replace `path` durably with a record that can be read again; mode 0600. Raises FormatError."""
    data = encode_json(record.to_json())
    type(record).from_json(decode_json(data, path.name), path.name)
    write_private(path, data)


def write_private(path: Path, data: bytes) -> None:
    """Replace `path` with `data`, readable by its owner only, durable on return. Raises HomeError."""
    try:
        make_private(path.parent)
        temporary = path.with_name(f".{path.name}.new")
        temporary.unlink(missing_ok=True)  # a crash may have left it
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _flush_names(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error


def _flush_names(folder: Path) -> None:
    """Make the names in a folder survive a power cut, if the system can."""
    if sys.platform != "win32":
        from formats.store.posix import flush_entries

        handle = os.open(folder, os.O_RDONLY)
        try:
            flush_entries(handle)
        finally:
            os.close(handle)


def unwritable(path: Path, error: OSError) -> HomeError:
    code = "home-room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "home-damaged"
    return HomeError(
        code,
        f"the home cannot be written ({error.strerror})",
        subject=str(path),
        hint="make room there, run as its owner, or choose another home by SEED_HOME or IMPORTER_HOME",
    )
