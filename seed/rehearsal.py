"""`--dry-run`: what an export would do, by the same walk, without writing a byte."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from formats.errors import Interrupted
from formats.keyed.catalog import FILE
from formats.monitor import Monitor
from formats.store.local import LocalStore
from seed.disk import check_disk
from seed.export import Options
from seed.home import Home
from seed.items import check_targets, choose_scope, identity_of
from seed.source.system import Walk


@dataclass
class Rehearsed:
    """What would be read, and the bytes that each disk may take."""

    items: tuple[bytes, ...]
    rooms: list[tuple[Path, int]]
    entries: int = 0
    files: int = 0
    file_bytes: int = 0

    @property
    def lacking(self) -> int:
        """How many bytes too many there are, if nothing can be compressed."""
        return max(self.file_bytes - sum(room for _, room in self.rooms), 0)


def rehearse(
    home: Home,
    paths: Sequence[str],
    targets: Sequence[Path],
    options: Options,
    monitor: Monitor,
) -> Rehearsed:
    """Raises UsageError, MediaError, Interrupted. `paths` need not be those that are remembered."""
    for target in targets:
        check_disk(target)
    scope = choose_scope(home, paths, options.left_out, once=True)
    check_targets(targets, scope.items)
    own = {identity_of(path) for path in (home.path, *targets)}
    found = Rehearsed(scope.items, [(target, _room(target, options.use_at_most)) for target in targets])
    linked: set[tuple[int, int]] = set()
    for met in Walk(scope.items, scope.rules(own), monitor):
        if monitor.stopping():
            raise Interrupted(2)
        entry = met.entry
        found.entries += 1
        if entry.type != FILE:
            continue
        found.files += 1
        if entry.links == 1 or (entry.device, entry.inode) not in linked:
            found.file_bytes += entry.size
            monitor.progress(done=entry.size, files=1)
        if entry.links > 1:
            linked.add((entry.device, entry.inode))
    return found


def _room(target: Path, use_at_most: int | None) -> int:
    with LocalStore.open(str(target), read_only=True) as store:
        free = store.free_bytes()
        return free if use_at_most is None else min(free, use_at_most)
