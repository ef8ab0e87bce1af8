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
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from formats import layout
from formats.documents import envelope
from formats.documents.manifest import Manifest
from formats.errors import FormatError, IntegrityError, Interrupted, MediaError, OffseedError, StoreError
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
from seed.home import Home, LeftOut
from seed.items import check_home_room, choose_scope, identity_of
from seed.measuring import Measuring
from seed.new_point import describe, sign_manifest
from seed.packing import METADATA_SIZE, BufferPool, Packer
from seed.placing import MetadataCache
from seed.reading import Machine, PointReader, Union, points
from seed.reuse import Reusable, reusable
from seed.run import Run
from seed.sealing import Known
from seed.source.system import Found, Walk
from seed.uplink import ARCHIVE_SIZE, BUFFERS, Uplink

PARTIAL_EVERY = 3600.0  # seconds


@dataclass(frozen=True)
class Options:
    """What decides how a backup is made. `ignore_inode` where a file system gives the same file other numbers each time."""

    left_out: LeftOut = field(default_factory=LeftOut)
    once: bool = False
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


def backup(home: Home, paths: Sequence[str], vault: Store, options: Options, monitor: Monitor) -> Backed:
    """Put a new recovery point of `paths` (or the remembered items) into the vault; the home is locked by the caller.

    Raises UsageError, HomeError, StoreError, MediaError, Interrupted; the same call goes on where it ended.
    """
    scope = choose_scope(home, paths, options.left_out, once=options.once)
    check_home_room(home, scope.items, monitor)
    scope.remember(home)
    with ExitStack() as stack:
        work = _Work.open(home, vault, monitor, stack)
        work.settle()
        before = _Before.of(work)
        walk = Walk(scope.items, scope.rules({identity_of(home.path)}), monitor)
        catalogued = _read(work, before, walk, options)
        backed = _commit(work, before, catalogued, "incremental")
    basis.forget(work.folder)
    (work.folder / "sent").unlink(missing_ok=True)
    return backed


@dataclass
class _Work:
    """What all steps of a backup work on. `folder` holds what a stopped run has done, `own` all that is known of this
    machine's points: from the home, and what is not there from the vault."""

    home: Home
    vault: Store
    own: Union
    cache: MetadataCache
    uplink: Uplink
    folder: Path
    monitor: Monitor
    described: tuple[Need, ...] = ()  # by a partial point of this run

    @classmethod
    def open(cls, home: Home, vault: Store, monitor: Monitor, stack: ExitStack) -> "_Work":
        key_id = home.identity.master.key_id
        folder = home.path / "run"
        folder.mkdir(mode=0o700, exist_ok=True)
        cache = MetadataCache(home.path / "cache", home.identity.machine, key_id, take_up=False)
        stack.callback(cache.close)
        stores: list[Store] = [cache.store]
        for set_cache in sorted((home.path / "sets").glob("*/cache")):
            store = LocalStore.open(str(set_cache), read_only=True)
            stack.callback(store.close)
            stores.append(store)
        uplink = Uplink(vault, folder / "sent", monitor)
        stack.callback(uplink.close)
        return cls(home, vault, Union([*stores, vault]), cache, uplink, folder, monitor)

    def settle(self) -> None:
        """Put the manifests of the home that the vault does not list: a run was killed, or the vault was rolled back."""
        prefix = layout.manifest_prefix(self.home.identity.machine)
        there = {name for name, _ in self.vault.list(prefix)}
        for name, _ in self.cache.store.list(prefix):
            if name in there:
                continue
            data = self.cache.store.get(name)
            if hex_digest(data) == self.home.state.acknowledged:
                detail = (
                    "the vault lists it no longer: it was rolled back, or has lost it; it is put there again"
                )
                self.monitor.finding(
                    Finding(code="vault-lost", subject=f"{self.vault.address}/{name}", detail=detail)
                )
            for folder in ("archives", "indexes", "needs"):
                for part, _ in self.cache.store.list(folder):
                    self.vault.put_new(part, self.cache.store.get(part))
            self.vault.put_new(name, data)


