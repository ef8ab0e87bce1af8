"""The first look at a disk: its objects and whether to believe them, without a vault and without keys."""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeVar

from formats import layout
from formats.disks import FOLDERS_MAX, check_disk, seed_folders
from formats.documents.disk import OBJECTS_MAX, TABLES_MAX, Label, SetDocument
from formats.documents.envelope import Signed
from formats.documents.manifest import Manifest
from formats.errors import FormatError, IntegrityError, MediaError, NotFoundError, StoreError, VaultError
from formats.ids import ArchiveName, HexDigest, SetId, digest
from formats.monitor import Finding, Monitor, Recorder
from formats.rules.acceptance import Closed, DiskAcceptance, folder_identity
from formats.rules.completeness import label_of
from formats.store.contract import Store
from formats.store.failures import meaning
from formats.store.local import LocalStore
from formats.tables.holdings import ROWS_MAX, TABLE_SIZE_MAX, Holding, decode_table
from formats.tables.needs import Buckets
from formats.untrusted import DOCUMENT_SIZE_MAX
from importer.intake import misplaced_objects
from importer.intake.misplaced_objects import Stray

T = TypeVar("T")

FINDINGS_MAX = 10_000
# More than any inventory can name: the writer of a disk must not fill the datacenter's memory.
LISTED_MAX = TABLES_MAX * ROWS_MAX + OBJECTS_MAX + 10_000
SETS_MAX = 64  # set documents of a disk: one, and one for each time that disks were given up


@dataclass
class Disk:
    """One folder `offseed/<set>-<number>/` of a disk, read and believed as far as possible.

    `closed` is None if no valid inventory closes the folder. `listed` are the objects that are there, name →
    size. `archives` are the archives that the inventory lists. Only archives that are `welcome` are taken;
    None stands for all.
    """

    path: Path
    store: LocalStore
    rules: DiskAcceptance
    label: Label
    closed: Closed | None
    listed: dict[str, int]
    archives: dict[ArchiveName, Holding]
    manifests: list[tuple[Manifest, Signed]]
    sets: list[tuple[SetDocument, Signed]]
    strays: dict[str, Stray] = field(default_factory=dict)  # listed objects that lie elsewhere on the disk
    findings: list[Finding] = field(default_factory=list)
    welcome: Collection[ArchiveName] | None = None
    buckets: Buckets = field(default_factory=dict)  # of the need lists, read so far

    @property
    def name(self) -> str:
        return f"{self.label.set[:8]}-{self.label.number}"


def folders(path: Path) -> Iterator[Path]:
    """Yield our folders on the disk at `path`. Raises MediaError disk-missing, disk-empty, disk-crowded."""
    check_disk(path)
    found = seed_folders(path)
    if not found:
        yield from (moved := list(islice(misplaced_objects.moved_folders(path), FOLDERS_MAX)))
        if moved:
            return
        raise MediaError(
            "disk-empty",
            "no seed lies on this disk",
            subject=str(path),
            hint=f"there is no folder {layout.DISK_FOLDER}/<set>-<number>; is the right disk mounted?",
        )
    yield from found


def look(folder: Path, top: Path, monitor: Monitor) -> Disk:
    """Read a folder's documents; damage does not stop the reading.

    The function looks at nothing outside the disk `top`. Raises MediaError, FormatError, IntegrityError if
    not even the label can be believed, and MediaError disk-forked.
    """
    with ExitStack() as held:
        store = held.enter_context(LocalStore.open(str(folder), read_only=True))
        disk = _look(store, folder, top, monitor)
        held.pop_all()
    return disk


def _look(store: LocalStore, folder: Path, top: Path, monitor: Monitor) -> Disk:
    identity = folder_identity(folder.name) or _moved_identity(store, folder, monitor)
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
    listed = _listed(store)
    closed = rules.read_inventories(_documents(store, listed, "inventories/", met), met)
    disk = Disk(folder, store, rules, label, closed, listed, {}, [], [])
    disk.strays = misplaced_objects.find(top, _missing(disk))
    disk.archives = _inventoried(disk, met)
    disk.strays |= misplaced_objects.find(top, _missing(disk))
    manifests = layout.manifest_prefix(label.machine)
    for name, data in _documents(store, listed, manifests, met):
        disk.manifests += _believed(rules.read_manifest, data, name, met)
    for name in (n for n in disk.strays if n.startswith(manifests)):
        disk.manifests += _believed(
            rules.read_manifest, fetch(disk, name, DOCUMENT_SIZE_MAX, None), name, met
        )
    named = sorted(name for name in listed if name.startswith(layout.set_prefix(label.machine)))
    for name, data in _documents(store, named[-SETS_MAX:], "", met):
        disk.sets += _believed(rules.read_set, data, name, met)
    if (more := len(named) - SETS_MAX) > 0:
        detail = f"{more:,} set documents more than any disk has were not read"
        met.finding(Finding(code="disk-crowded", subject=disk.name, detail=detail))
    disk.findings = met.findings
    if closed is None:
        met.finding(
            Finding(code="disk-unfinished", subject=disk.name, detail="no valid inventory closes this disk")
        )
    return disk


def _listed(store: Store) -> dict[str, int]:
    """Return the objects that are there, name to size. Raises MediaError disk-crowded."""
    listed = dict(islice(store.list(""), LISTED_MAX + 1))
    if len(listed) > LISTED_MAX:
        raise MediaError(
            "disk-crowded", f"the folder holds more than {LISTED_MAX:,} objects, and no seed has so many", subject=store.address,
            hint="ask the sender: `seed` did not write this folder",
        )  # fmt: skip
    return listed


