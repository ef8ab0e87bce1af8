"""The lock that an import holds in its home while it lives.

So neither a killed import nor a lost receipt keeps a sweep waiting. The file of the lock stays for as long as a sweep would wait.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from formats.records import unwritable
from importer.vault.vault import Vault

KEPT = 8 * 24 * 3600.0  # seconds: a day longer than an import that has not ended keeps sweeps waiting


@contextmanager
def held(vault: Vault, job: str) -> Iterator[None]:
    """Hold the lock of a job. Raises HomeError."""
    lock = _lock(vault, job)
    path = Path(lock.lock_file)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for other in path.parent.iterdir():
            with suppress(OSError):
                if other.stat().st_mtime < vault.clock.now() - KEPT:
                    other.unlink()
        lock.acquire()
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield
    finally:
        lock.release()


def was_killed(vault: Vault, job: str) -> bool:
    """Whether a job began in this home, and nobody works on it any more."""
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
