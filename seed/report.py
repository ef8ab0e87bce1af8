"""The report of a server: its points and their sizes, its disks, its jobs.

The facts come from its home, and from the vault if that is reached.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress

from formats.documents.custody import Custody
from formats.errors import FormatError, IntegrityError, MediaError, StoreError
from formats.ids import ArchiveName
from formats.monitor import Monitor, Tally
from formats.rules.completeness import Completeness, awaited
from formats.rules.replacements import Stock
from formats.rules.retention import read_kept
from formats.shell.jobs.listing import jobs
from formats.shell.reports import sections
from formats.shell.reports.facts import DiskFact, JobFact, PointFact, ReportPage, new_bytes, state_of
from formats.shell.reports.page import page
from formats.store.contract import Store
from formats.store.local import LocalStore
from formats.tables.needs import Need
from formats.words import counted, moment, size
from seed.disks.custody import AWAITED, history, steps_of, whereabouts
from seed.home.disk_sets import DiskState, KeptSet, kept_sets
from seed.home.doubt_records import UsualItems, shown
from seed.home.doubt_records import told as why
from seed.home.home import Home
from seed.points.completeness import standings
from seed.points.layered_store import LayeredStore, believed
from seed.points.machine_keys import own_machines
from seed.points.points import Point, needed_of, points
from seed.repair.want_list import still_wanted
from seed.targets.disk_writer import read_journal

ON_ITS_WAY = "on its way, as far as is known here"


def report(home: Home, vault: Store | None, now: int, monitor: Monitor) -> ReportPage:
    """Build the report. Raises StoreError."""
    told, identity = ReportPage(), home.identity
    with ExitStack() as stack:
        union = LayeredStore([*_kept_stores(home, stack), *([vault] if vault is not None else [])])
        found = _points(home, union, vault, monitor)
        needed = [_needed(union, point) for point in found]
        stock = (
            LayeredStore([vault], believed(home)).stock(identity.master.key_id.hex())
            if vault is not None
            else None
        )
        told.points = list(_point_facts(found, needed, vault, stock))
    wanted = {name: need for names in needed for name, need in names.items()}
    for kept in kept_sets(home):
        told.disks += _disk_facts(home, kept, vault, stock, wanted, monitor)
        if kept.state.status == "open" and kept.state.written:
            told.waiting.append(f"set {kept.state.set[:8]} is not finished: run the same export again")
    told.waiting += [
        f"{shown(doubt)} is doubted: {why(doubt)}; if it is right: `seed items confirm`"
        for doubt in UsualItems.of(home).doubts
    ]
    if vault is None:
        told.waiting.append("the vault was not reached: what it lacks is not known here")
    elif lost := still_wanted(home, vault, monitor):
        told.waiting.append(
            f"{counted(lost, 'record')} that the vault lost, or got damaged: run `seed repair`"
        )
    told.jobs = [
        JobFact(
            j.kind,
            j.began,
            j.seconds if j.ended else None,
            j.state,
            j.read,
            j.findings,
            (j.error or {}).get("what", ""),
        )
        for j in jobs(home.path)
    ]
    told.html = _page(home, vault, now, told)
    return told


def _kept_stores(home: Home, stack: ExitStack) -> Iterator[Store]:
    """Yield the stores of the home that hold catalogs and need lists."""
    folders = [
        home.path / "cache",
        *(kept.cache for kept in kept_sets(home) if kept.state.status == "finished"),
    ]
    for folder in folders:
        if folder.is_dir():
            store = LocalStore.open(str(folder), read_only=True)
            stack.callback(store.close)
            yield store


def _points(home: Home, union: LayeredStore, vault: Store | None, monitor: Monitor) -> list[Point]:
    machines = own_machines(home.identity, union.stores, monitor)
    expired = {
        point
        for machine in machines
        if vault is not None
        for point in read_kept(home.identity.view(vault), machine.machine, monitor).expired
    }
    return [p for p in points(union, machines, monitor) if p.manifest.point not in expired]


def _needed(union: LayeredStore, point: Point) -> dict[ArchiveName, Need]:
    """Return the archives that a point builds upon; none if its need list cannot be read."""
    with suppress(FormatError, IntegrityError, StoreError, MediaError):
        return {need.archive.name: need for need in needed_of(union, point)}
    return {}


def _point_facts(
    found: Sequence[Point],
    needed: Sequence[dict[ArchiveName, Need]],
    vault: Store | None,
    stock: Stock | None,
) -> Iterator[PointFact]:
    standing: dict[str, Completeness] = {}
    if vault is not None:
        standing = {p.digest: s for p, s in standings(LayeredStore([vault]), found, found)}
    for point, bytes_ in zip(found, new_bytes(needed, stock), strict=True):
        yield PointFact.of(point.manifest, bytes_, standing.get(point.digest))


def _disk_facts(
    home: Home,
    kept: KeptSet,
    vault: Store | None,
    stock: Stock | None,
    wanted: Mapping[ArchiveName, Need],
    monitor: Monitor,
) -> Iterator[DiskFact]:
    to_come: tuple[int, ...] = ()
    if vault is not None and kept.state.status == "finished":
        to_come = awaited(kept.document(), home.identity.came_to(vault))
    for disk in kept.state.disks:
        if disk.label is None:
            continue
        archives = [section.archive for section in read_journal(kept, disk.number, Tally())]
        steps = steps_of(home, kept, disk.number, vault, monitor)
        comes = disk.number in to_come or kept.state.status == "open"
        yield DiskFact(
            machine=home.identity.name,
            set=kept.state.set,
            number=disk.number,
            state=_words(kept, disk, None if vault is None else to_come, steps),
            bytes=sum(archive.size for archive in archives),
            speed=1000 * disk.write_bytes / disk.write_ms if disk.write_ms else None,
            history=tuple(history(home, kept, disk, steps)),
            archives=tuple(state_of(a, wanted.get(a.name), stock, comes=comes) for a in archives),
        )


def _words(kept: KeptSet, disk: DiskState, to_come: Collection[int] | None, steps: Sequence[Custody]) -> str:
    if kept.state.status == "abandoned":
        return "given up"
    if not disk.dropped and kept.state.status == "open":
        return "its export goes on"
    if not disk.dropped and to_come is None and not disk.arrived:
        return ON_ITS_WAY
    return whereabouts(disk, to_come, steps)


def _page(home: Home, vault: Store | None, now: int, told: ReportPage) -> str:
    last = max((p.created for p in told.points), default=0)
    newest = told.points[-1] if told.points else None
    cards = [
        ("newest point", moment(last)[:16] if last else "none"),
        ("recovery points", f"{len(told.points):,}"),
        ("in the newest", counted(newest.files, "file") if newest else ""),
        ("its size", size(newest.file_bytes) if newest else ""),
        ("stored for all", size(sum(p.new_bytes for p in told.points))),
        ("disks awaited", f"{sum(d.state in (AWAITED, ON_ITS_WAY) for d in told.disks):,}"),
    ]
    where = (
        "as the vault knows it"
        if vault is not None
        else "the vault was not reached: as this machine knows it"
    )
    return page(
        f"Backups of {home.identity.name}",
        f"for vault {home.identity.vault_name}; {moment(now)}, {where}",
        cards,
        sections.everything(told, "as it was written"),
    )
