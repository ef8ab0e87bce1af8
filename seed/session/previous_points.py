"""The points before a new one, and the parts of them on which the run may build."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from formats.errors import FormatError, IntegrityError, MediaError, StoreError, damage_aside
from formats.keyed.catalog import CatalogEntry, PageRow
from formats.monitor import Finding, Monitor
from formats.rules.replacements import Stock
from formats.store.contract import Store
from formats.tables.needs import Buckets
from seed.pipeline.remembered_contents import ContentsByCatalog, ContentsByHome, RememberedContents
from seed.points import previous_rows as basis
from seed.points.layered_store import LayeredStore
from seed.points.point_reader import PointReader
from seed.points.points import Point, needed_of
from seed.session.cache_rebuild import rebuild
from seed.session.further_archives import staying
from seed.session.reusable import Reusable
from seed.session.reuse import SAMPLE, SAMPLE_REBUILT, Available, reusable
from seed.session.session import Session

FULLER = 7  # whole points before the last one in which to look for a much fuller one


@dataclass(frozen=True)
class PreviousPoints:
    """The points before a new one, and the parts of them and of others that may be reused.

    `contents` knows the places of small files. `points` are all the points of this machine. `vault` is the
    vault, if it is reached.
    """

    readers: tuple[PointReader, ...] = ()
    reuse: Reusable = field(default_factory=Reusable)
    contents: RememberedContents | None = None
    points: tuple[Point, ...] = ()
    vault: Store | None = None

    @classmethod
    def of(cls, session: Session, *, further: bool = True) -> "PreviousPoints":
        """Return the points on which this run may build: the last ones, and with `further` also others."""
        found = session.points()
        if found:  # another home of this machine, or the machine before, may have made the newest
            session.home.spend(found[-1].manifest.sequence, found[-1].digest)
        readers = tuple(_last(session, found))
        if not readers:
            return cls(points=tuple(found), vault=session.vault)
        sample = SAMPLE_REBUILT if rebuild(readers, session.kept, session.vault, session.cache) else SAMPLE
        available = Available.of(session, found)
        stay = staying(session.home, found, session.kept_of, _judging(session.own, available.stock))
        reuse = reusable(session, readers, stay, available, sample=sample, further=further)
        if not further:
            return cls(readers, reuse, ContentsByCatalog(readers), tuple(found), session.vault)
        path = session.home.path / "contents"
        sealer = readers[0].sealer
        contents = ContentsByHome(path, sealer, stay, reuse.catalogs, session.own, session.monitor)
        return cls(readers, reuse, contents, tuple(found), session.vault)

    def rows(self, monitor: Monitor) -> Iterator[tuple[CatalogEntry, basis.Origin]]:
        """Yield the catalogs of these points as one.

        An unreadable one ends early, and its further files are read anew.
        """
        rows: Iterator[tuple[CatalogEntry, basis.Origin]] = iter(())
        for reader in self.readers:
            rows = basis.over(rows, basis.of_segments(_readable(reader, monitor)))
        return rows


def _judging(union: LayeredStore, stock: Stock) -> Callable[[Point], bool]:
    """Return a function that tells whether the vault has all needs of a point."""
    buckets: Buckets = {}

    def is_complete(point: Point) -> bool:
        with damage_aside():
            return all(stock.lacking(need) is None for need in needed_of(union, point, buckets))
        return False

    return is_complete


def _last(session: Session, found: Sequence[Point]) -> list[PointReader]:
    """Return readers of the points that a run follows.

    The row of a later reader replaces that of an earlier one. First comes a point that is much fuller than
    the last, because the source may have been away at the last. Then come the last point of the usual items,
    the last whole point, and the partial points after it. If the need list of a whole point is damaged, the
    point before it is taken.
    """
    rest, whole, partial = [*found], list[PointReader](), list[PointReader]()
    while rest and not whole:
        point = rest.pop()
        with damage_aside():  # reported when the need lists of all points are read
            kind = partial if point.manifest.point_kind == "partial" else whole
            kind.insert(0, PointReader(session.own, point, session.monitor))
    earlier = [point for point in rest if point.manifest.point_kind != "partial"]
    least = 2 * whole[0].point.manifest.totals.files if whole else 0
    fuller = [point for point in earlier[-FULLER:] if point.manifest.totals.files > least][-1:]
    usual = [p for p in earlier if p.manifest.point == session.home.state.usual and p not in fuller]
    before = list[PointReader]()
    for point in (*fuller, *usual) if whole else ():
        with damage_aside():
            before.append(PointReader(session.own, point, session.monitor))
    return [*before, *whole, *partial]


def _readable(reader: PointReader, monitor: Monitor) -> Iterator[tuple[PageRow, list[CatalogEntry]]]:
    try:
        yield from reader.segments()
    except (FormatError, IntegrityError, StoreError, MediaError) as error:
        subject = f"catalog of point {reader.point.manifest.point[:8]}"
        detail = f"{error.what}; files that it lists from there on are read again"
        monitor.finding(Finding(code=error.code, subject=subject, detail=detail))
