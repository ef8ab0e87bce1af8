"""The archives on disks that did not come to the vault yet, by the home's journals."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from formats.documents.disk import SetDocument
from formats.ids import ArchiveName
from formats.monitor import Monitor
from formats.rules.completeness import awaited
from formats.store.contract import Store
from formats.tables.archive import CONTENT_CLASS
from formats.tables.holdings import Holding
from seed.home.disk_sets import KeptSet, kept_sets
from seed.home.home import Home
from seed.points.completeness import sets_behind
from seed.points.layered_store import LayeredStore
from seed.points.points import Point, needed_of
from seed.targets.disk_writer import read_journal


def promised(
    home: Home, points: Sequence[Point], vault: Store, union: LayeredStore, monitor: Monitor
) -> Iterator[tuple[ArchiveName, bool]]:
    """Yield the archives on disks that did not come, by the home's journals, and whether each is in the post.

    Those in the post have content, and this home wrote them: the vault can hold none of them, even if it
    lists such a name. For a set that this home does not know, all archives that its point needs are yielded,
    unless all its disks have come. Raises StoreError.
    """
    known = {point.manifest.point: point for point in points}
    kept_here = {kept.state.set: kept for kept in kept_sets(home)}
    came = home.identity.came_to(vault)
    for document in sets_behind(union, points):
        waiting = awaited(document, came)
        if (kept := kept_here.get(document.set)) is not None:
            for archive in _on_its_way(kept, document, waiting, monitor):
                yield archive.name, archive.archive_class == CONTENT_CLASS
        elif waiting and (point := known.get(document.point)) is not None:
            yield from ((need.archive.name, False) for need in needed_of(union, point))


def _on_its_way(
    kept: KeptSet, document: SetDocument, waiting: Collection[int], monitor: Monitor
) -> Iterator[Holding]:
    """Yield the archives of a set on disks that never came.

    A disk that has come once may be erased, so its archives are promised no longer.
    """
    numbers = {disk.number for disk in document.disks}
    for disk in kept.state.disks:
        if disk.number not in numbers:
            continue
        if disk.number not in waiting and not disk.arrived:
            kept.know(replace(disk, arrived=True))
        elif not disk.arrived and not disk.dropped:
            yield from (section.archive for section in read_journal(kept, disk.number, monitor))


def given_up(home: Home, monitor: Monitor) -> Iterator[ArchiveName]:
    """Yield the archives on disks that their owner gave up."""
    for kept in kept_sets(home):
        for disk in kept.state.disks:
            if disk.dropped:
                yield from (section.archive.name for section in read_journal(kept, disk.number, monitor))
