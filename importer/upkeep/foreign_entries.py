"""Foreign things in a vault: one listing of the vault counts, names and, on request, moves them away.

Nobody opens them. An importer moves things away by itself that stand in the way of its own writes.
"""

from collections.abc import Callable

from formats.errors import NotFoundError, OffseedError
from formats.monitor import Finding, Monitor
from formats.store.clock import Clock
from formats.store.contract import Store
from formats.store.foreign import CLOSED, EMPTY, Foreign, Strangers

CLAIM_SECONDS = 24 * 3600.0  # for so long an empty file may be the claim of a writer
TOLD_MAX = 20  # findings; more are counted


def clearing(monitor: Monitor) -> Callable[[str, str], None]:
    """Return a function that reports an obstacle that was set aside."""

    def clears(path: str, place: str) -> None:
        detail = f"it stood in the way of what this command writes, and was set aside: {place}"
        monitor.finding(Finding(code="obstructed", subject=path, detail=detail))

    return clears


class Cleaner:
    """The receiver of the foreign things that a listing passes over.

    It counts them, reports those that block a place of ours, and sets them `aside` if asked. A thing that
    cannot be moved is a finding. A folder that nobody may look into stays: objects may lie in it.
    """

    def __init__(self, store: Store, clock: Clock, monitor: Monitor, *, aside: bool) -> None:
        self.found = Strangers()
        self.moved = 0
        self.left = 0
        self._store = store
        self._clock = clock
        self._monitor = monitor
        self._aside = aside

    def __call__(self, found: Foreign) -> None:
        self.found(found)
        why = ""
        if self._aside and found.kind != CLOSED and not self._is_claim(found):
            try:
                self._store.set_aside(found.name, found.kind)
                self.moved += 1
                return
            except NotFoundError:
                return  # it is gone, or an object has taken its place
            except OffseedError as error:
                why = f", and cannot be moved away: {error.what}"
        if found.blocks or why:
            self._tell(found, why)

    def _is_claim(self, found: Foreign) -> bool:
        """Return whether an empty file may hold a name for a writer that is about to put an object."""
        return found.kind == EMPTY and found.written > self._clock.now() - CLAIM_SECONDS

    def _tell(self, found: Foreign, why: str) -> None:
        self.left += 1
        if self.left > TOLD_MAX:
            return
        if found.kind == CLOSED:
            hint = ". Objects may lie in it: give it to this user (chown, chmod), or move it away by hand"
        else:
            hint = "" if self._aside else "; `importer validate --set-aside` moves it away"
        detail = f"{_article(found.kind)} {found.kind} stands here that is not ours{why}{hint}"
        self._monitor.finding(Finding(code="obstructed", subject=found.name, detail=detail))

    def end(self) -> None:
        """Report the number of foreign things beyond those that were reported."""
        if self.left > TOLD_MAX:
            detail = f"{self.left - TOLD_MAX:,} more are in the way"
            self._monitor.finding(Finding(code="obstructed", subject=self._store.address, detail=detail))


def _article(kind: str) -> str:
    return "an" if kind[0] in "aeiou" else "a"
