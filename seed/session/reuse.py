"""The archives of earlier recovery points that a run may build upon, judged before use (PROTOCOL 10).

An archive may be reused if the vault lists it at its right size, or if it is promised. A promised archive
lies on a disk of a finished set that has not come to the vault yet. Some records of the archives in the vault
are fetched and opened; more of them if the home had lost its knowledge. An archive that is neither there nor
promised is lost: its files are read and sent again.
"""

import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

from formats import layout
from formats.errors import FormatError, IntegrityError, NotFoundError
from formats.ids import ArchiveName
from formats.keyed.chunk import ChunkSealer
from formats.monitor import Finding
from formats.rules.replacements import Stock, joined, translated, unheld
from formats.store.checked import is_whole
from formats.store.contract import Store
from formats.tables.holdings import Holding
from formats.tables.needs import Need
from formats.tables.sections import Section
from seed.home.broken_records import found_broken
from seed.points.layered_store import LayeredStore
from seed.points.point_reader import PointReader
from seed.points.points import Point
from seed.session.awaited_archives import given_up, promised
from seed.session.further_archives import Cached, FurtherArchives
from seed.session.reusable import Reusable
from seed.session.session import Session

SAMPLE, SAMPLE_REBUILT = 16, 64  # records


Needed = dict[ArchiveName, tuple[Need, Section | None]]


@dataclass(frozen=True)
class Available:
    """The archives that the vault holds, and the names of those that disks will bring."""

    stock: Stock
    coming: frozenset[ArchiveName]

    @classmethod
    def of(cls, session: Session, points: Sequence[Point]) -> "Available":
        """Return the archives behind all `points` of this machine. The home notes the disks that came.

        Raises StoreError.
        """
        behind = session.home, points, session.vault, session.own, session.monitor
        stock, found, gone = session.stock(), list(promised(*behind)), session.own.condemned
        stock = stock.without(name for name, in_post in found if in_post)
        return cls(stock, frozenset(name for name, _ in found if layout.archive_name(name) not in gone))


def reusable(
    session: Session,
    readers: Sequence[PointReader],
    stay: Sequence[Point],
    available: Available,
    *,
    sample: int = SAMPLE,
    further: bool = True,
) -> Reusable:
    """Return the archives that may be reused, among those that the points in `stay` need.

    They are the archives of `readers`, the last points, and `further` ones if these are asked for. A lost
    archive of the last points is a finding. `sample` records are fetched and opened.

    Raises StoreError, MediaError if the vault does not answer.
    """
    vault, monitor, gone = session.vault, session.monitor, session.own.condemned
    cached = Cached(session.kept, LayeredStore([vault]), session.cache, monitor)
    last: Needed = {}
    for reader in readers:
        for need, section in zip(reader.needs, reader.sections, strict=True):
            last.setdefault(need.archive.name, (need, section))
    holdings = {holding.name: holding for holding in cached.holdings(stay)}
    wanted = {**holdings, **{name: need.archive for name, (need, _) in last.items()}}
    abandoned, stock = set(given_up(session.home, monitor)), available.stock
    stock = stock.without(_not_whole(vault, abandoned, wanted, stock))
    last = _as_held(last, stock, cached)
    ground = dict(_ground(holdings.values(), stock, available.coming))
    last = {name: item for name, item in last.items() if name in ground or name in holdings}
    known = {n: (need, s) for n, (need, s) in last.items() if s is not None and n in ground}
    broken = {need.archive.name for need in found_broken(session.home)}
    left = [a for n, a in ground.items() if n not in last and n not in broken] if further else []
    others = cached.further(left)
    here = [
        a.name for a in ground.values() if stock.holds(a) and (a.name in known or a.name in others.places)
    ]
    bad = untrue(session, here, known, others, sample)
    lost = last.keys() - (known.keys() - bad) - abandoned
    lost = {name for name in lost if layout.archive_name(name) not in gone}
    lost |= {need.archive.name for reader in readers for need in reader.unheld}
    if lost:
        detail = (
            f"the vault has lost {len(lost):,} of the {len(last):,} archives that the last points need, or holds them "
            "damaged; what lay in them is read and sent again"
        )
        monitor.finding(Finding(code="vault-lost", subject=vault.address, detail=detail))
    kept = sorted(
        (item for name, item in known.items() if name not in bad),
        key=lambda item: not stock.holds(item[0].archive),
    )
    awaited = frozenset(a.name for a in ground.values() if not stock.holds(a))
    return Reusable(tuple(n for n, _ in kept), tuple(s for _, s in kept), awaited, others.without(bad))


