"""Reverse shipment: a recovery point from a vault onto disks, for the machine that it is of. Without keys.

A shipment is a disk set that the authority signs. The order of writes is the safety argument:

    the label, in the vault, then on the disk    no two stations give one number
    what opens the point                         slots, need list, manifest, replacements, and its catalog: on every disk
    archives                                     each read once into memory, hashed, and *those bytes* put, by a thread a disk
    index objects, tables, the inventory         close the disk; the vault keeps the inventory, too
    the set document                             once nothing is left, on the disks attached, then in the vault

The same command goes on where one ended, with the same disks or with others: what lies on a disk that is not attached is known
by its newest inventory in the vault.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path

from formats import layout
from formats.documents.acceptance import folder_identity
from formats.documents.disk import Label, SetDocument
from formats.errors import IntegrityError, MediaError, StoreError, UsageError, is_damage
from formats.ids import ArchiveName, SetId, digest, hex_digest, random_id
from formats.monitor import Finding, Monitor, Tally
from formats.replaced import replacements
from formats.store.failures import meaning
from formats.store.local import LocalStore
from formats.tables.archive import ARCHIVE_SIZE_MAX, METADATA_CLASS
from formats.tables.holdings import Holding
from importer.archives import side_by_side
from importer.intake import check_disk
from importer.outbound import OutboundDisk, label_at
from importer.outgoing import Outgoing, listed, outgoing
from importer.points import Point, load_needs, need_digests, stocks
from importer.vault import Vault


@dataclass(frozen=True)
class Shipped:
    """How a run ended: the `sizes` of the archives that the point needs, and of those that are `left` to be written.

    It has so many disks by now, of which this run wrote `written`, and had to leave those of the numbers `failed`; `lost` are
    archives that the vault could not give. It was `finished`, by this run or `before` it.
    """

    set: SetId
    written: tuple[OutboundDisk, ...]
    disks: int
    sizes: tuple[int, ...]
    left: tuple[int, ...] = ()
    lost: int = 0
    failed: tuple[int, ...] = ()
    finished: bool = True
    before: bool = False


@dataclass
class _Cargo:
    """What a point needs that the vault has: small `objects` by name, its catalog, and what else it is made of."""

    objects: dict[str, bytes]
    catalog: list[Holding]
    content: list[Holding]

    @property
    def archives(self) -> dict[ArchiveName, Holding]:
        return {holding.name: holding for holding in (*self.catalog, *self.content)}

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(holding.size for holding in self.archives.values())


def ship(
    vault: Vault,
    point: Point,
    paths: Sequence[Path],
    monitor: Monitor,
    *,
    without: Collection[int] = (),
    again: bool = False,
) -> Shipped:
    """Write a point onto the disks mounted at `paths`. Of the disks written before, those `without` which it goes on count as
    lost; `again` begins a new shipment where one was finished.

    Raises MediaError, StoreError, FormatError, IntegrityError.
    """
    _check_paths(vault, paths)
    cargo = _cargo(vault, point, monitor)
    shipment = _begun(vault, point, monitor, again=again)
    if shipment.finished is not None:
        return Shipped(shipment.set, (), len(shipment.finished.disks), cargo.sizes, before=True)
    for number in without:
        shipment.inventories.pop(number, None)
    disks: list[OutboundDisk] = []
    with ExitStack() as opened:
        for path in paths:
            disks.append(disk := _attach(vault, point, shipment, path, cargo, monitor))
            opened.callback(disk.store.close)
        return _Shipping(vault, point, shipment, disks, cargo, monitor).run()


def _check_paths(vault: Vault, paths: Sequence[Path]) -> None:
    """Raises MediaError disk-missing, UsageError."""
    for path in paths:
        check_disk(path)
    real = [os.path.realpath(path) for path in paths]
    if len(set(real)) < len(real):
        raise UsageError(
            "usage", "a disk is named twice", subject=max(real, key=real.count), hint="name each disk once"
        )
    inside = [
        path for path in real if isinstance(vault.store, LocalStore) and _lies_in(path, vault.store.address)
    ]
    if inside:
        raise UsageError(
            "target-inside-source", "this is a folder of the vault itself", subject=inside[0],
            hint="give the path that a disk is mounted at",
        )  # fmt: skip


def _lies_in(path: str, folder: str) -> bool:
    folder = os.path.realpath(folder)
    return os.path.commonpath([path, folder]) == folder


class _Shipping:
    """One run: what the threads share."""

    def __init__(
        self,
        vault: Vault,
        point: Point,
        shipment: Outgoing,
        disks: Sequence[OutboundDisk],
        cargo: _Cargo,
        monitor: Monitor,
    ) -> None:
        self._vault = vault
        self._point = point
        self._shipment = shipment
        self._disks = disks
        self._cargo = cargo
        self._monitor = monitor
        self._lock = threading.Lock()
        self._lost = 0
        self._failed: list[OutboundDisk] = []
        written = {name for disk in disks for name in disk.held}
        attached = {disk.number for disk in disks}
        for number, (inventory, _) in shipment.inventories.items():
            if number not in attached:
                written.update(listed(vault, inventory))
        self._queue = deque(holding for holding in cargo.content if holding.name not in written)
        monitor.expect(total=sum(h.size for h in self._queue), files=len(self._queue), final=True)

    def run(self) -> Shipped:
        for disk in self._disks:
            self._on(disk, self._begin)
        while (
            self._queue
            and (ready := [d for d in self._whole() if not d.full])
            and not self._monitor.stopping()
        ):
            side_by_side(len(ready), lambda disk: self._on(disk, self._fill), ready)
        for disk in self._whole():
            self._on(disk, self._close)
        finished = not self._queue and not self._monitor.stopping() and self._finish()
        return Shipped(
            self._shipment.set,
            tuple(self._disks),
            len(self._shipment.inventories),
            self._cargo.sizes,
            tuple(holding.size for holding in self._queue),
            self._lost,
            tuple(disk.number for disk in self._failed),
            finished,
        )

    def _whole(self) -> list[OutboundDisk]:
        return [disk for disk in self._disks if disk not in self._failed]

    def _on(self, disk: OutboundDisk, action: Callable[[OutboundDisk], None]) -> None:
        """Do it with a disk. One that fails is told of and left, and the others go on."""
        try:
            action(disk)
        except (MediaError, StoreError) as error:
            if not disk.is_at(error.subject):
                raise
            if error.code == "disk-full":
                disk.full = True
                return
            with self._lock:
                self._failed.append(disk)
            self._monitor.finding(Finding(code=error.code, subject=str(disk.path), detail=error.what))

    def _begin(self, disk: OutboundDisk) -> None:
        """What opens the point, and its catalog."""
        for name, data in self._cargo.objects.items():
            disk.put(name, data)
        space = memoryview(mmap(-1, ARCHIVE_SIZE_MAX))
        for holding in self._cargo.catalog:
            if holding.name not in disk.held and (archive := self._read(holding, space)) is not None:
                disk.write(holding, archive)

    def _fill(self, disk: OutboundDisk) -> None:
        """Archives from the vault onto a disk, until it is full or none is left."""
        space = memoryview(mmap(-1, ARCHIVE_SIZE_MAX))
        while (holding := self._next()) is not None:
            carried = False
            try:
                carried = self._carry(holding, disk, space)
            finally:
                if not carried:
                    with self._lock:
                        self._queue.appendleft(holding)
            if not carried:
                return

    def _next(self) -> Holding | None:
        with self._lock:
            return self._queue.popleft() if self._queue and not self._monitor.stopping() else None

    def _carry(self, holding: Holding, disk: OutboundDisk, space: memoryview) -> bool:
        """False where the disk has no room for it."""
        if not disk.has_room(holding):
            disk.full = True
            return False
        if (data := self._read(holding, space)) is not None:
            disk.write(holding, data)
            self._monitor.progress(done=holding.size, files=1)
        return True

    def _read(self, holding: Holding, space: memoryview) -> memoryview | None:
        """An archive, whole; None, and a finding, where the vault's is not. Raises StoreError."""
        name = layout.archive_name(holding.name)
        detail = "the vault's copy is not what its name says"
        try:
            there = space[: self._vault.store.get_into(name, space)]
            if len(there) == holding.size and digest(there) == bytes(holding.name):
                return there
        except (StoreError, MediaError, IntegrityError) as error:
            if not is_damage(error):
                raise
            detail = error.what
        with self._lock:
            self._lost += 1
        self._monitor.finding(Finding(code="object-damaged", subject=f"vault/{name}", detail=detail))
        return None

    def _close(self, disk: OutboundDisk) -> None:
        self._shipment.inventories[disk.number] = disk.close()

    def _finish(self) -> bool:
        """The set document, once every disk is closed that was begun."""
        open_disks = self._shipment.labels.keys() - self._shipment.inventories.keys()
        if self._failed or open_disks & {disk.number for disk in self._disks}:
            return False
        manifest = self._point.manifest
        document = SetDocument(
            vault=self._vault.id,
            machine=manifest.machine,
            set=self._shipment.set,
            revision=1,
            point=manifest.point,
            manifest=self._point.signed.digest,
            created=int(time.time()),
            disks=tuple(self._shipment.closed()),
        )
        signed = self._vault.signed(document)
        name = layout.numbered(layout.set_prefix(manifest.machine), manifest.sequence, hex_digest(signed))
        for disk in self._disks:
            self._on(disk, lambda disk: disk.put(name, signed))
        prefix = layout.shipment_prefix(self._shipment.set)
        self._vault.store.put_new(layout.numbered(prefix, 1, hex_digest(signed)), signed)
        return True