@dataclass(frozen=True)
class _Before:
    """What this point follows: the last complete one, and the newest partial one after it; and what of them may be
    reused."""

    readers: tuple[PointReader, ...] = ()
    reuse: Reusable = field(default_factory=Reusable)

    @classmethod
    def of(cls, work: _Work) -> "_Before":
        identity = work.home.identity
        found = points(work.own, [Machine(identity.machine, identity.master)], work.monitor)
        if found:  # another home of this machine may have made the newest
            work.home.spend(found[-1].manifest.sequence, found[-1].digest)
        whole = [p for p in found if p.manifest.point_kind != "partial"][-1:]
        followed = whole if found[-1:] == whole else [*whole, found[-1]]
        readers = tuple(PointReader(work.own, point, work.monitor) for point in followed)
        reuse = Reusable()
        for reader in readers:
            reuse |= reusable(work.home, reader, found, work.vault, work.own, work.monitor)
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


def _read(work: _Work, before: _Before, walk: Walk, options: Options) -> Catalogued:
    """Read what changed, and send it. However it ends, what is done stays done."""
    identity, monitor, key_id = work.home.identity, work.monitor, work.home.identity.master.key_id
    known = Known()
    for section in (*before.reuse.sections, *work.uplink.sections):
        for chunk in section.chunks():
            known.add(chunk)
    content = Packer(BufferPool(ARCHIVE_SIZE, BUFFERS), work.uplink, CONTENT_CLASS, key_id)
    metadata = Packer(BufferPool(METADATA_SIZE, 2), work.cache, METADATA_CLASS, key_id)
    rows, journal = basis.begin(work.folder, before.rows(monitor))
    run = Run(identity, content, metadata, known, rows, journal, monitor, options.level, before.readers)
    run.ignore_inode = options.ignore_inode

    def so_far() -> None:
        catalogued = run.so_far()
        work.uplink.drain()
        _commit(work, before, catalogued, "partial")

    with ExitStack() as stack:
        stack.callback(run.close)
        stack.enter_context(Measuring(walk, monitor))
        try:
            run.read(_now_and_then(walk, so_far))
            catalogued = run.finish()
            work.uplink.drain()
        except Exception as error:
            with suppress(OffseedError):  # the first error is the one to tell of
                run.checkpoint()
                if isinstance(error, Interrupted):
                    run.flush()
                    work.uplink.drain()
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


def _commit(work: _Work, before: _Before, catalogued: Catalogued, kind: str) -> Backed:
    """From a catalog to the manifest in the vault, in the order that stands above."""
    home, cache, vault = work.home, work.cache, work.vault
    sections = (*before.reuse.sections, *work.uplink.sections, *cache.sections)
    described = describe(sections, catalogued, (*before.reuse.needs, *work.described))
    for section in cache.sections:
        if section.archive.name in described.archives:
            name = layout.archive_name(section.archive.name)
            vault.put_new(name, cache.store.get(name))
    for name, data in described.objects.items():
        cache.put(name, data)
        vault.put_new(name, data)
    signed = sign_manifest(home, catalogued, described, point=PointId(random_id()), kind=kind)
    manifest = envelope.read(signed, "manifest").peek(Manifest)
    found = hex_digest(signed)
    name = layout.numbered(layout.manifest_prefix(manifest.machine), manifest.sequence, found)
    cache.put(name, signed)
    home.spend(manifest.sequence, found)
    vault.put_new(name, signed)
    home.save_state(replace(home.state, acknowledged=found))
    work.described = described.needed
    new = [
        s.archive for s in (*work.uplink.sections, *cache.sections) if s.archive.name in described.archives
    ]
    return Backed(manifest, found, before.reuse.promised, len(new), sum(a.size for a in new))
