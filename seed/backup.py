"""Backup: what changed since the last recovery point, over the network into the vault. The order of writes:

    content archives                       durable in the vault, a few at a time, and journalled in the home
    metadata archives, index objects,      in the home's cache, then in the vault
        need list
    the manifest, in the home              its sequence number is used from here on, whatever happens
    the manifest, in the vault             from here on the point exists

A run that was stopped is gone on with by the next: by the rows that it journalled, and by what it had sent. A manifest
that the home has and the vault has not is put there by the next run that reaches it. Every hour a run puts a partial
point of what it has read: so what was sent is pinned, and a run that lost its home goes on from there.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from formats import layout
from formats.documents import envelope
from formats.documents.manifest import Manifest
from formats.errors import (
    FormatError,
    IntegrityError,
    Interrupted,
    MediaError,
    NameHeldByOtherError,
    OffseedError,
    StoreError,
)
from formats.ids import HexDigest, PointId, hex_digest, random_id
from formats.keyed.catalog import Entry, PageRow
from formats.keyed.chunk import LEVEL
from formats.monitor import Finding, Monitor
from formats.store.contract import Store
from formats.store.local import LocalStore
from formats.tables.archive import CONTENT_CLASS, METADATA_CLASS
from formats.tables.needs import Need
from seed import basis
from seed.cataloguing import Catalogued
from seed.commit import settle_sequence
from seed.disk_sets import kept_sets
from seed.home import Home, LeftOut
from seed.items import Scope, check_home_room, check_there, choose_scope, own_folders
from seed.machines import check_not_replaced, own_machines
from seed.measuring import Measuring
from seed.new_point import Description, describe, sign_manifest
from seed.packing import METADATA_SIZE, BufferPool, Packer
from seed.placing import MetadataCache
from seed.reading import PointReader, Union, points
from seed.rebuilding import rebuild
from seed.register import put_request
from seed.reuse import SAMPLE, SAMPLE_REBUILT, Reusable, reusable
from seed.run import Run
from seed.sealing import Known
from seed.source.system import Found, Walk
from seed.uplink import Sink, Uplink

PARTIAL_EVERY = 3600.0  # seconds


@dataclass(frozen=True)
class Options:
    """What decides how a backup is made. `ignore_inode` where a file system gives the same file other numbers each time."""

    ignore_inode: bool = False
    level: int = LEVEL


@dataclass(frozen=True)
class Backed:
    """How a backup ended: its manifest, what of it waits for disks, and what was sent."""

    manifest: Manifest
    digest: HexDigest
    promised: int
    archives: int
    archive_bytes: int


def prepare(home: Home, paths: Sequence[str], left_out: LeftOut, monitor: Monitor, *, once: bool) -> Scope:
    """What a backup of `paths` (or the remembered items) takes, judged before it begins; remembered, but for `once`.

    Raises UsageError, HomeError.
    """
    scope = choose_scope(home, paths, left_out, once=once)
    check_there(scope.items)
    check_home_room(home, scope.items, monitor)
    scope.remember(home)
    return scope


def backup(home: Home, scope: Scope, vault: Store, options: Options, monitor: Monitor) -> Backed:
    """Put a new recovery point of what was prepared into the vault; the home is locked by the caller.

    Raises UsageError, HomeError, VaultError, StoreError, MediaError, Interrupted; the same call goes on where it ended.
    """
    with Work.open(home, vault, monitor) as work:
        return back_up(work, scope, options)


def back_up(work: "Work", scope: Scope, options: Options) -> Backed:
    """A new recovery point of `scope`. Raises as `backup`."""
    home = work.home
    work.settle()
    before = _Before.of(work)
    walk = Walk(scope.items, scope.rules(own_folders(home, work.vault.address)), work.monitor)
    catalogued = _read(work, before, walk, options)
    backed = _commit(work, before, catalogued, "incremental")
    if not scope.once:  # what a stopped run of the usual items has done stays
        home.save_state(replace(home.state, usual=backed.manifest.point))
        work.forget()
    return backed


@dataclass
class Work:
    """What all steps of a backup work on. `folder` holds what a stopped run has done, `kept` what the home knows of this
    machine's points, `own` all that is known of them: from the home, and what is not there from the vault."""

    home: Home
    vault: Store
    kept: Union
    own: Union
    cache: MetadataCache
    sink: Sink
    folder: Path
    monitor: Monitor
    described: tuple[Need, ...] = ()  # by a partial point of this run
    published: list[str] = field(default_factory=list)  # objects of this run, save archives

    @classmethod
    @contextmanager
    def open(cls, home: Home, vault: Store, monitor: Monitor, sink: Sink | None = None) -> Iterator["Work"]:
        """Content goes to `sink`, else over the network."""
        with ExitStack() as stack:
            yield cls._opened(home, vault, monitor, sink, stack)

    @classmethod
    def _opened(
        cls, home: Home, vault: Store, monitor: Monitor, sink: Sink | None, stack: ExitStack
    ) -> "Work":
        key_id = home.identity.master.key_id
        folder = home.path / "run"
        folder.mkdir(mode=0o700, exist_ok=True)
        cache = MetadataCache(home.path / "cache", home.identity.machine, key_id, take_up=False)
        stack.callback(cache.close)
        stores: list[Store] = [cache.store]
        for kept in kept_sets(home):
            if kept.state.status != "finished":
                continue  # it may never become a point
            store = LocalStore.open(str(kept.cache), read_only=True)
            stack.callback(store.close)
            stores.append(store)
        sink = sink or Uplink(vault, folder / "sent", monitor)
        stack.callback(sink.close)
        own = Union([*stores, vault])
        return cls(home, vault, Union(stores), own, cache, sink, folder, monitor)

    def settle(self) -> None:
        """Have the vault know what this machine has told it: a run was killed, or the vault was rolled back or made again."""
        put_request(self.vault, self.home.identity)
        settle_sequence(self.home)
        prefix = layout.manifest_prefix(self.home.identity.machine)
        there = {name for name, _ in self.vault.list(prefix)}
        missing = [name for name, _ in self.cache.store.list(prefix) if name not in there]
        for folder in ("archives", "indexes", "needs") if missing else ():
            for name, _ in self.cache.store.list(folder):
                self._put_again(name)
        for name in missing:
            if layout.is_name_of(name, self.home.state.acknowledged or HexDigest("")):
                detail = (
                    "the vault lists it no longer: it was rolled back, or has lost it; it is put there again"
                )
                self._find("vault-lost", f"{self.vault.address}/{name}", detail)
            self._put_again(name)

    def publish(self, described: Description, signed: bytes) -> Manifest:
        """From a new manifest's metadata to the manifest in the vault; `published` from then on.

        Raises VaultError machine-replaced where another machine took this one's place meanwhile.
        """
        check_not_replaced(self.home.identity, self.vault, self.monitor)
        for section in self.cache.sections:
            if section.archive.name in described.archives:
                name = layout.archive_name(section.archive.name)
                self.vault.put_new(name, self.cache.store.get(name))
        listed = dict(self.vault.list("needs"))  # most of a need list is that of the point before
        for name, data in described.objects.items():
            self.cache.put(name, data)
            if listed.get(name) != len(data):
                self.vault.put_new(name, data)
        manifest = envelope.read(signed, "manifest").peek(Manifest)
        found = hex_digest(signed)
        name = layout.numbered(layout.manifest_prefix(manifest.machine), manifest.sequence, found)
        self.home.spend(manifest.sequence, found)
        self.cache.put(name, signed)
        self.vault.put_new(name, signed)
        self.published += [*described.objects, name]
        return manifest

    def forget(self) -> None:
        """What is finished is not gone on with."""
        self.sink.close()
        basis.forget(self.folder)
        (self.folder / "sent").unlink(missing_ok=True)

    def _put_again(self, name: str) -> None:
        """Put an object of the cache, if it is whole there; what the vault holds under its name stays."""
        data = self.cache.store.get(name)
        try:
            if not layout.is_name_of(name, hex_digest(data)):
                raise IntegrityError(
                    "object-damaged", "the home's copy is damaged, and was not put there again"
                )
            self.vault.put_new(name, data)
        except (IntegrityError, NameHeldByOtherError) as error:
            self._find(error.code, f"{self.vault.address}/{name}", error.what)

    def _find(self, code: str, subject: str, detail: str) -> None:
        self.monitor.finding(Finding(code=code, subject=subject, detail=detail))


