"""A file system that can take a seed, or a disk without any, as the system describes it."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from formats.untrusted import Json

PATIENCE = 20.0  # seconds: a disk that sleeps, or is broken, answers late
DIGITS_MAX = 20  # more bytes than any disk has


@dataclass(frozen=True)
class Device:
    """A device, as the system describes it.

    `path` names it to the system. `mounted` is its mount point, or None. `size` is in bytes. `bus` is a word
    such as `usb` or `sata`. `system` is true if this machine runs from the same disk. `failing` is the report
    of the disk about itself, or None.
    """

    path: str
    mounted: str | None = None
    filesystem: str | None = None
    size: int = 0
    model: str | None = None
    serial: str | None = None
    bus: str | None = None
    removable: bool = False
    read_only: bool = False
    system: bool = False
    failing: bool | None = None


def answer(*command: str) -> bytes:
    """Return the output of a system program, at any exit code.

    It is empty if the program is missing, or does not end in time.
    """
    try:
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.SubprocessError):
        return b""
    return done.stdout


def answer_json(*command: str) -> Json:
    """Return the output of a system program, as `answer` does, as JSON; None if it is no JSON."""
    return parsed(answer(*command))


def parsed(printed: bytes) -> Json:
    """Return the value of printed JSON; None if it is no JSON."""
    try:
        return json.loads(printed)  # type: ignore[no-any-return]
    except (ValueError, RecursionError):
        return None


def word(value: Json) -> str | None:
    """Return a text without the blanks with which disks fill up their names; None if nothing is left."""
    return value.strip() or None if isinstance(value, str) else None


def number(value: Json) -> int:
    """Return a size, else 0; older programs print numbers as texts."""
    if isinstance(value, str) and len(value) <= DIGITS_MAX and value.isdecimal():
        return int(value)
    return value if type(value) is int and 0 <= value < 10**DIGITS_MAX else 0


def truth(value: Json) -> bool:
    return value in (True, 1, "1")


def members(value: Json) -> Sequence[dict[str, Json]]:
    """Return the objects in a list, or the single object that replaces a list."""
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]