def _cargo(vault: Vault, point: Point, monitor: Monitor) -> _Cargo:
    """What the vault has of all that a point needs; what it lacks is a finding."""
    manifest = point.manifest
    needed = load_needs(vault.store, manifest)
    there = stocks(vault, monitor)[manifest.key_id]
    held = {need.archive for need in needed if there.holds(need.archive)}
    replaced = {need.archive: there.stand_ins(need.archive) for need in needed if need.archive not in held}
    archives = held | {by for stand_ins in replaced.values() for by in stand_ins}
    if not point.standing.complete:
        detail = f"the vault does not have all of it: {point.standing.words()}"
        monitor.finding(
            Finding(code="point-incomplete", subject=f"point {manifest.point[:8]}", detail=detail)
        )
    objects = {name: vault.store.get(name) for name in _small(vault, point)}
    for name, document in replacements(vault.store, layout.REPLACEMENTS, vault.key, Tally()):
        if any(entry.archive.holding in replaced for entry in document.replaced):
            objects[name] = vault.store.get(name)
    ordered = sorted(archives, key=lambda holding: holding.name)
    return _Cargo(
        objects,
        [holding for holding in ordered if holding.archive_class == METADATA_CLASS],
        [holding for holding in ordered if holding.archive_class != METADATA_CLASS],
    )


