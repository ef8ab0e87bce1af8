"""A file system that a seed may be written to, or a disk without any, as the system tells of it."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from formats.wire import Json

PATIENCE = 20.0  # seconds: a disk that sleeps, or is broken, answers late
DIGITS_MAX = 20  # more bytes than any disk has


@dataclass(frozen=True)
class Device:
    """`path` names it to the system; `mounted` is where, None where nowhere. `size` in bytes. `bus` as `usb` or `sata`;
    `system` where this machine runs from the same disk; `failing` as the disk says of itself, None where it does not."""

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
    """What a program of the system prints, whatever its exit code; nothing where it is not there, or does not end."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.SubprocessError):
        return b""
    return done.stdout


def answer_json(*command: str) -> Json:
    """As `answer`, of JSON; None where it is none."""
    return parsed(answer(*command))


def parsed(printed: bytes) -> Json:
    """What was printed as JSON; None where it is none."""
    try:
        return json.loads(printed)  # type: ignore[no-any-return]
    except (ValueError, RecursionError):
        return None


def word(value: Json) -> str | None:
    """A text without the blanks that disks fill their names up with; None where nothing is left."""
    return value.strip() or None if isinstance(value, str) else None


def number(value: Json) -> int:
    """A size, else 0; older programs print numbers as texts."""
    if isinstance(value, str) and len(value) <= DIGITS_MAX and value.isdecimal():
        return int(value)
    return value if type(value) is int and 0 <= value < 10**DIGITS_MAX else 0


def truth(value: Json) -> bool:
    return value in (True, 1, "1")


def members(value: Json) -> Sequence[dict[str, Json]]:
    """The objects in a list, or the one that stands there without it."""
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]