@dataclass(frozen=True)
class _Before:
    """What this point follows: the last of the usual items, the last of any, and the partial ones after it; and what of
    them may be reused."""

    readers: tuple[PointReader, ...] = ()
    reuse: Reusable = field(default_factory=Reusable)

    @classmethod
    def of(cls, work: Work) -> "_Before":
        identity = work.home.identity
        machines = own_machines(identity, [work.vault], work.monitor)
        found = points(work.own, machines, work.monitor)
        if found:  # another home of this machine, or the one before, may have made the newest
            work.home.spend(found[-1].manifest.sequence, found[-1].digest)
        whole = [p for p in found if p.manifest.point_kind != "partial"][-1:]
        usual = [p for p in found if p.manifest.point == work.home.state.usual and p not in whole]
        partial = found[found.index(whole[0]) + 1 :] if whole else found
        readers = tuple(PointReader(work.own, p, work.monitor) for p in (*usual, *whole, *partial))
        sample = SAMPLE_REBUILT if rebuild(readers, work.kept, work.vault, work.cache) else SAMPLE
        reuse = reusable(work.home, readers, found, work.vault, work.own, work.monitor, sample=sample)
        return cls(readers, reuse)

    def rows(self, monitor: Monitor) -> Iterator[tuple[Entry, basis.Origin]]:
        """The catalogs of these points as one. One that cannot be read ends early: files are read anew then."""
        rows: Iterator[tuple[Entry, basis.Origin]] = iter(())
        for reader in self.readers:
            rows = basis.over(rows, basis.of_segments(_readable(reader, monitor)))
        return rows


