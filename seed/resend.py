"""Resend: disks that will never come are given up, and what they held is sent again as far as the source still has it,
over the network or on further disks of the set. The order of writes:

    the disks are given up, in the home     from here on nothing counts on them
    a new recovery point                    with it goes what the source still has
    a revision of each older point          that needs what they held: it takes the point's place, and names what is lost
    the further disks, closed
    the set, revised                        without the disks that were given up, with those that came instead

The same command goes on after a crash at any place in it.
"""

import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from formats import layout
from formats.documents import envelope
from formats.documents.disk import SetDisk, SetDocument
from formats.documents.manifest import Manifest
from formats.errors import HomeError, UsageError
from formats.ids import ArchiveName, SetId, hex_digest
from formats.keyed.chunk import ChunkSealer
from formats.monitor import Finding, Monitor
from formats.standing import awaited
from formats.store.contract import Store
from formats.store.local import LocalStore
from formats.tables.archive import METADATA_CLASS, Archive
from formats.tables.index import CATALOG
from formats.tables.needs import Need
from formats.tables.sections import Section
from formats.words import listed as numbers_listed
from seed.backup import Backed, Options, Work, back_up
from seed.chunking import Sealed
from seed.commit import Commit
from seed.disk import DiskWriter, Extent, attach, check_disk
from seed.disk_sets import KeptSet
from seed.export import complete
from seed.home import Home
from seed.items import Scope, check_targets
from seed.machines import own_machines
from seed.new_point import describe, sign_revision
from seed.packing import METADATA_SIZE, POOL_BYTES, Buffer, BufferPool, Packer, archive_size
from seed.placing import Attendant, DiskSet, MetadataCache
from seed.reading import Point, PointReader, needed_of, points
from seed.records import write_private
from seed.reuse import is_listed, promised
from seed.revising import Revising
from seed.sealing import Known


@dataclass(frozen=True)
class Resent:
    """How it ended: the new point, None where nothing of the source is there any more; the points that were revised; and
    the files of which a version is lost."""

    backed: Backed | None
    revised: tuple[Manifest, ...]
    lost: frozenset[bytes]
    added: tuple[int, ...] = ()


def resend(
    home: Home,
    kept: KeptSet,
    numbers: Collection[int],
    targets: Sequence[Path],
    vault: Store,
    options: Options,
    monitor: Monitor,
    attendant: Attendant,
) -> Resent:
    """Give up disks of a finished set, and send what they held again: to `targets`, else over the network; the home is
    locked by the caller.

    Raises UsageError, HomeError, StoreError, MediaError, Interrupted; the same call goes on where it ended.
    """
    _check(kept, numbers, vault)
    for target in targets:
        check_disk(target)
    scope = _scope(home, kept, targets, monitor)
    for number in numbers:
        kept.know(replace(kept.state.disks_by_number[number], dropped=True))
    with ExitStack() as stack:
        sink = stack.enter_context(_Disks.open(home, kept, targets, monitor, attendant)) if targets else None
        work = stack.enter_context(Work.open(home, vault, monitor, sink))
        backed = back_up(work, scope, options) if scope.items else None
        revised, lost = _revise(work, options.level)
        added = sink.finish(work) if sink is not None else []
        document = _revised_set(work, kept, added)
        for disk in sink.open_disks if sink is not None else ():
            disk.put_last(*document)
    return Resent(backed, tuple(revised), frozenset(lost), tuple(disk.number for disk in added))


def _check(kept: KeptSet, numbers: Collection[int], vault: Store) -> None:
    """Raises UsageError where these disks are not to be given up."""
    state = kept.state
    if state.status != "finished":
        again = " ".join(f"--without {n}" for n in sorted(numbers))
        raise UsageError(
            "usage", "the export of this set is not finished", subject=state.set[:8],
            hint=f"run it again, with {again}: what only that disk held is read again",
        )  # fmt: skip
    waiting = awaited([vault], _document(kept))
    for number in sorted(numbers):
        disk = state.disks_by_number.get(number)
        if disk is None:
            raise UsageError(
                "usage", f"the set has no disk {number}", subject=f"{state.set[:8]}/{number}",
                hint=f"its disks are {numbers_listed([d.number for d in state.disks])}",
            )  # fmt: skip
        if not disk.dropped and number not in waiting:
            raise UsageError(
                "usage", f"disk {number} has arrived in the vault", subject=f"{state.set[:8]}/{number}",
                hint="there is nothing to send again",
            )  # fmt: skip