def _small(vault: Vault, point: Point) -> Iterator[str]:
    """The names of the small objects that open a point; the manifest last."""
    manifest = point.manifest
    yield from (name for name, _ in vault.store.list(layout.slot_prefix(manifest.machine)))
    yield from map(layout.need_name, sorted(need_digests(vault.store, manifest.needs)))
    yield layout.numbered(layout.manifest_prefix(manifest.machine), manifest.sequence, point.signed.digest)


def _begun(vault: Vault, point: Point, monitor: Monitor, *, again: bool) -> Outgoing:
    """The newest shipment of a point; a new one where there is none, or one is asked for `again` and the last was finished."""
    of_point = (point.manifest.machine, point.manifest.point)
    found = [
        one
        for one in outgoing(vault, monitor)
        if any((label.machine, label.point) == of_point for label, _ in one.labels.values())
    ]
    if not found or (again and found[-1].finished is not None):
        return Outgoing(SetId(random_id()))
    return found[-1]


def _attach(
    vault: Vault, point: Point, shipment: Outgoing, path: Path, cargo: _Cargo, monitor: Monitor
) -> OutboundDisk:
    """The disk of the shipment that is mounted at `path`, known by its label, or the next one.

    Raises MediaError disk-foreign, StoreError.
    """
    number = _number_at(path, shipment.set)
    if number is None:
        number = max(shipment.labels, default=0) + 1
        label = _label(vault, point, shipment.set, number)
        shipment.labels[number] = label, (signed := vault.signed(label))
        name = layout.numbered(layout.shipment_prefix(shipment.set, number), 0, hex_digest(signed))
        vault.store.put_new(name, signed)
    known = shipment.labels.get(number)
    if known is None or label_at(path, shipment.set, number) not in (None, known[1]):
        raise MediaError(
            "disk-foreign",
            "this disk carries the name of the shipment, and is not one of its disks",
            subject=str(path),
            hint=f"give another disk, or move its folder {layout.DISK_FOLDER}/ away first",
        )
    disk = OutboundDisk(vault, known[0], path, monitor)
    try:
        disk.begin(known[1], cargo.archives)
    except BaseException:
        disk.store.close()
        raise
    return disk


def _label(vault: Vault, point: Point, shipment: SetId, number: int) -> Label:
    return Label(
        vault=vault.id,
        vault_name=vault.name,
        machine=point.manifest.machine,
        machine_name=point.member.name,
        public_key=point.member.public_key,
        set=shipment,
        number=number,
        disk=random_id(),
        created=int(time.time()),
        authority=vault.descriptor.authority,
        point=point.manifest.point,
    )


def _number_at(path: Path, shipment: SetId) -> int | None:
    """Which disk of the shipment lies at `path`. Raises MediaError, StoreError, UsageError."""
    top = path / layout.DISK_FOLDER
    try:
        names = sorted(os.listdir(top)) if top.is_dir() else []
    except OSError as error:
        raise meaning(error, str(top)) from error
    found = [identity[1] for name in names if (identity := folder_identity(name)) and identity[0] == shipment]
    if len(found) > 1:
        raise UsageError(
            "usage", "several disks of one shipment were copied into one folder", subject=str(top),
            hint="give each disk as it is mounted",
        )  # fmt: skip
    return found[0] if found else None