def _readable(reader: PointReader, monitor: Monitor) -> Iterator[tuple[PageRow, list[Entry]]]:
    try:
        yield from reader.segments()
    except (FormatError, IntegrityError, StoreError, MediaError) as error:
        subject = f"catalog of point {reader.point.manifest.point[:8]}"
        detail = f"{error.what}; files that it lists from there on are read again"
        monitor.finding(Finding(code=error.code, subject=subject, detail=detail))


def _read(work: Work, before: _Before, walk: Walk, options: Options) -> Catalogued:
    """Read what changed, and send it. However it ends, what is done stays done."""
    identity, monitor, key_id = work.home.identity, work.monitor, work.home.identity.master.key_id
    known = Known()
    for section in (*before.reuse.sections, *work.sink.sections):
        for chunk in section.chunks():
            known.add(chunk)
    content = Packer(work.sink.buffers(), work.sink, CONTENT_CLASS, key_id)
    metadata = Packer(BufferPool(METADATA_SIZE, 2), work.cache, METADATA_CLASS, key_id)
    rows, journal = basis.begin(work.folder, before.rows(monitor))
    run = Run(identity, content, metadata, known, rows, journal, monitor, options.level, before.readers)
    run.ignore_inode = options.ignore_inode

    def so_far() -> None:
        catalogued = run.so_far()
        work.sink.drain()
        _commit(work, before, catalogued, "partial")

    with ExitStack() as stack:
        stack.callback(run.close)
        stack.enter_context(Measuring(walk, monitor))
        try:
            run.read(_now_and_then(walk, so_far) if work.sink.disk_set is None else walk)
            catalogued = run.finish()
            work.sink.drain()
        except Exception as error:
            with suppress(OffseedError):  # the first error is the one to tell of
                run.checkpoint()
                if isinstance(error, Interrupted):
                    run.flush()
                    work.sink.drain()
            raise
    return catalogued


def _now_and_then(walk: Iterable[Found], action: Callable[[], None]) -> Iterator[Found]:
    """The walk; between two entries, `action` every hour."""
    due = time.monotonic() + PARTIAL_EVERY
    for found in walk:
        if time.monotonic() > due:
            action()
            due = time.monotonic() + PARTIAL_EVERY
        yield found


def _commit(work: Work, before: _Before, catalogued: Catalogued, kind: str) -> Backed:
    """From a catalog to the manifest in the vault, in the order that stands above. Raises as `Work.publish`."""
    home, cache = work.home, work.cache
    sections = (*before.reuse.sections, *work.sink.sections, *cache.sections)
    described = describe(sections, catalogued, (*before.reuse.needs, *work.described))
    point, disk_set = PointId(random_id()), work.sink.disk_set
    signed = sign_manifest(home, catalogued, described, point=point, kind=kind, disk_set=disk_set)
    manifest = work.publish(described, signed)
    home.save_state(replace(home.state, acknowledged=hex_digest(signed)))
    work.described = described.needed
    new = [s.archive for s in (*work.sink.sections, *cache.sections) if s.archive.name in described.archives]
    return Backed(manifest, hex_digest(signed), before.reuse.promised, len(new), sum(a.size for a in new))
