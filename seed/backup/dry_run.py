"""`--dry-run`: the effect of an export, by the same walk, without writing a byte."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from formats.disks import check_disk, number_at
from formats.errors import Interrupted
from formats.keyed.catalog import FILE, CatalogEntry
from formats.monitor import Monitor
from formats.store.local import LocalStore
from seed.backup.export import ExportOptions
from seed.home.disk_sets import KeptSet, current_set
from seed.home.home import Home
from seed.home.items import Scope, check_targets, identity_of, own_folders
from seed.source.bytes_to_read import to_read
from seed.source.system import Walk
from seed.targets.disk_writer import read_journal


@dataclass
class DryRunResult:
    """The data that an export would read, without holes of large files, and the room on each disk."""

    items: tuple[bytes, ...]
    rooms: list[tuple[Path, int]]
    entries: int = 0
    files: int = 0
    file_bytes: int = 0

    @property
    def lacking(self) -> int | None:
        """The bytes that find no room if nothing can be compressed; None if no disk was named."""
        if not self.rooms:
            return None
        return max(self.file_bytes - sum(room for _, room in self.rooms), 0)


def rehearse(
    home: Home,
    scope: Scope,
    targets: Sequence[Path],
    options: ExportOptions,
    monitor: Monitor,
) -> DryRunResult:
    """Return the figures of an export. Raises UsageError, MediaError, Interrupted.

    `scope` need not be the remembered one.
    """
    for target in targets:
        check_disk(target)
    check_targets(targets, scope.items)
    kept = current_set(home)
    if options.again or kept is None or kept.state.items != scope.items:
        kept = None
    elif kept.state.status == "finished":
        monitor.notice("an export of these paths is finished: without --again it would do nothing")
        kept = None
    else:
        monitor.notice(
            "an export of these paths was begun: its data that already lies on disks is counted here again"
        )
    own = own_folders(home, home.identity.address) | {identity_of(target) for target in targets}
    rooms = [(target, _room(target, kept, options.use_at_most, monitor)) for target in targets]
    found = DryRunResult(scope.items, rooms)
    linked: set[tuple[int, int]] = set()
    for met in Walk(scope.items, scope.rules(own), monitor):
        if monitor.stopping():
            raise Interrupted(2)
        entry = CatalogEntry(*met.looked)
        found.entries += 1
        if entry.type != FILE:
            continue
        found.files += 1
        if entry.links == 1 or (entry.device, entry.inode) not in linked:
            size = to_read(met, home.chunking.small_file_max)
            found.file_bytes += size
            monitor.progress(done=size, files=1)
        if entry.links > 1:
            linked.add((entry.device, entry.inode))
    return found


def _room(target: Path, kept: KeptSet | None, use_at_most: int | None, monitor: Monitor) -> int:
    with LocalStore.open(str(target), read_only=True) as store:
        free = store.free_bytes()
    if use_at_most is None:
        return free
    number = number_at(target, kept.state.set) if kept is not None else None
    used = (
        sum(s.archive.size for s in read_journal(kept, number, monitor))
        if kept is not None and number is not None
        else 0
    )
    return max(min(free, use_at_most - used), 0)