def _scope(home: Home, kept: KeptSet, targets: Sequence[Path], monitor: Monitor) -> Scope:
    """The items of the set that are still there; for once, unless they are those that are backed up usually."""
    items = tuple(item for item in kept.state.items if os.path.lexists(item))
    for item in kept.state.items:
        if item not in items:
            monitor.finding(
                Finding(code="source-unreadable", subject=os.fsdecode(item), detail="it is no longer there")
            )
    check_targets(targets, items)
    usual = items == home.state.items
    return Scope(items, home.state.left_out if usual else kept.state.left_out, once=not usual)


def _revise(work: Work, level: int) -> tuple[list[Manifest], set[bytes]]:
    """Revise every point of this machine that needs what is neither in the vault nor on its way."""
    identity, monitor = work.home.identity, work.monitor
    found = points(work.own, own_machines(identity, [work.vault], monitor), monitor)
    can_come = _coming(work, found)
    ours = [p for p in found if p.manifest.machine == identity.machine]
    unmet = [p for p in ours if not all(map(can_come, needed_of(work.own, p)))]
    if not unmet:
        return [], set()
    known, sections, before = Known(), dict[ArchiveName, Section](), dict[ArchiveName, Need]()
    metadata = Packer(BufferPool(METADATA_SIZE, 2), work.cache, METADATA_CLASS, identity.master.key_id)

    def store(sealed: Sealed) -> None:
        assert sealed.record is not None
        metadata.add(CATALOG, sealed.chunk, sealed.record, sealed.record_digest)

    revising = Revising(ChunkSealer(identity.master, level), known, store)

    def learn(reader: PointReader) -> None:
        for need, section in zip(reader.needs, reader.sections, strict=True):
            if section is not None and can_come(need):
                sections[need.archive.name], before[need.archive.name] = section, need
                for chunk in section.chunks():
                    known.add(chunk)
        revising.learn(reader)

    learn(PointReader(work.own, found[-1], monitor))
    manifests, lost = [], set[bytes]()
    for point in unmet:
        reader = PointReader(work.own, point, monitor)
        learn(reader)
        revised = revising.revise(reader)
        metadata.flush()
        stood = {n.archive.name: n for n in reader.needs if can_come(n)}
        described = describe(
            [*sections.values(), *work.cache.sections], revised.catalogued, [*(before | stood).values()]
        )
        signed = sign_revision(work.home, revised.catalogued, described, point.manifest, len(revised.lost))
        manifests.append(work.publish(described, signed))
        for path in revised.lost:
            if path not in lost:
                detail = f"what point {point.manifest.point[:8]} held of it is lost"
                monitor.finding(Finding(code="content-lost", subject="/" + os.fsdecode(path), detail=detail))
        lost.update(revised.lost)
    return manifests, lost


def _coming(work: Work, found: Sequence[Point]) -> Callable[[Need], bool]:
    """Whether an archive is in the vault, or on its way there."""
    there = dict(work.vault.list("archives"))
    coming = set(promised(work.home, found, work.vault, work.own, work.monitor))
    coming |= {section.archive.name for section in work.sink.sections}
    return lambda need: is_listed(there, need) or need.archive.name in coming


