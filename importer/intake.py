"""What lies on a disk, and whether it can be believed: the first look, without a vault and without keys."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from formats import layout
from formats.documents.acceptance import Closed, DiskAcceptance, folder_identity
from formats.documents.disk import Label, SetDocument
from formats.documents.envelope import Signed
from formats.documents.manifest import Manifest
from formats.errors import FormatError, IntegrityError, MediaError, NotFoundError, StoreError, VaultError
from formats.ids import ArchiveName, digest
from formats.monitor import Finding, Monitor, Recorder
from formats.store.contract import Store
from formats.store.local import LocalStore
from formats.tables.holdings import Holding, decode_table
from formats.wire import DOCUMENT_SIZE_MAX

T = TypeVar("T")


@dataclass
class Disk:
    """One folder `offseed/<set>-<number>/` of a disk, read and believed as far as it can be.

    `closed` is None where no valid inventory closes it. `listed` are the objects there are, name → size;
    `archives` those that the inventory lists.
    """

    path: Path
    store: Store
    rules: DiskAcceptance
    label: Label
    closed: Closed | None
    listed: dict[str, int]
    archives: dict[ArchiveName, Holding]
    manifests: list[tuple[Manifest, Signed]]
    sets: list[tuple[SetDocument, Signed]]
    findings: list[Finding] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.label.set[:8]}-{self.label.number}"


def folders(path: Path) -> Iterator[Path]:
    """The folders of ours on the disk mounted at `path`. Raises MediaError disk-missing, disk-empty."""
    if not path.is_dir():
        what = "this is a file, not a mounted disk" if path.exists() else "there is no disk at this path"
        raise MediaError(
            "disk-missing", what, subject=str(path), hint="give the path that the disk is mounted at"
        )
    top = path / layout.DISK_FOLDER
    found = []
    if top.is_dir() and not top.is_symlink():
        found = sorted(
            e.name for e in os.scandir(top) if e.is_dir(follow_symlinks=False) and folder_identity(e.name)
        )
    if not found:
        raise MediaError(
            "disk-empty",
            "no seed lies on this disk",
            subject=str(path),
            hint=f"there is no folder {layout.DISK_FOLDER}/<set>-<number>; is the right disk mounted?",
        )
    for name in found:
        yield top / name


def look(folder: Path, monitor: Monitor) -> Disk:
    """Read a folder's documents. Reading stops at nothing that is merely damaged.

    Raises MediaError, FormatError, IntegrityError where not even the label can be believed, and
    MediaError disk-forked.
    """
    identity = folder_identity(folder.name)
    assert identity is not None
    store = LocalStore.open(str(folder), read_only=True)
    rules = DiskAcceptance(*identity, str(folder))
    try:
        label = rules.read_label(store.get("label", length=2 * DOCUMENT_SIZE_MAX + 1))
    except NotFoundError:
        raise MediaError(
            "disk-unfinished",
            "the folder has no label",
            subject=str(folder),
            hint="the export was stopped before it began, or the disk is damaged: ask the sender to run it again",
        ) from None
    met = Recorder(monitor)
    listed = dict(store.list(""))
    closed = rules.read_inventories(_documents(store, listed, "inventories/", met), met)
    archives = _inventoried(store, closed, met) if closed else {}
    disk = Disk(folder, store, rules, label, closed, listed, archives, [], [])
    for name, data in _documents(store, listed, layout.manifest_prefix(label.machine), met):
        disk.manifests += _believed(rules.read_manifest, data, name, met)
    for name, data in _documents(store, listed, layout.set_prefix(label.machine), met):
        disk.sets += _believed(rules.read_set, data, name, met)
    disk.findings = met.findings
    if closed is None:
        met.finding(
            Finding(code="disk-unfinished", subject=disk.name, detail="no valid inventory closes this disk")
        )
    return disk


def check_holdings(disk: Disk, monitor: Monitor) -> None:
    """Compare what the inventory lists with what is there, both ways; every discrepancy is a finding."""
    if disk.closed is None:
        return
    inventory = disk.closed.inventory
    expected = {held.name: held.size for held in (*inventory.tables, *inventory.objects)}
    expected |= {layout.archive_name(a.name): a.size for a in disk.archives.values()}
    for name, size in expected.items():
        there = disk.listed.get(name)
        if there is None:
            monitor.finding(
                Finding(code="object-missing", subject=f"{disk.name}/{name}", detail="listed, not there")
            )
        elif there != size:
            monitor.finding(
                Finding(
                    code="object-damaged", subject=f"{disk.name}/{name}", detail=f"{there} bytes, not {size}"
                )
            )
    own = ("label", "inventories/", layout.set_prefix(disk.label.machine) + "/")
    for name in disk.listed:
        if name not in expected and not name.startswith(own):
            monitor.finding(
                Finding(code="object-unlisted", subject=f"{disk.name}/{name}", detail="there, not listed")
            )


def fetch_archive(disk: Disk, holding: Holding, buffer: memoryview) -> memoryview:
    """A whole archive, read once into `buffer` and checked against its name.

    Raises IntegrityError, StoreError, MediaError.
    """
    name = layout.archive_name(holding.name)
    data = buffer[: disk.store.get_into(name, buffer[: holding.size])]
    if digest(data) != bytes(holding.name):
        raise IntegrityError("object-damaged", "the archive is damaged", subject=f"{disk.name}/{name}")
    return data


def fetch(disk: Disk, name: str, size_max: int, expected: str | None) -> bytes:
    """An object read once and checked against its digest, in hex, where one is known.

    Raises IntegrityError, StoreError, MediaError.
    """
    data = disk.store.get(name, length=size_max + 1)
    if expected is not None and digest(data).hex() != expected:
        raise IntegrityError("object-damaged", "the object is damaged", subject=f"{disk.name}/{name}")
    return data


def _inventoried(store: Store, closed: Closed, monitor: Monitor) -> dict[ArchiveName, Holding]:
    found: dict[ArchiveName, Holding] = {}
    for table in closed.inventory.tables:
        try:
            data = store.get(table.name, length=table.size + 1)
            if digest(data).hex() != table.digest:
                raise IntegrityError(
                    "object-damaged", "a table of the inventory is damaged", subject=table.name
                )
            found |= {h.name: h for h in decode_table(data, table.name)}
        except (FormatError, IntegrityError, StoreError, MediaError) as error:
            monitor.finding(Finding(code=error.code, subject=table.name, detail=error.what))
    return found


def _documents(
    store: Store, listed: dict[str, int], prefix: str, monitor: Monitor
) -> Iterator[tuple[str, bytes]]:
    for name in sorted(n for n in listed if n.startswith(prefix)):
        try:
            yield name, store.get(name, length=2 * DOCUMENT_SIZE_MAX + 1)
        except (StoreError, MediaError) as error:
            monitor.finding(Finding(code=error.code, subject=name, detail=error.what))


def _believed(read: Callable[[bytes, str], T], data: bytes, name: str, monitor: Monitor) -> list[T]:
    """What `read` makes of a document; nothing, and a finding, where it is not to be believed."""
    try:
        return [read(data, name)]
    except (FormatError, IntegrityError, VaultError, MediaError) as error:
        monitor.finding(Finding(code=error.code, subject=name, detail=error.what))
        return []
