"""What lies in a vault and is not ours: it is counted, named, and moved away on request, while the vault is listed once.

Nothing of it is opened. What an importer finds in the way of its own writes it moves away by itself.
"""

import time
from collections.abc import Callable

from formats.errors import NotFoundError, OffseedError
from formats.monitor import Finding, Monitor
from formats.store.contract import Store
from formats.store.foreign import CLOSED, EMPTY, Foreign, Strangers

CLAIM_SECONDS = 24 * 3600.0  # for so long an empty file may be the claim of a writer
TOLD_MAX = 20  # findings; more are counted


def clearing(monitor: Monitor) -> Callable[[str, str], None]:
    """Return what tells of an obstacle that was set aside."""

    def clears(path: str, place: str) -> None:
        detail = f"it stood in the way of what this command writes, and was set aside: {place}"
        monitor.finding(Finding(code="obstructed", subject=path, detail=detail))

    return clears


class Cleaner:
    """Takes what a listing passes over: counts it, tells of what blocks a place of ours, and sets it `aside` if asked.

    What cannot be moved is a finding. A folder that nobody may look into stays: objects may lie in it.
    """

    def __init__(self, store: Store, monitor: Monitor, *, aside: bool) -> None:
        self.found = Strangers()
        self.moved = 0
        self.left = 0
        self._store = store
        self._monitor = monitor
        self._aside = aside

    def __call__(self, found: Foreign) -> None:
        self.found(found)
        why = ""
        if self._aside and found.kind != CLOSED and not _is_claim(found):
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
        """Tell how many more there are than were told."""
        if self.left > TOLD_MAX:
            detail = f"{self.left - TOLD_MAX:,} more are in the way"
            self._monitor.finding(Finding(code="obstructed", subject=self._store.address, detail=detail))


def _is_claim(found: Foreign) -> bool:
    """Tell whether an empty file may hold a name for a writer that is about to give it an object."""
    return found.kind == EMPTY and found.written > time.time() - CLAIM_SECONDS


def _article(kind: str) -> str:
    return "an" if kind[0] in "aeiou" else "a"
