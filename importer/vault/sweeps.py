"""Sweeps, in which prune deletes, and the way in which an import avoids them.

A sweep begins, then reads the needs. So there are two cases (SWEEP-2). Either the sweep sees the job of an
import. Or the import sees that a sweep has begun, and waits for its end before it looks at the vault.

A sweep deletes nothing once its time is over. So no import waits for ever for a sweep that was killed. A sweep
that was killed in this very home is known by its lock, because no process holds it any more. If the vault is
a folder, none of its deletions can be on its way any more. Then the next command says that the sweep is over.
"""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from formats import layout
from formats.documents.retention import Sweep
from formats.ids import HexDigest
from formats.monitor import Monitor, Tally
from formats.records import unwritable
from formats.store.local import LocalStore
from importer.vault.vault import Vault

SWEEP_MAX = 1800.0  # seconds in which a sweep deletes
OVER = 3600.0  # seconds after which it does not, by any clock
POLL = 1.0


@dataclass
class Sweeping:
    """A sweep that has begun; `began` is a time of the store's clock."""

    vault: Vault
    document: Sweep
    began: datetime
    _started: float
    _lock: FileLock
    _ended: bool = False

    @property
    def late(self) -> bool:
        return self.vault.clock.elapsed() - self._started > SWEEP_MAX

    def end(self, lists: Iterable[HexDigest] = (), objects: int = 0, size: int = 0) -> None:
        """Say once that the sweep is over, and delete the documents of earlier sweeps that are over."""
        if self._ended:
            return
        document = replace(
            self.document,
            number=self.document.number + 1,
            state="ended",
            created=self.vault.now(),
            lists=tuple(lists),
            objects=objects,
            bytes=size,
        )
        self.vault.sign(layout.SWEEPS, document.number, document)
        self._ended = True
        _release(self._lock)
        documents = _documents(self.vault, Tally())
        over = {found.sweep for _, found in documents if found.state == "ended"}
        # The document of a beginning goes before the document of its end: no import must wait for it.
        for name, found in documents:
            if found.number < document.number and (found.sweep in over or self._was_killed(name)):
                self.vault.store.delete(name)

    def _was_killed(self, name: str) -> bool:
        written = self.vault.store.written(name)
        return written is not None and (self.began - written).total_seconds() > OVER


def begin(vault: Vault) -> Sweeping:
    """Begin a sweep, and hold its lock. Raises HomeError, StoreError."""
    found = _documents(vault, Tally())
    _over(vault, found)
    started = vault.clock.elapsed()
    number = max((document.number for _, document in found), default=0) + 1
    lock = _lock(vault, sweep := os.urandom(16).hex())
    try:
        os.makedirs(os.path.dirname(lock.lock_file), mode=0o700, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise unwritable(Path(lock.lock_file), error) from error
    document = Sweep(
        number=number,
        vault=vault.id,
        role="authority",
        sweep=sweep,
        state="begun",
        created=vault.now(),
        lists=(),
        objects=0,
        bytes=0,
    )
    while True:
        name = vault.sign(layout.SWEEPS, document.number, document)
        last = max(other.number for _, other in _documents(vault, Tally()))
        if last == document.number:
            break
        vault.store.delete(name)  # another has ended meanwhile: this would pass for one that was put back
        document = replace(document, number=last + 1)
    began = vault.store.written(name)
    assert began is not None  # no sweep deletes a document that is newer than its own
    return Sweeping(vault, document, began, started, lock)


def seen(vault: Vault) -> frozenset[str]:
    """Return the names of all documents of sweeps: if two results are equal, no sweep lies between."""
    return frozenset(name for name, _ in vault.store.list(layout.SWEEPS))


def wait(vault: Vault, job: str, monitor: Monitor) -> None:
    """Wait for the sweeps that may not have seen `job`, the name of an object that was put before."""
    put, started, told = vault.store.written(job), vault.clock.elapsed(), False
    while put is not None and not monitor.stopping():
        waited = vault.clock.elapsed() - started
        if all((put - began).total_seconds() + waited > OVER for began in _under_way(vault, monitor)):
            return
        if not told:
            monitor.notice("the vault is being pruned at this moment; the import goes on when that is done")
            told = True
        vault.clock.sleep(POLL)


def _under_way(vault: Vault, monitor: Monitor) -> list[datetime]:
    """Return the times at which the sweeps began that have not ended, by the clock of the store.

    A sweep that came after the end of one with a higher number is over: somebody has put its first word back.
    """
    found = _documents(vault, monitor)
    over = _over(vault, found)
    times = {name: at for name, _ in found if (at := vault.store.written(name)) is not None}
    ended = [(d.number, times[name]) for name, d in found if d.state == "ended" and name in times]
    begun = [(d.number, times[name]) for name, d in found if d.sweep not in over and name in times]
    return [at for number, at in begun if not any(other > number and end < at for other, end in ended)]


def _over(vault: Vault, found: Sequence[tuple[str, Sweep]]) -> set[str]:
    """Return the sweeps that have ended. Sign the end of those that were killed in this home."""
    over = {document.sweep for _, document in found if document.state == "ended"}
    for _, document in found:
        lock = _lock(vault, document.sweep)
        if (
            document.sweep in over
            or not isinstance(vault.store, LocalStore)
            or not os.path.exists(lock.lock_file)
        ):
            continue
        with suppress(Timeout, OSError):
            lock.acquire(timeout=0)
            end = replace(document, number=document.number + 1, state="ended", created=vault.now())
            vault.sign(layout.SWEEPS, end.number, end)
            over.add(document.sweep)
            _release(lock)
    return over


def _lock(vault: Vault, sweep: str) -> FileLock:
    """Return the lock that a sweep of this home holds while it runs."""
    assert vault.authority is not None
    return FileLock(vault.authority.home / "sweeps" / sweep, mode=0o600)


def _release(lock: FileLock) -> None:
    with suppress(OSError):
        os.unlink(lock.lock_file)
    lock.release()


def _documents(vault: Vault, monitor: Monitor) -> list[tuple[str, Sweep]]:
    facts = vault.view.look(layout.SWEEPS, Sweep, vault.key, monitor).facts
    return [(fact.name, fact.document) for fact in facts]
