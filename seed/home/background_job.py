"""The last backup in the background: its process and log while it runs, then its result.

The home notes the backup before a command says that it has begun. Its process holds a lock of its own while
it lives. So a note without an end means that the backup still runs, or was killed.
"""

import os
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from formats.documents.codec import Record, blob, integer, member, optional
from formats.records import read_record, unwritable, write_record
from formats.store.clock import Clock
from formats.untrusted import Json
from formats.words import moment

LOGS_MAX = 10
PATIENCE = 5.0  # seconds, until one that was stopped has ended


class Detached(Record):
    """A backup in the background.

    `ended` and `code`, its exit code, are None while it runs or if it was killed.
    """

    pid: int = member(integer())
    began: int = member(integer())
    log_path: bytes = member(blob(64 << 10))
    ended: int | None = member(optional(integer()), default=None)
    code: int | None = member(optional(integer()), default=None)

    @property
    def log(self) -> str:
        return os.fsdecode(self.log_path)

    def standing(self, runs: bool) -> str:
        """Return its state in words."""
        if runs:
            return (
                f"runs in the background since {moment(self.began)}, process {self.pid}; its log: {self.log}"
            )
        if self.ended is None:
            end = f"begun {moment(self.began)} was killed; `seed backup` goes on"
        else:
            end = f"ended {moment(self.ended)} with exit code {self.code}"
        return f"the last one in the background {end}; its log: {self.log}"

    def shown(self, runs: bool) -> dict[str, Json]:
        """Return its state for scripts."""
        found: dict[str, Json] = {"pid": self.pid, "began": self.began, "log": self.log}
        return {"running": runs, **found, "ended": self.ended, "code": self.code}


class Detachment:
    """This process while it continues in the background, with a home that it has locked."""

    def __init__(self, home: Path, clock: Clock) -> None:
        """Note the backup and take its lock. Raises HomeError if the home cannot be written."""
        self._home = home
        self._clock = clock
        self._lock = FileLock(_lock(home), timeout=PATIENCE, mode=0o600)
        try:
            self._lock.acquire()
            self.output, log = _new_log(home / "logs", clock)
        except OSError as error:  # a Timeout too: another stopped backup has not quite ended
            raise unwritable(home / "logs", error) from error
        self._note = Detached(pid=os.getpid(), began=int(clock.now()), log_path=os.fsencode(log))
        write_record(_note(home), self._note)

    def end(self, code: int) -> None:
        """Note the exit code. Raises HomeError."""
        write_record(_note(self._home), replace(self._note, ended=int(self._clock.now()), code=code))


def last_detached(home: Path) -> tuple[Detached | None, bool]:
    """Return the last backup in the background, if any, and whether it runs.

    Raises HomeError home-damaged.
    """
    last = _read(home)
    if last is None or last.ended is not None:
        return last, False
    lock = FileLock(_lock(home), timeout=0, mode=0o600)
    try:
        lock.acquire()
    except Timeout:
        return last, True
    except OSError as error:
        raise unwritable(_lock(home), error) from error
    lock.release()
    return _read(home), False  # it may have ended just now


def _read(home: Path) -> Detached | None:
    return read_record(_note(home), Detached) if _note(home).exists() else None


def _new_log(folder: Path, clock: Clock) -> tuple[int, Path]:
    """Return a new log, open for writing. Delete the oldest logs if there are many."""
    folder.mkdir(mode=0o700, exist_ok=True)
    for old in sorted(folder.glob("backup-*.log"))[: 1 - LOGS_MAX]:
        with suppress(OSError):
            old.unlink()
    prefix = time.strftime("backup-%Y%m%d-%H%M%S-", time.localtime(clock.now()))
    handle, path = tempfile.mkstemp(prefix=prefix, suffix=".log", dir=folder)
    return handle, Path(path)


def _note(home: Path) -> Path:
    return home / "detached.json"


def _lock(home: Path) -> Path:
    return home / "detached.lock"