def _revised_set(work: Work, kept: KeptSet, added: Sequence[DiskWriter]) -> tuple[str, bytes]:
    """The set's document as it is now, its name and bytes, in the home and in the vault."""
    identity, before = work.home.identity, _document(kept)
    found = points(work.own, own_machines(identity, [work.vault], work.monitor), work.monitor)
    brought = next((p for p in found if p.manifest.point == before.point), None)
    if brought is None:
        raise HomeError(
            "home-damaged", "the point that the set brings cannot be read", subject=before.point[:8],
            hint="the vault may hold it: run the same command again where it can be reached",
        )  # fmt: skip
    states = kept.state.disks_by_number
    stay = [d for d in before.disks if not states[d.number].dropped]
    new = [_closed(disk) for disk in added if disk.number not in {d.number for d in stay}]
    document = replace(before, disks=(*stay, *new), manifest=brought.digest)
    path = kept.folder / "set"
    if document != before:
        revised = replace(document, revision=before.revision + 1, created=int(time.time()))
        write_private(path, envelope.sign(revised, identity.signing_key))
    data = path.read_bytes()
    name = layout.numbered(layout.set_prefix(identity.machine), brought.manifest.sequence, hex_digest(data))
    with LocalStore.open(str(kept.cache)) as cache:
        cache.put_new(name, data)
    work.vault.put_new(name, data)
    return name, data


def _document(kept: KeptSet) -> SetDocument:
    return envelope.read((kept.folder / "set").read_bytes(), "set").peek(SetDocument)


def _closed(disk: DiskWriter) -> SetDisk:
    state = disk.state
    assert state.label is not None and state.closed_with is not None
    return SetDisk(
        number=state.number,
        disk=state.disk,
        label=state.label,
        generation=state.closed_by,
        inventory=state.closed_with,
    )


class _Disks:
    """A `Sink` of further disks of a finished set."""

    def __init__(self, commit: Commit, disks: DiskSet, pool: BufferPool) -> None:
        self._commit = commit
        self._disks = disks
        self._pool = pool
        self.disk_set: SetId | None = commit.kept.state.set

    @classmethod
    @contextmanager
    def open(
        cls, home: Home, kept: KeptSet, targets: Sequence[Path], monitor: Monitor, attendant: Attendant
    ) -> Iterator["_Disks"]:
        with ExitStack() as stack:
            cache = MetadataCache(
                home.path / "cache", home.identity.machine, home.identity.master.key_id, take_up=False
            )
            stack.callback(cache.close)

            def open_disk(path: Path) -> DiskWriter:
                disk = attach(home, kept, path, monitor)
                stack.callback(disk.close)
                return disk

            opened = [open_disk(target) for target in targets]
            size = archive_size(len(opened))
            pool = BufferPool(size, min(len(opened) + 1, POOL_BYTES // size))
            commit = Commit(home, kept, cache, opened, monitor)
            disks = DiskSet(
                opened,
                pool.count,
                home.identity.master.key_id,
                Extent(),
                attach=open_disk,
                finish=lambda disk: complete(commit, disk),
                attendant=attendant,
                monitor=monitor,
            )
            stack.callback(disks.stop)
            yield cls(commit, disks, pool)

    @property
    def sections(self) -> Sequence[Section]:
        return list(chain.from_iterable(disk.sections for disk in self._disks.disks))

    @property
    def open_disks(self) -> list[DiskWriter]:
        return self._disks.open

    def buffers(self) -> BufferPool:
        return self._pool

    def room(self, least: int, most: int) -> int:
        return self._disks.room(least, most)

    def place(self, archive: Archive, done: BufferPool, buffer: Buffer) -> None:
        self._disks.place(archive, done, buffer)

    def drain(self) -> None:
        self._disks.drain()

    def close(self) -> None:
        self._disks.stop()

    def finish(self, work: Work) -> list[DiskWriter]:
        """Put what the new manifests are read by on the disks too, and close them. Returns all that were written."""
        self._disks.stop()
        for disk in self._disks.open:
            there = {section.archive.name for section in disk.sections}
            for section in work.cache.sections:
                if section.archive.name not in there:
                    disk.adopt(section, work.cache.store.get(layout.archive_name(section.archive.name)))
            for name in work.published:
                disk.ensure(name, work.cache.store.get(name))
            if not self._commit.is_closed(disk):
                self._commit.close(disk)
        return [disk for disk in self._disks.disks if disk not in self._disks.failed]