def _moved_identity(store: Store, folder: Path, monitor: Monitor) -> tuple[SetId, int]:
    """Return the set and number from the label of a folder that lost its name.

    Raises MediaError disk-foreign.
    """
    label = label_of(store)
    if label is None:
        raise MediaError(
            "disk-foreign", "a file of this name is no label of ours", subject=str(folder),
            hint="it was left alone",
        )  # fmt: skip
    detail = f"the folder of disk {label.number} of set {label.set[:8]} was moved, and lies here"
    monitor.finding(Finding(code="object-missing", subject=str(folder), detail=detail))
    return label.set, label.number


def check_holdings(disk: Disk, monitor: Monitor) -> None:
    """Compare the inventory with the objects that are there, both ways; every discrepancy is a finding.

    Beyond ten thousand, one finding counts all others: the writer of the disk may have listed half a million.
    """
    found = _discrepancies(disk)
    for finding in islice(found, FINDINGS_MAX):
        monitor.finding(finding)
    if more := sum(1 for _ in found):
        detail = f"{more:,} more objects are not there, not as listed, or not listed"
        monitor.finding(Finding(code="object-missing", subject=disk.name, detail=detail))


def _discrepancies(disk: Disk) -> Iterator[Finding]:
    if disk.closed is None:
        return
    expected = inventoried(disk)
    for name, (size, _) in expected.items():
        there, subject = disk.listed.get(name), f"{disk.name}/{name}"
        if there is None:
            stray = disk.strays.get(name)
            detail = (
                f"listed, not there; it was found by its digest: {stray}" if stray else "listed, not there"
            )
            yield Finding(code="object-missing", subject=subject, detail=detail)
        elif there != size:
            yield Finding(code="object-damaged", subject=subject, detail=f"{there} bytes, not {size}")
    own = ("label", "inventories/", layout.set_prefix(disk.label.machine) + "/")
    for name in disk.listed:
        if name not in expected and not name.startswith(own):
            yield Finding(code="object-unlisted", subject=f"{disk.name}/{name}", detail="there, not listed")


def inventoried(disk: Disk) -> dict[str, tuple[int, HexDigest]]:
    """Return the objects that the inventory lists: name to size and digest."""
    if disk.closed is None:
        return {}
    inventory = disk.closed.inventory
    expected = {str(h.name): (h.size, h.digest) for h in (*inventory.tables, *inventory.objects)}
    for holding in disk.archives.values():
        expected[layout.archive_name(holding.name)] = holding.size, HexDigest(holding.name.hex())
    return expected


def _missing(disk: Disk) -> dict[str, tuple[int, HexDigest]]:
    known = disk.listed.keys() | disk.strays.keys()
    return {name: item for name, item in inventoried(disk).items() if name not in known}


def fetch_archive(disk: Disk, holding: Holding, buffer: memoryview) -> memoryview:
    """Read a whole archive once into `buffer`, and check it against its name.

    Raises IntegrityError, StoreError, MediaError.
    """
    name = layout.archive_name(holding.name)
    if (stray := disk.strays.get(name)) is not None:
        data = buffer[: holding.size]
        data[:] = _read_stray(stray)
    else:
        data = buffer[: disk.store.get_into(name, buffer[: holding.size])]
    if digest(data) != bytes(holding.name):
        raise IntegrityError("object-damaged", "the archive is damaged", subject=f"{disk.name}/{name}")
    return data


def fetch(disk: Disk, name: str, size_max: int, expected: str | None) -> bytes:
    """Read an object once, and check it against its digest in hex if one is known.

    Raises IntegrityError, StoreError, MediaError.
    """
    if (stray := disk.strays.get(name)) is not None:
        data = _read_stray(stray)
    else:
        data = disk.store.get(name, length=size_max + 1)
    if expected is not None and digest(data).hex() != expected:
        raise IntegrityError("object-damaged", "the object is damaged", subject=f"{disk.name}/{name}")
    return data


def _read_stray(stray: Stray) -> bytes:
    """Read an object that lies elsewhere on the disk. Raises NotFoundError, MediaError, StoreError."""
    try:
        return stray.read()
    except OSError as error:
        raise meaning(error, str(stray)) from error


def _inventoried(disk: Disk, monitor: Monitor) -> dict[ArchiveName, Holding]:
    found: dict[ArchiveName, Holding] = {}
    tables = disk.closed.inventory.tables if disk.closed else ()
    for table in {(t.name, t.digest): t for t in tables}.values():
        try:
            if table.name != layout.holdings_name(bytes.fromhex(table.digest)):
                raise FormatError("NAME-2", "a table of archives under a name that is not its own")
            data = fetch(disk, table.name, TABLE_SIZE_MAX, table.digest)
            found |= {h.name: h for h in decode_table(data, table.name)}
        except (FormatError, IntegrityError, StoreError, MediaError) as error:
            monitor.finding(Finding(code=error.code, subject=table.name, detail=error.what))
    return found


def _documents(
    store: Store, listed: Iterable[str], prefix: str, monitor: Monitor
) -> Iterator[tuple[str, bytes]]:
    for name in sorted(n for n in listed if n.startswith(prefix)):
        try:
            yield name, store.get(name, length=2 * DOCUMENT_SIZE_MAX + 1)
        except (StoreError, MediaError) as error:
            monitor.finding(Finding(code=error.code, subject=name, detail=error.what))


def _believed(read: Callable[[bytes, str], T], data: bytes, name: str, monitor: Monitor) -> list[T]:
    """Return the document that `read` decodes, or nothing and a finding if it cannot be believed."""
    try:
        return [read(data, name)]
    except (FormatError, IntegrityError, VaultError, MediaError) as error:
        monitor.finding(Finding(code=error.code, subject=name, detail=error.what))
        return []