def _not_whole(
    vault: Store, names: Iterable[ArchiveName], wanted: Mapping[ArchiveName, Holding], stock: Stock
) -> Iterator[ArchiveName]:
    """Yield the archives of given-up disks that the vault lists, although their bytes are somebody's junk.

    Such a disk brought nothing.
    """
    for name in names:
        if name in wanted and stock.holds(wanted[name]) and not is_whole(vault, layout.archive_name(name)):
            yield name


def _ground(
    needed: Iterable[Holding], stock: Stock, coming: Collection[ArchiveName]
) -> Iterator[tuple[ArchiveName, Holding]]:
    """Yield the `needed` archives that are there or promised, and the replacements of those not there."""
    for archive in needed:
        if stock.holds(archive) or archive.name in coming:
            yield archive.name, archive
        if not stock.holds(archive):
            yield from ((by.name, by) for by in stock.stand_ins(archive))


def _as_held(archives: Needed, stock: Stock, cached: Cached) -> Needed:
    """Return the needs by replacing archives, for archives that only these hold in the vault.

    Of a catalog, the home may still have the old archive.
    """
    gone = [
        need
        for need, _ in archives.values()
        if not stock.holds(need.archive) and stock.stand_ins(need.archive) and stock.lacking(need) is None
    ]
    if not gone:
        return archives
    wanted = {by for need in gone for by in stock.stand_ins(need.archive)}
    found = {s.archive.name: s for _, sections in cached.indexes(wanted) for s in sections}
    held = {name: item for name, item in archives.items() if item[0] not in gone}
    for old in gone:
        stand_ins, index = stock.stand_ins(old.archive), archives[old.archive.name][1]
        others = [found[by.name] for by in stand_ins if by.name in found]
        said = reduce(or_, stand_ins.values())
        if index and len(others) == len(stand_ins) and unheld(old, index, said, others):
            held[old.archive.name] = old, index  # the replacement claims too much: the archive is lost
            continue
        for by, bits in stand_ins.items():
            if (section := found.get(by.name)) is not None:
                need = translated(old, index, bits, section)
                before = [held[by.name][0]] if by.name in held else []
                held[by.name] = (joined([*before, need])[0], section)
    return held


def untrue(
    session: Session,
    archives: Iterable[ArchiveName],
    known: Mapping[ArchiveName, tuple[Need, Section]],
    further: FurtherArchives,
    sample: int,
) -> set[ArchiveName]:
    """Return those of the `archives` with a wrong record in the sample.

    After a wrong record, the sample begins anew among the other archives.
    """
    sealer, vault = ChunkSealer(session.home.identity.master), session.vault
    bad: set[ArchiveName] = set()
    good = [*archives]
    left = sample
    while left and good:
        chosen = secrets.choice(good)
        section = known[chosen][1] if chosen in known else further.section(chosen)
        row = secrets.choice(section.rows("sample"))
        name = layout.archive_name(chosen)
        try:
            sealer.open(row.kind, row.chunk, vault.get(name, row.offset, row.length), name)
            left -= 1
        except (FormatError, IntegrityError, NotFoundError) as error:
            subject = f"{vault.address}/{name}"
            session.monitor.finding(Finding(code=error.code, subject=subject, detail=error.what))
            bad.add(chosen)
            good.remove(chosen)
            left = sample
    return bad
