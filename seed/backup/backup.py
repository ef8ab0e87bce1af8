"""The backup over the network: it sends the changes since the last recovery point into the vault.

The order of writes:

    further revisions of older points      for points with lost files that are back;
    content archives                       durable in the vault, a few at a time, and journalled in the home;
    metadata archives, index objects,      in the home's cache, then in the vault;
        need list
    the manifest, in the home              its sequence number counts as used from here on;
    the manifest, in the vault             from here on the point exists.

After a stopped run, the next run continues. It uses the journalled rows and the archives that were sent. If
only the home has a manifest, the next run that reaches the vault puts it there. Every hour a run puts a
partial point of the files that it has read. This pins the sent archives, so a run that lost its home
continues from there.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from itertools import chain

from formats.documents.manifest import Manifest
from formats.errors import Interrupted, OffseedError, UsageError
from formats.ids import HexDigest, PointId, hex_digest, random_id
from formats.keyed.chunk import LEVEL
from formats.keyed.root import Doubt
from formats.monitor import Monitor
from formats.store.clock import Clock
from formats.store.contract import Store
from formats.tables.archive import CONTENT_CLASS, METADATA_CLASS
from formats.tables.sections import Section
from seed.backup.chunk_sizes import choose_chunk_sizes
from seed.backup.doubting import DoubtCheck
from seed.backup.scan_totals import Measuring
from seed.home.disk_sets import current_set
from seed.home.home import Home, LeftOut
from seed.home.items import Scope, check_any_there, check_home_room, choose_scope, own_folders
from seed.pipeline.catalog_writer import CatalogResult
from seed.pipeline.known_chunks import KnownChunks
from seed.pipeline.packing import METADATA_SIZE, BufferPool, OpenArchives, Packer
from seed.pipeline.pipeline import EarlierWork, Pipeline, PipelineOptions
from seed.pipeline.small_file_worker import small_file_workers
from seed.points import previous_rows as basis
from seed.revision.recovered_files import TakenBack, take_back
from seed.session.new_manifest import describe, sign_manifest
from seed.session.previous_points import PreviousPoints
from seed.session.session import ChangedError, Session
from seed.source.system import FoundEntry, Walk
from seed.targets.vault_upload import ARCHIVE_SIZE, BUFFERS

PARTIAL_EVERY = 3600.0  # seconds between two partial points
AGAIN = 10  # times that a run starts anew without condemned archives on which it built


@dataclass(frozen=True)
class BackupOptions:
    """Options of a backup.

    Set `ignore_inode` if a file system gives the same file other numbers each time.
    """

    ignore_inode: bool = False
    level: int = LEVEL


@dataclass(frozen=True)
class BackupResult:
    """The result of a backup.

    It holds the manifest, and counts the archives that wait for disks and the archives that were sent. It
    also holds the doubts about the point, and the files of earlier points that were taken back.
    """

    manifest: Manifest
    digest: HexDigest
    promised: int
    archives: int
    archive_bytes: int
    doubts: tuple[Doubt, ...] = ()
    taken_back: tuple[TakenBack, ...] = ()


def prepare(home: Home, paths: Sequence[str], left_out: LeftOut, monitor: Monitor, *, once: bool) -> Scope:
    """Return the scope of a backup of `paths`, or of the remembered items. Check it before the backup begins.

    Remember the scope, except with `once`. Raises UsageError, HomeError.
    """
    _check_seeded(home)
    scope = choose_scope(home, paths, left_out, once=once)
    check_any_there(scope.items)
    check_home_room(home, scope.items, monitor)
    scope.remember(home, monitor)
    return scope


def _check_seeded(home: Home) -> None:
    """Raise UsageError export-unfinished if an export still writes the disks that bring the first point."""
    kept = current_set(home) if home.state.sequence == 0 else None
    if kept is not None and kept.state.status == "open" and (kept.state.written or kept.state.given_back):
        raise UsageError(
            "export-unfinished",
            "the first export is not finished, and until it is a backup would send everything over the network",
            subject=f"set {kept.state.set[:8]}",
            hint="finish it by the same `seed export`; or give it up by `seed set abandon`, and back up over the network",
        )


def backup(home: Home, scope: Scope, vault: Store, options: BackupOptions, monitor: Monitor) -> BackupResult:
    """Put a new recovery point of the prepared scope into the vault. The caller has locked the home.

    Raises UsageError, HomeError, VaultError, StoreError, MediaError, Interrupted. The same call continues
    where it ended.
    """
    catalogs: list[Section] = []
    for _ in range(AGAIN):
        with suppress(ChangedError), Session.open(home, vault, monitor) as session:
            return back_up(session, scope, options, catalogs)
    with Session.open(home, vault, monitor) as session:
        return back_up(session, scope, options, catalogs)


def back_up(
    session: Session, scope: Scope, options: BackupOptions, catalogs: list[Section] | None = None
) -> BackupResult:
    """Put a new recovery point of `scope`.

    If archives on which the run builds are condemned, the sealed parts of its catalog stay in `catalogs`. The
    next run with the same `catalogs` continues from there. Raises as `backup`, and ChangedError.
    """
    home = session.home
    session.settle()
    if catalogs is not None:
        session.take_up(catalogs)
    before = PreviousPoints.of(session)
    if taken_back := take_back(session, before.points, options.level):
        before = PreviousPoints.of(session)
    walk = Walk(scope.items, scope.rules(own_folders(home, session.vault.address)), session.monitor)
    doubting = DoubtCheck(home, scope, session.own, before.points, session.monitor)
    catalogued = _read(session, before, walk, options)
    doubts = doubting.judge(catalogued.held)
    backed = _commit(session, before, catalogued, "incremental", doubts)
    doubting.remember(backed.manifest.point, doubts)
    if not scope.once:  # the work of a stopped run of the usual items stays
        home.save_state(replace(home.state, usual=backed.manifest.point))
        session.forget()
    return replace(backed, taken_back=taken_back)


def _read(session: Session, before: PreviousPoints, walk: Walk, options: BackupOptions) -> CatalogResult:
    """Read the changes and send them. The finished work stays, however the run ends."""
    identity, monitor, key_id = session.home.identity, session.monitor, session.home.identity.master.key_id
    choose_chunk_sizes(session.home, walk, monitor)
    with ExitStack() as stack:
        workers = stack.enter_context(
            small_file_workers(identity.master, options.level, session.home.chunking.bundle_size)
        )
        known = KnownChunks()
        with session.ground():
            known.add_sections(
                chain(before.reuse.all_sections(), session.uplink.sections, session.cache.sections)
            )
        archives = OpenArchives(
            Packer(BufferPool(ARCHIVE_SIZE, BUFFERS), session.uplink, CONTENT_CLASS, key_id),
            Packer(BufferPool(METADATA_SIZE, 2), session.cache, METADATA_CLASS, key_id),
        )
        rows, journal = basis.begin(session.folder, before.rows(monitor))
        earlier = EarlierWork(known, rows, journal, before.contents)
        how = PipelineOptions(walk.roots, options.level, options.ignore_inode)
        run = Pipeline(session.home, workers, earlier, archives, how, monitor)
        stack.callback(run.close)

        def so_far() -> None:
            catalogued = run.so_far()
            session.uplink.drain()
            _commit(session, before, catalogued, "partial")

        stack.enter_context(Measuring(walk, monitor, session.home.clock))
        try:
            run.read(_now_and_then(walk, so_far, session.home.clock))
            catalogued = run.finish()
            session.uplink.drain()
        except Exception as error:
            with suppress(OffseedError):  # report only the first error
                run.checkpoint()
                if isinstance(error, Interrupted):
                    run.flush()
                    session.uplink.drain()
            raise
    return catalogued


def _now_and_then(
    walk: Iterable[FoundEntry], action: Callable[[], None], clock: Clock
) -> Iterator[FoundEntry]:
    """Yield the entries of the walk. Call `action` every hour, between two entries."""
    due = clock.elapsed() + PARTIAL_EVERY
    for found in walk:
        if clock.elapsed() > due:
            action()
            due = clock.elapsed() + PARTIAL_EVERY
        yield found


def _commit(
    session: Session,
    before: PreviousPoints,
    catalogued: CatalogResult,
    kind: str,
    doubts: Sequence[Doubt] = (),
) -> BackupResult:
    """Write from the catalog to the manifest in the vault, in the order above. Raises as `Session.publish`."""
    home, cache = session.home, session.cache
    sections = (*before.reuse.sections, *session.uplink.sections, *cache.sections)
    needs = (*before.reuse.needs, *session.described)
    with session.ground():
        described = describe(sections, catalogued, needs, session.own.condemned, before.reuse.further)
    signed = sign_manifest(home, described, point=PointId(random_id()), kind=kind, doubts=doubts)
    manifest = session.publish(described, signed, before.reuse.promised)
    home.save_state(replace(home.state, acknowledged=hex_digest(signed)))
    session.described = described.needed
    promised = len(described.archives & before.reuse.promised)
    new = [
        s.archive for s in (*session.uplink.sections, *cache.sections) if s.archive.name in described.archives
    ]
    return BackupResult(
        manifest, hex_digest(signed), promised, len(new), sum(a.size for a in new), tuple(doubts)
    )
