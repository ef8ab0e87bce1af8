"""The lock that an import holds in its home while it runs: a killed import keeps no sweep waiting."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from formats.records import unwritable
from importer.vault.vault import Vault


@contextmanager
def held(vault: Vault, job: str) -> Iterator[None]:
    """Hold the lock of a job. Raises HomeError."""
    lock = _lock(vault, job)
    path = Path(lock.lock_file)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield
        path.unlink(missing_ok=True)  # it has ended: its receipts tell how
    finally:
        lock.release()


def was_killed(vault: Vault, job: str) -> bool:
    """Return whether a job began in this home, did not end, and runs no more."""
    lock = _lock(vault, job)
    if not Path(lock.lock_file).exists():
        return False
    try:
        with lock.acquire(timeout=0):
            return True
    except (Timeout, OSError):
        return False


def _lock(vault: Vault, job: str) -> FileLock:
    assert vault.authority is not None
    return FileLock(vault.authority.home / "jobs" / job, mode=0o600)
