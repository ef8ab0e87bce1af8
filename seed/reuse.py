"""What of earlier recovery points a run may build upon, judged before it is believed (PROTOCOL 10).

An archive may be reused if the vault lists it at its right size, or if it is promised: it lies on a disk of a finished
set that has not come to the vault yet. Of what the vault holds, some records are fetched and opened, more of them where
the home had lost what it knew. What is neither there nor promised is lost: what lay in it is read and sent again.
"""

import secrets
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_

from formats import layout
from formats.documents.disk import SetDocument
from formats.errors import FormatError, IntegrityError, NotFoundError
from formats.ids import ArchiveName
from formats.keyed.chunk import ChunkSealer
from formats.monitor import Finding, Monitor
from formats.replaced import Stock, index_objects, joined, sections, translated, unheld
from formats.standing import awaited
from formats.store.contract import Store
from formats.tables.needs import Need
from formats.tables.sections import Section
from seed.disk import read_journal
from seed.disk_sets import KeptSet, kept_sets
from seed.home import Home
from seed.point_reader import PointReader
from seed.reading import Point, Union, needed_of
from seed.standing import sets_behind

SAMPLE, SAMPLE_REBUILT = 16, 64  # records


Needed = dict[ArchiveName, tuple[Need, Section | None]]


@dataclass(frozen=True)
class Reusable:
    """The archives that may be reused: those that are there, then the `promised` ones, which are not yet."""

    needs: tuple[Need, ...] = ()
    sections: tuple[Section, ...] = ()
    promised: frozenset[ArchiveName] = frozenset()


def reusable(
    home: Home,
    readers: Sequence[PointReader],
    points: Sequence[Point],
    vault: Store,
    stock: Stock,
    union: Union,
    monitor: Monitor,
    *,
    sample: int = SAMPLE,
) -> Reusable:
    """What of the points of `readers` may be reused; `points` are all that this machine has, `stock` is what the vault holds. What is
    lost is a finding.
    Disks that the vault has received are noted in the home. `sample` records are fetched and opened.

    Raises StoreError, MediaError where the vault does not answer.
    """
    if not readers:
        return Reusable()
    archives: Needed = {}
    for reader in readers:
        for need, section in zip(reader.needs, reader.sections, strict=True):
            archives.setdefault(need.archive.name, (need, section))
    archives = _as_held(archives, stock, vault)
    there = {name for name, (need, _) in archives.items() if stock.holds(need.archive)}
    coming = set(_promised(home, points, vault, union, monitor)) - there
    known = {n: (need, s) for n, (need, s) in archives.items() if s is not None}
    held = [s for n, (_, s) in known.items() if n in there]
    bad = _untrue(readers[0].sealer, vault, held, sample, monitor)
    lost = archives.keys() - ((known.keys() & (there | coming)) - bad) - set(given_up(home, monitor))
    lost |= {need.archive.name for reader in readers for need in reader.unheld}
    if lost:
        detail = (
            f"the vault has lost {len(lost):,} of the {len(archives):,} archives that the last points need, or holds them "
            "damaged; what lay in them is read and sent again"
        )
        monitor.finding(Finding(code="vault-lost", subject=vault.address, detail=detail))
    kept = [known[n] for n in known if n in there - bad] + [known[n] for n in known if n in coming]
    return Reusable(tuple(n for n, _ in kept), tuple(s for _, s in kept), frozenset(known.keys() & coming))


def _as_held(archives: Needed, stock: Stock, vault: Store) -> Needed:
    """The same by the archives that stand in, where these alone are in the vault: of a catalog the home may have the old one."""
    gone = [
        need
        for need, _ in archives.values()
        if not stock.holds(need.archive) and stock.stand_ins(need.archive) and stock.lacking(need) is None
    ]
    if not gone:
        return archives
    found, _ = sections(index_objects(vault), {by for need in gone for by in stock.stand_ins(need.archive)})
    held = {name: item for name, item in archives.items() if item[0] not in gone}
    for old in gone:
        stand_ins, index = stock.stand_ins(old.archive), archives[old.archive.name][1]
        others = [found[by.name] for by in stand_ins if by.name in found]
        said = reduce(or_, stand_ins.values())
        if index and len(others) == len(stand_ins) and unheld(old, index, said, others):
            held[old.archive.name] = old, index  # whoever says that they hold it errs: it is lost
            continue
        for by, bits in stand_ins.items():
            if (section := found.get(by.name)) is not None:
                need = translated(old, index, bits, section)
                before = [held[by.name][0]] if by.name in held else []
                held[by.name] = (joined([*before, need])[0], section)
    return held


def _promised(
    home: Home, points: Sequence[Point], vault: Store, union: Union, monitor: Monitor
) -> Iterator[ArchiveName]:
    """The archives on disks that did not come: by the home's journals; of a set that this home does not know, all that
    its point needs, unless all its disks have come."""
    kept = {k.state.set: k for k in kept_sets(home)}
    known = {point.manifest.point: point for point in points}
    for document in sets_behind(union, points):
        waiting = awaited([vault], document)
        if document.set in kept:
            yield from _on_its_way(kept[document.set], document, waiting, monitor)
        elif waiting and (point := known.get(document.point)) is not None:
            yield from (need.archive.name for need in needed_of(union, point))


def _on_its_way(
    kept: KeptSet, document: SetDocument, waiting: Collection[int], monitor: Monitor
) -> Iterator[ArchiveName]:
    """The archives of a set on disks that never came: what has come once, and may be erased, is promised by nobody."""
    numbers = {disk.number for disk in document.disks}
    for disk in kept.state.disks:
        if disk.number not in numbers:
            continue
        if disk.number not in waiting and not disk.arrived:
            kept.know(replace(disk, arrived=True))
        elif not disk.arrived and not disk.dropped:
            yield from (section.archive.name for section in read_journal(kept, disk.number, monitor))


def given_up(home: Home, monitor: Monitor) -> Iterator[ArchiveName]:
    """The archives on disks that their owner gave up."""
    for kept in kept_sets(home):
        for disk in kept.state.disks:
            if disk.dropped:
                yield from (section.archive.name for section in read_journal(kept, disk.number, monitor))


def _untrue(
    sealer: ChunkSealer, vault: Store, sections: Sequence[Section], sample: int, monitor: Monitor
) -> set[ArchiveName]:
    """The archives of which a record that was asked for is not what it should be; then further ones are asked for."""
    bad: set[ArchiveName] = set()
    good = list(sections)
    left = sample
    while left and good:
        section = secrets.choice(good)
        row = secrets.choice(section.rows("sample"))
        name = layout.archive_name(section.archive.name)
        try:
            sealer.open(row.kind, row.chunk, vault.get(name, row.offset, row.length), name)
            left -= 1
        except (FormatError, IntegrityError, NotFoundError) as error:
            monitor.finding(Finding(code=error.code, subject=f"{vault.address}/{name}", detail=error.what))
            bad.add(section.archive.name)
            good.remove(section)
            left = sample
    return bad
