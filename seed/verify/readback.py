"""The reading back of one folder of a disk, past the page cache, with the keys. Nothing is written.

Every object is read once and whole. It must have the digest that its name and its inventory say, else it is a
finding. An object that is listed and missing is a finding, and so is one that is there and not listed. Every
record of every archive is opened, and the index of an archive must be the listed one. Damage in one place
keeps nothing else from being read.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from formats import layout
from formats.disks import check_disk, seed_folders
from formats.documents.disk import Label, ListedObject
from formats.documents.envelope import SIZE_MAX
from formats.errors import (
    FormatError,
    IntegrityError,
    Interrupted,
    MediaError,
    NotFoundError,
    OffseedError,
    StoreError,
    VaultError,
)
from formats.ids import ArchiveName, HexDigest, KeyId, SetId, digest, hex_digest
from formats.keyed.chunk import ChunkSealer
from formats.keyed.keys import MasterKey
from formats.keyed.root import open_root
from formats.monitor import Finding, Monitor, Recorder
from formats.rules.acceptance import Closed, DiskAcceptance, folder_identity, forked
from formats.store.local import LocalStore
from formats.tables.archive import Parsed, parse
from formats.tables.holdings import Holding, decode_table
from formats.tables.index import IndexRow
from formats.tables.sections import decode_object, holding_of
from seed.home.disk_sets import DiskState

UNREADABLE = 8  # objects: a disk that gave none of so many has gone
PARTS = 4  # the parts of an archive's records for each thread; parts take different times


class MasterKeys:
    """The master keys at hand, by their ids."""

    def __init__(self, masters: Iterable[MasterKey]) -> None:
        self.masters = {master.key_id: master for master in masters}
        self.sealers = {key_id: ChunkSealer(master) for key_id, master in self.masters.items()}


@dataclass(frozen=True)
class Folder:
    """One folder `offseed/<set>-<number>/` of a disk, and its objects.

    The label is None if it is not to be believed.
    """

    disk: Path
    set: SetId
    number: int
    store: LocalStore
    label: Label | None
    listed: dict[str, int]

    @property
    def name(self) -> str:
        return f"{self.set[:8]}-{self.number}"

    @property
    def size(self) -> int:
        return sum(self.listed.values())


def folders_on(disk: Path) -> list[Folder]:
    """Return our folders on the disk mounted at `disk`.

    Raises MediaError disk-missing, disk-empty, StoreError.
    """
    check_disk(disk)
    found = []
    for folder in seed_folders(disk):
        if (identity := folder_identity(folder.name)) is not None:
            store = LocalStore.open(str(folder))
            label = _believed_label(store, DiskAcceptance(*identity, str(folder)))
            found.append(Folder(disk, *identity, store, label, dict(store.list(""))))
    if not found:
        raise MediaError(
            "disk-empty",
            "no seed lies on this disk",
            subject=str(disk),
            hint=f"there is no folder {layout.DISK_FOLDER}/<set>-<number>; is the right disk mounted?",
        )
    return found


def _believed_label(store: LocalStore, rules: DiskAcceptance) -> Label | None:
    try:
        return rules.read_label(store.get("label", length=SIZE_MAX + 1))
    except (FormatError, IntegrityError, MediaError, StoreError):
        return None  # the reading back reports it


@dataclass(frozen=True)
class KnownDisk:
    """The knowledge of this machine's home about a disk.

    `journal` lists the archives that the home believes to be durable there.
    """

    state: DiskState
    journal: tuple[Holding, ...] = ()


class Readback:
    """The reading back of one folder into `buffer`, which is page-aligned; `run` does it.

    `known` is the knowledge of this machine's home about the disk. The other attributes are results. `closed` is the newest inventory if that
    is valid and lists all. Without it, `damaged` names the objects that are damaged in themselves, or are
    journalled and missing. `cached` says that the page cache may have answered.
    """

    def __init__(
        self,
        folder: Folder,
        keys: MasterKeys,
        pool: ThreadPoolExecutor,
        buffer: memoryview,
        monitor: Monitor,
        known: KnownDisk | None = None,
    ) -> None:
        self.folder = folder
        self.closed: Closed | None = None
        self.objects = self.bytes = self.records = 0
        self.cached = False
        self.damaged: set[str] = set()
        self._keys = keys
        self._pool = pool
        self._buffer = buffer
        self._monitor = monitor
        self._state = known.state if known is not None else None
        self._rules = DiskAcceptance(folder.set, folder.number, folder.name)
        self._label: Label | None = None
        self._held: dict[str, ListedObject] = {}
        self._holdings = {
            layout.archive_name(h.name): h for h in (known.journal if known is not None else ())
        }
        self._tables_whole = True
        self._met: set[str] = set()
        self._once_read: str | None = None

    def run(self) -> None:
        """Read the folder back. Raises Interrupted, MediaError disk-missing, disk-forked."""
        with self._judging("label"):
            self._label = self._rules.read_label(bytes(self._read("label")))
        self._read_inventories()
        if self.closed is not None:
            inventory = self.closed.inventory
            self._held = {held.name: held for held in (*inventory.tables, *inventory.objects)}
            self._holdings = {}
            for table in inventory.tables:
                self._read_table(table)
        for name in self.folder.listed:
            if name not in self._met:
                self._check(name)
        for name in sorted((self._held.keys() | self._holdings.keys()) - self._met):
            self._bad(name, "object-missing", "listed, not there")

    def _read(self, name: str) -> memoryview:
        """Return the whole object, in the buffer until the next call.

        Raises Interrupted, StoreError, MediaError.
        """
        if self._monitor.stopping():
            raise Interrupted(2)
        self._met.add(name)
        size, cached = self.folder.store.get_uncached_into(name, self._buffer)
        self._once_read = self._once_read or name
        self.cached |= cached
        self.objects += 1
        self.bytes += size
        self._monitor.progress(done=size)
        return self._buffer[:size]

    @contextmanager
    def _judging(self, name: str) -> Iterator[None]:
        """Report an error inside as damage to this object, unless the disk has gone."""
        try:
            yield
        except NotFoundError:
            self._check_there(io_error=False)
            self._bad(name, "object-missing", "it is not there")
        except (FormatError, IntegrityError, VaultError, MediaError, StoreError) as error:
            self._check_there(io_error=error.code == "io-error")
            self._bad(name, error.code, error.what)

    def _bad(self, name: str, code: str, detail: str) -> None:
        self.damaged.add(name)
        self._find(code, name, detail)

    def _find(self, code: str, name: str, detail: str) -> None:
        subject = f"{self.folder.name}/{name}" if name else self.folder.name
        self._monitor.finding(Finding(code=code, subject=subject, detail=detail))

    def _check_there(self, *, io_error: bool) -> None:
        """Raise MediaError disk-missing if the disk has gone.

        A disk that was pulled out is not a disk on which each object is damaged.
        """
        folder = self.folder
        try:
            same = os.stat(folder.store.address).st_dev == folder.store.device()
            if same and (not io_error or self._answers()):
                return
        except (OSError, OffseedError):
            pass
        raise MediaError(
            "disk-missing",
            "the disk no longer answers",
            subject=str(folder.disk),
            hint="attach it again, by another cable if need be, and run the same command; of this reading nothing is kept",
        )

    def _answers(self) -> bool:
        """Return whether the disk gives an object again that it gave before. Raises StoreError, MediaError.

        A disk that gave none yet still counts as answering for the first `UNREADABLE` objects.
        """
        if self._once_read is None:
            return len(self._met) < UNREADABLE
        self.folder.store.get_uncached_into(self._once_read, self._buffer)
        return True

    def _read_inventories(self) -> None:
        """Find the inventory that closes the disk. If the newest is not valid, no other one counts."""
        found: list[tuple[str, bytes]] = []
        newest = 0
        for name in [n for n in self.folder.listed if n.startswith("inventories/")]:
            newest = max(newest, layout.number_of(name))
            with self._judging(name):
                data = bytes(self._read(name))
                _check_named(name, hex_digest(data))
                found.append((name, data))
        if self._label is None:
            return
        met = Recorder(self._monitor)
        closed = self._rules.read_inventories(found, met)
        self.damaged |= {f.subject.partition("/")[2] for f in met.findings}
        why = self._unfinished(closed, newest)
        if why:
            self._find("disk-unfinished", "", why)
        else:
            self.closed = closed

    def _unfinished(self, closed: Closed | None, newest: int) -> str:
        """Return why the disk is not closed, an empty text if it is. Raises MediaError disk-forked."""
        state = self._state
        if state is not None and state.inventory is None:
            return "its export goes on: no inventory lists all that was written"
        if closed is None:
            return "no valid inventory closes this disk"
        generation = closed.inventory.generation
        if state is not None and generation == state.generation and closed.digest != state.inventory:
            raise forked(self.folder.name, generation)
        newest = max(newest, state.generation if state is not None else 0)
        if generation < newest:
            return f"its newest inventory, generation {newest}, is damaged or missing"
        return ""

    def _read_table(self, held: ListedObject) -> None:
        before = len(self.damaged)
        with self._judging(held.name):
            data = self._read(held.name)
            self._check_digest(held.name, data)
            rows = decode_table(bytes(data), held.name)
            self._holdings |= {layout.archive_name(h.name): h for h in rows}
        self._tables_whole &= len(self.damaged) == before

    def _check(self, name: str) -> None:
        if not self._is_listed(name):
            self._met.add(name)
            self._find("object-unlisted", name, "there, not listed")
            return
        with self._judging(name):
            data = self._read(name)
            if name.startswith("archives/"):
                self._check_archive(name, data)
            else:
                self._check_digest(name, data)
                self._check_object(name, bytes(data))

    def _is_listed(self, name: str) -> bool:
        if self.closed is None:
            return True  # no inventory lists it yet
        if name.startswith("archives/"):
            return name in self._holdings or not self._tables_whole
        return name in self._held or name.startswith(layout.set_prefix(self.closed.inventory.machine) + "/")

    def _check_digest(self, name: str, data: memoryview) -> None:
        found, held = hex_digest(data), self._held.get(name)
        if held is not None and held.size != len(data):
            raise IntegrityError("object-damaged", f"{len(data)} bytes, not {held.size}")
        if held is not None and held.digest != found:
            raise IntegrityError("object-damaged", "its bytes are not those that were written")
        _check_named(name, found)

    def _check_object(self, name: str, data: bytes) -> None:
        """Raise FormatError, IntegrityError, VaultError if a document is not to be believed."""
        if name.startswith("indexes/"):
            for section in decode_object(data, name):
                other = self._holdings.get(layout.archive_name(section.archive.name), section.archive)
                if other != section.archive:
                    raise IntegrityError("object-damaged", "it describes another archive than the one listed")
        elif self._label is None:
            return
        elif name.startswith("manifests/"):
            manifest, _ = self._rules.read_manifest(data, name)
            master = self._keys.masters.get(KeyId(bytes.fromhex(manifest.key_id)))
            if master is None:
                raise _other_key()
            open_root(master, manifest, name)
        elif name.startswith("sets/"):
            self._rules.read_set(data, name)
        elif name.startswith("slots/"):
            self._rules.read_slots(data, name)
        elif name.startswith("policies/"):
            self._rules.read_policy(data, name)
        elif name.startswith("requests/"):
            self._rules.read_request(data, name)

    def _check_archive(self, name: str, data: memoryview) -> None:
        found = ArchiveName(digest(data))
        if layout.archive_name(found) != name:
            raise IntegrityError("object-damaged", self._damage(name, data))
        parsed = parse(data, name)
        holding = holding_of(parsed, found, len(data))
        if self._holdings.get(name, holding) != holding:
            raise IntegrityError("object-damaged", "its index is not the one that is listed")
        broken = self._open(parsed, name, data)
        if broken:
            raise IntegrityError(
                "seal-broken", f"{broken:,} of {len(parsed.rows):,} chunks in it do not open"
            )

    def _damage(self, name: str, data: memoryview) -> str:
        """Return in words how far the damage to an archive goes."""
        listed = self._holdings.get(name)
        if listed is not None and listed.size != len(data):
            return f"{len(data)} bytes, not {listed.size}"
        try:
            parsed = parse(data, name)
            broken = self._open(parsed, name, data)
        except (FormatError, IntegrityError):
            return "its head or its index is damaged"
        return f"{broken:,} of {len(parsed.rows):,} chunks in it are damaged"

    def _open(self, parsed: Parsed, name: str, data: memoryview) -> int:
        """Open every record; return how many do not open.

        Raises IntegrityError object-damaged for another key.
        """
        sealer = self._keys.sealers.get(parsed.key_id)
        if sealer is None:
            raise _other_key()
        rows = parsed.rows
        step = -(-len(rows) // (PARTS * (os.cpu_count() or 2)))
        parts = [rows[at : at + step] for at in range(0, len(rows), step)]
        broken = sum(self._pool.map(lambda part: _broken(sealer, part, name, data), parts))
        self.records += len(rows) - broken
        return broken


def _broken(sealer: ChunkSealer, rows: Sequence[IndexRow], name: str, data: memoryview) -> int:
    """Return how many of these records do not open."""
    broken = 0
    for row in rows:
        try:
            sealer.open(row.kind, row.chunk, data[row.offset : row.offset + row.length], name)
        except (FormatError, IntegrityError):
            broken += 1
    return broken


def _check_named(name: str, found: HexDigest) -> None:
    """Raise IntegrityError if `name` ends in another digest than the one found."""
    if not layout.is_name_of(name, found):
        raise IntegrityError("object-damaged", "its bytes are not those that were written")


def _other_key() -> IntegrityError:
    return IntegrityError("object-damaged", "it is under another key than the one at hand")
