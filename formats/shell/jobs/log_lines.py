"""The lines of a log of a job, which somebody may have edited."""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

LINE_MAX = 64 << 10


def has_end(path: Path) -> bool:
    """Return whether the last line of a log reports the job's end."""
    with suppress(OSError), open(path, "rb") as file:
        file.seek(max(file.seek(0, os.SEEK_END) - LINE_MAX, 0))
        return b'"event": "end"' in file.read().rstrip(b"\n").rpartition(b"\n")[2]
    return False


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the whole lines of a log: the last one may still be incomplete."""
    with suppress(OSError), open(path, "rb") as file:
        for line in file:
            with suppress(ValueError):
                if len(line) <= LINE_MAX and isinstance(found := json.loads(line), dict):
                    yield found


def is_alive(pid: object, created: object) -> bool:
    """Return whether the process of that number is the one that was created then."""
    import psutil  # takes long to load

    with suppress(psutil.Error, ValueError, TypeError):
        there = float(psutil.Process(integer(pid)).create_time())
        return abs(there - float(str(created))) < 1
    return False


def integer(value: object) -> int:
    """Return a number from a log, or 0: somebody may have edited the log."""
    with suppress(ValueError, TypeError, OverflowError):
        return int(float(str(value)))
    return 0


def is_running(path: Path) -> bool:
    """Return whether the job of a log is at work: the log has no end, and its process lives."""
    first = next(read_lines(path), {})
    return not has_end(path) and is_alive(first.get("pid"), first.get("process"))
