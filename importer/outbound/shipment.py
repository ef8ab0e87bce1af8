"""Reverse shipment: a recovery point from a vault onto disks, for its machine, without keys.

A shipment is a disk set that the authority signs. The order of writes is the safety argument:

    the label, in the vault, then on the disk    no two stations give one number.
    the objects that open the point              on every disk: slots, need list, manifest, replacements, catalog.
    archives                                     each read once into memory, hashed, and *those bytes* put;
                                                 by one thread for each disk.
    index objects, tables, the inventory         close the disk; the vault keeps the inventory, too.
    the set document                             once nothing is left; in the vault, then on attached disks.

The same command goes on after one that ended, with the same disks or with others. The newest inventory in the
vault tells the content of a disk that is not attached. One run of a home works at a time.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from typing import ParamSpec

from filelock import FileLock, Timeout

from formats import layout
from formats.disks import check_disk, number_at, top_folder
from formats.documents.disk import SetDocument
from formats.documents.manifest import Manifest
from formats.errors import (
    HomeError,
    IntegrityError,
    MediaError,
    OffseedError,
    StoreError,
    UsageError,
    each,
    is_damage,
    together,
)
from formats.ids import SetId, hex_digest
from formats.monitor import Finding, Monitor
from formats.records import unwritable
from formats.store.local import LocalStore
from formats.tables.archive import ARCHIVE_SIZE_MAX
from formats.tables.holdings import Holding
from formats.words import size
from importer.intake.archive_copy import side_by_side
from importer.outbound.shipment_contents import Cargo, load_cargo
from importer.outbound.shipment_disk import RESERVE, OutboundDisk, label_at
from importer.outbound.shipment_records import OutgoingShipment, give_up, listed, next_disk, of_point
from importer.vault.archives import read_whole
from importer.vault.points import VaultPoint
from importer.vault.vault import Vault

P = ParamSpec("P")


@dataclass(frozen=True)
class ShipmentResult:
    """The result of a run.

    `sizes` are those of the archives of the point in the vault, and `left` those of the archives that are
    still to be written. The shipment has so many `disks` by now. This run wrote the disks `written`, and had
    to leave the disks at the paths `failed`. `lost` counts archives that the vault could not give. `finished`
    tells that the shipment is complete, by this run or `before` it.
    """

    set: SetId
    written: tuple[OutboundDisk, ...]
    disks: int
    sizes: tuple[int, ...]
    left: tuple[int, ...] = ()
    lost: int = 0
    failed: tuple[Path, ...] = ()
    finished: bool = True
    before: bool = False


def ship(
    vault: Vault,
    point: VaultPoint,
    paths: Sequence[Path],
    monitor: Monitor,
    *,
    without: Collection[int] = (),
    again: bool = False,
) -> ShipmentResult:
    """Write a point onto the disks mounted at `paths`.

    `without` are earlier disks that count as lost from now on. `again` begins a new shipment. Raises
    MediaError, StoreError, FormatError, IntegrityError, UsageError, HomeError home-busy.
    """
    _check_paths(vault, paths)
    with _alone(vault), ExitStack() as opened:
        cargo = load_cargo(vault, point, monitor)
        shipment = of_point(vault, point, monitor, again=again)
        if shipment.finished is not None:
            return _finished_before(shipment, point, paths, cargo)
        for number in without:
            give_up(vault, shipment, number)
        return _Shipping(vault, point, shipment, cargo, monitor).run(paths, opened)


def _alone(vault: Vault) -> FileLock:
    """Return the lock that one export of this home and vault holds. Raises HomeError home-busy."""
    assert vault.authority is not None
    lock = FileLock(vault.authority.home / f"export-{vault.id}.lock", mode=0o600)
    try:
        lock.acquire(timeout=1)
    except Timeout:
        raise HomeError(
            "home-busy", "another export from this vault is at work here", subject=vault.name,
            hint="let it finish, or stop it; one export writes several disks at once by more than one --to",
        ) from None  # fmt: skip
    except OSError as error:
        raise unwritable(Path(lock.lock_file), error) from error
    return lock


def _check_paths(vault: Vault, paths: Sequence[Path]) -> None:
    """Check the paths of the disks. Raises MediaError disk-missing, UsageError."""
    each(check_disk, paths)
    real = [os.path.realpath(path) for path in paths]
    if len(set(real)) < len(real):
        raise UsageError(
            "usage", "a disk is named twice", subject=max(real, key=real.count), hint="name each disk once"
        )
    for disk in real if isinstance(vault.store, LocalStore) else ():
        there = os.path.realpath(vault.store.address)
        if _lies_in(disk, there) or _lies_in(there, disk):
            raise UsageError(
                "target-inside-source", "the vault itself lies there", subject=disk,
                hint="give the path that a disk is mounted at",
            )  # fmt: skip


def _lies_in(path: str, folder: str) -> bool:
    try:
        return os.path.commonpath([path, folder]) == folder
    except ValueError:  # on different drives
        return False


def _finished_before(
    shipment: OutgoingShipment, point: VaultPoint, paths: Sequence[Path], cargo: Cargo
) -> ShipmentResult:
    """Put the set document onto disks that were not there when the shipment was finished.

    Nothing else is to be done.
    """
    assert shipment.finished is not None
    document, signed = shipment.finished
    for path in paths:
        number = number_at(path, shipment.set)
        known = shipment.labels.get(number or 0)
        if number is not None and known is not None and label_at(path, shipment.set, number) == known[1]:
            folder = path / layout.DISK_FOLDER / layout.disk_folder(shipment.set, number)
            with LocalStore.open(str(folder)) as store:
                store.put_new(_set_name(point.manifest, signed), signed)
    return ShipmentResult(shipment.set, (), len(document.disks), cargo.sizes, before=True)


def _set_name(manifest: Manifest, signed: bytes) -> str:
    return layout.numbered(layout.set_prefix(manifest.machine), manifest.sequence, hex_digest(signed))


class _Shipping:
    """One run: the state that its threads share."""

    def __init__(
        self, vault: Vault, point: VaultPoint, shipment: OutgoingShipment, cargo: Cargo, monitor: Monitor
    ) -> None:
        self._vault = vault
        self._point = point
        self._shipment = shipment
        self._cargo = cargo
        self._monitor = monitor
        self._disks: list[OutboundDisk] = []
        self._failed: dict[Path, OffseedError] = {}
        self._lock = threading.Lock()
        self._lost: set[str] = set()
        self._queue: deque[Holding] = deque()

    def run(self, paths: Sequence[Path], opened: ExitStack) -> ShipmentResult:
        for path in paths:
            self._on(path, self._attach, path, opened)
        if not self._disks:
            raise together([*self._failed.values()])
        self._queue.extend(self._unwritten())
        self._monitor.expect(total=sum(h.size for h in self._queue), files=len(self._queue), final=True)
        for disk in self._disks:
            self._on(disk.path, self._begin, disk)
        while (
            self._queue
            and (ready := [d for d in self._whole() if not d.full])
            and not self._monitor.stopping()
        ):
            side_by_side(len(ready), lambda disk: self._on(disk.path, self._fill, disk), ready)
        for disk in self._whole():
            self._on(disk.path, self._close, disk)
        finished = (
            not (self._queue or self._failed or self._lost or self._monitor.stopping())
            and self._cargo.whole
            and self._finish()
        )
        return ShipmentResult(
            self._shipment.set,
            tuple(self._disks),
            len(self._shipment.closed()),
            self._cargo.sizes,
            tuple(holding.size for holding in self._queue),
            len(self._lost),
            tuple(self._failed),
            finished,
        )

    def _whole(self) -> list[OutboundDisk]:
        return [disk for disk in self._disks if disk.path not in self._failed]

    def _on(self, path: Path, action: Callable[P, None], *arguments: P.args, **named: P.kwargs) -> None:
        """Do `action` with the disk at a path. A disk that fails is reported and left; the others go on."""
        try:
            action(*arguments, **named)
        except (MediaError, StoreError) as error:
            store = next((disk for disk in self._disks if disk.path == path), None)
            if not (error.subject.startswith(str(path)) if store is None else store.is_at(error.subject)):
                raise
            with self._lock:
                self._failed[path] = error
            self._monitor.finding(Finding(code=error.code, subject=str(path), detail=error.what))

    def _attach(self, path: Path, opened: ExitStack) -> None:
        """Attach the disk at `path`: a disk of the shipment, known by its label, or the next one.

        Raises MediaError disk-foreign, disk-small, StoreError.
        """
        number = number_at(path, self._shipment.set)
        if number is None:
            least = min((holding.size for holding in self._unwritten()), default=0)
            _check_room(path, least + sum(holding.size for holding in self._cargo.catalog))
            number = next_disk(self._vault, self._point, self._shipment)
        known = self._shipment.labels.get(number)
        if known is None or label_at(path, self._shipment.set, number) not in (None, known[1]):
            raise MediaError(
                "disk-foreign",
                "this disk carries the name of the shipment, and is not one of its disks",
                subject=str(path),
                hint=f"give another disk, or move its folder {layout.DISK_FOLDER}/ away first",
            )
        disk = OutboundDisk(self._vault, known[0], path, self._monitor)
        opened.callback(disk.store.close)
        disk.begin(known[1], self._cargo.known)
        self._disks.append(disk)

    def _unwritten(self) -> list[Holding]:
        """Return the archives that lie on no disk yet.

        An attached disk knows its archives. For another disk, its newest inventory counts.
        """
        written = {name for disk in self._disks for name in disk.held}
        attached = {disk.number for disk in self._disks}
        for number, (inventory, _) in self._shipment.inventories.items():
            if number not in attached:
                written.update(holding.name for holding in listed(self._vault.store, inventory))
        return [holding for holding in self._cargo.content if holding.name not in written]

    def _begin(self, disk: OutboundDisk) -> None:
        """Put the objects that open the point, and its catalog."""
        for name, data in self._cargo.objects.items():
            disk.put(name, data)
        space = memoryview(mmap(-1, ARCHIVE_SIZE_MAX))
        for holding in self._cargo.catalog:
            if holding.name in disk.held:
                continue
            if not disk.has_room(holding):
                raise _small(disk.path, holding.size)
            if (archive := self._read(holding, space)) is not None:
                disk.write(holding, archive)

    def _fill(self, disk: OutboundDisk) -> None:
        """Copy archives from the vault onto a disk, until it is full or none is left."""
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
        """Copy an archive onto a disk. Return False if the disk has no room for it."""
        if not disk.has_room(holding):
            disk.full = True
            return False
        if (data := self._read(holding, space)) is not None:
            disk.write(holding, data)
            self._monitor.progress(done=holding.size, files=1)
        return True

    def _read(self, holding: Holding, space: memoryview) -> memoryview | None:
        """Return a whole archive, or None and a finding if the vault's copy is damaged. Raises StoreError."""
        name = layout.archive_name(holding.name)
        try:
            return read_whole(self._vault.store, holding, space)
        except (StoreError, MediaError, IntegrityError) as error:
            if not is_damage(error):
                raise
            detail = error.what
        with self._lock:
            known = name in self._lost
            self._lost.add(name)
        if not known:
            self._monitor.finding(Finding(code="object-damaged", subject=f"vault/{name}", detail=detail))
        return None

    def _close(self, disk: OutboundDisk) -> None:
        self._shipment.inventories[disk.number] = disk.close()

    def _finish(self) -> bool:
        """Put the set document. Return False if a disk does not take it.

        Such a disk gets it when it is attached again.
        """
        manifest = self._point.manifest
        document = SetDocument(
            vault=self._vault.id,
            machine=manifest.machine,
            set=self._shipment.set,
            revision=1,
            point=manifest.point,
            manifest=self._point.signed.digest,
            created=self._vault.now(),
            disks=tuple(self._shipment.closed()),
        )
        signed = self._vault.signed(document)
        prefix = layout.shipment_prefix(self._shipment.set)
        self._vault.store.put_new(layout.numbered(prefix, 1, hex_digest(signed)), signed)
        name = _set_name(manifest, signed)
        for disk in self._disks:
            self._on(disk.path, disk.put, name, signed)
        return not self._failed


def _check_room(path: Path, least: int) -> None:
    """Check the room on a disk before it takes a number.

    Raises MediaError disk-small, disk-foreign, read-only, StoreError denied.
    """
    top_folder(path)
    with LocalStore.open(str(path), read_only=True) as store:
        if store.free_bytes() < RESERVE + least:
            raise _small(path, RESERVE + least)


def _small(path: Path, least: int) -> MediaError:
    return MediaError(
        "disk-small",
        f"the disk has no room for the catalog of the point, which every disk carries, and for one archive ({size(least)})",
        subject=str(path),
        hint="make room on it, or give another disk",
    )
