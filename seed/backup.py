"""Backup: what changed since the last recovery point, over the network into the vault. The order of writes:

    content archives                       durable in the vault, a few at a time, and journalled in the home
    metadata archives, index objects,      in the home's cache, then in the vault
        need list
    the manifest, in the home              its sequence number is used from here on, whatever happens
    the manifest, in the vault             from here on the point exists

A run that was stopped is gone on with by the next: by the rows that it journalled, and by what it had sent. A manifest
that the home has and the vault has not is put there by the next run that reaches it.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from formats import layout
from formats.documents import envelope
from formats.documents.manifest import Manifest
from formats.errors import Interrupted, OffseedError
from formats.ids import HexDigest, PointId, hex_digest, random_id
from formats.keyed.catalog import Entry, PageRow
from formats.keyed.chunk import LEVEL
from formats.monitor import Finding, Monitor
from formats.store.contract import Store
from formats.store.local import LocalStore
from formats.tables.archive import CONTENT_CLASS, METADATA_CLASS
from seed import basis
from seed.cataloguing import Catalogued
from seed.home import Home, LeftOut
from seed.items import check_home_room, choose_scope, identity_of
from seed.measuring import Measuring
from seed.new_point import describe, sign_manifest
from seed.packing import METADATA_SIZE, BufferPool, Packer
from seed.placing import MetadataCache
from seed.reading import Machine, Point, PointReader, Union, points
from seed.reuse import Reusable, reusable
from seed.run import Run
from seed.sealing import Known
from seed.source.system import Walk
from seed.uplink import ARCHIVE_SIZE, BUFFERS, Uplink


@dataclass(frozen=True)
class Options:
    """What decides how a backup is made."""

    left_out: LeftOut = field(default_factory=LeftOut)
    once: bool = False
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
        catalogued = _read(work, before, walk, options.level)
        backed = _commit(work, before, catalogued)
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
    """The point that this one follows, if there is one, and what of it may be reused."""

    reader: PointReader | None = None
    reuse: Reusable = field(default_factory=lambda: Reusable((), ()))

    @classmethod
    def of(cls, work: _Work) -> "_Before":
        identity = work.home.identity
        found = points(work.own, [Machine(identity.machine, identity.master)], work.monitor)
        if not found:
            return cls()
        last = found[-1]
        _follow(work.home, last)
        reader = PointReader(work.own, last, work.monitor)
        return cls(reader, reusable(work.home, reader, found, work.vault, work.own, work.monitor))

    def segments(self) -> Iterator[tuple[PageRow, list[Entry]]]:
        return self.reader.segments() if self.reader is not None else iter(())


def _follow(home: Home, last: Point) -> None:
    """Go on after the newest point there is, though another home of this machine made it."""
    home.spend(last.manifest.sequence, last.digest)


def _read(work: _Work, before: _Before, walk: Walk, level: int) -> Catalogued:
    """Read what changed, and send it. However it ends, what is done stays done."""
    identity, monitor, key_id = work.home.identity, work.monitor, work.home.identity.master.key_id
    known = Known()
    for section in (*before.reuse.sections, *work.uplink.sections):
        for chunk in section.chunks():
            known.add(chunk)
    content = Packer(BufferPool(ARCHIVE_SIZE, BUFFERS), work.uplink, CONTENT_CLASS, key_id)
    metadata = Packer(BufferPool(METADATA_SIZE, 2), work.cache, METADATA_CLASS, key_id)
    rows, journal = basis.begin(work.folder, before.segments())
    run = Run(identity, content, metadata, known, rows, journal, monitor, level, before.reader)
    with ExitStack() as stack:
        stack.callback(run.close)
        stack.enter_context(Measuring(walk, monitor))
        try:
            run.read(walk)
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


def _commit(work: _Work, before: _Before, catalogued: Catalogued) -> Backed:
    """From the finished catalog to the manifest in the vault, in the order that stands above."""
    home, cache, vault = work.home, work.cache, work.vault
    sections = (*before.reuse.sections, *work.uplink.sections, *cache.sections)
    described = describe(sections, catalogued, before.reuse.needs)
    for section in cache.sections:
        if section.archive.name in described.archives:
            name = layout.archive_name(section.archive.name)
            vault.put_new(name, cache.store.get(name))
    for name, data in described.objects.items():
        cache.put(name, data)
        vault.put_new(name, data)
    signed = sign_manifest(home, catalogued, described, point=PointId(random_id()), kind="incremental")
    manifest = envelope.read(signed, "manifest").peek(Manifest)
    found = hex_digest(signed)
    name = layout.numbered(layout.manifest_prefix(manifest.machine), manifest.sequence, found)
    cache.put(name, signed)
    home.spend(manifest.sequence, found)
    vault.put_new(name, signed)
    home.save_state(replace(home.state, acknowledged=found))
    new = [
        s.archive for s in (*work.uplink.sections, *cache.sections) if s.archive.name in described.archives
    ]
    return Backed(manifest, found, before.reuse.promised, len(new), sum(a.size for a in new))
