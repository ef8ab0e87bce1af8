"""Times of change that a run can trust: a later change of the same entry always gets another time.

A clock that stamps entries stands still between two ticks. An entry that changes again within the tick of its
time of change keeps this time. So a time counts only if its tick had ended before the reading began. Three
clocks matter:

- The kernel stamps with a clock that is up to a jiffy late.
- Some file systems keep whole seconds only, FAT every second one. Their times end in nine zeros.
- Other machines stamp the files on network file systems. Their clocks may be wrong.
"""

import os

from formats.keyed.catalog import Looked
from formats.store.clock import SYSTEM, Clock
from seed.source.source_rules import mounted_kinds

LATE = 50_000_000  # nanoseconds: five jiffies of the slowest kernel
COARSE = 2 * 10**9
FOREIGN = 3600 * 10**9  # the clock of another machine may be wrong by this much
NETWORK = frozenset(
    ["9p", "afs", "ceph", "cifs", "coda", "fuse", "gfs2", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "smb3", "smbfs", "vboxsf", "virtiofs"]
)  # fmt: skip


def changed_ns(status: os.stat_result) -> int:
    """Return the time of an entry's last change.

    It is the change of the inode, or of the content if the system gives no other time.
    """
    return status.st_ctime_ns or status.st_mtime_ns


def may_hide(changed: int, grain: int, now: int) -> bool:
    """Return whether a change after `now` may leave an entry's time `changed` the same; in nanoseconds."""
    return changed + grain > now


class Clocks:
    """The clocks of the file systems that a walk meets."""

    def __init__(self, clock: Clock = SYSTEM) -> None:
        self._clock = clock
        self._kinds = mounted_kinds()
        self._foreign: dict[int, bool] = {}

    def hides(self, looked: Looked) -> bool:
        """Return whether a change from now on may leave an entry with the time of change that it has."""
        return self.may_hide(looked[10] * 10**9 + looked[11], looked[12])

    def may_hide(self, changed: int, device: int) -> bool:
        """Return whether the time `changed` of an entry on `device` may hide a change from now on."""
        foreign = self._foreign.get(device)
        if foreign is None:
            foreign = self._foreign[device] = self._is_foreign(device)
        return may_hide(changed, FOREIGN if foreign else grain_of(changed), int(self._clock.now() * 10**9))

    def _is_foreign(self, device: int) -> bool:
        if device not in self._kinds:  # mounted since; or the system tells no kinds
            self._kinds = mounted_kinds()
        kind = self._kinds.get(device, "")
        return not self._kinds or kind in NETWORK or kind.startswith("fuse.")


def grain_of(changed: int) -> int:
    """Return for how many nanoseconds a local file system's clock may stand still, judged by one time."""
    return LATE if changed % 10**9 else LATE + COARSE
