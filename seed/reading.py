"""Reading recovery points from wherever they lie: a vault, disks, or both, as one union of stores.

Restore trusts the master key alone: a point counts once its sealed root is opened and agrees with the manifest, a
need list by the digest in it, an index by the digest in the need list, a chunk by its seal.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import pairwise
from operator import or_
from pathlib import Path

from formats import layout
from formats.documents import envelope
from formats.documents.acceptance import folder_identity
from formats.documents.damage import Replacement
from formats.documents.manifest import Manifest
from formats.errors import (
    FormatError,
    IntegrityError,
    MediaError,
    NotFoundError,
    OffseedError,
    StoreError,
    VaultError,
    damage_aside,
    is_damage,
)
from formats.ids import ArchiveName, ChunkId, Digest, HexDigest, digest, hex_digest
from formats.keyed.catalog import LOST, Entry, PageRow, decode_entries, decode_page, small_files, sort_key
from formats.keyed.chunk import ChunkSealer
from formats.keyed.keys import MasterKey
from formats.keyed.root import Root, open_root
from formats.monitor import Finding, Monitor, Tally, damage_told
from formats.replaced import Stock, joined, replacements, sections, translated, unheld
from formats.standing import newest_points
from formats.store.contract import Store
from formats.store.local import LocalStore
from formats.tables import needs
from formats.tables.archive import FOOTER, parse_footer
from formats.tables.holdings import Holding
from formats.tables.index import CATALOG
from formats.tables.index import ROW as INDEX_ROW
from formats.tables.needs import Need
from formats.tables.sections import Section, decode_object
from formats.wire import refuse
from seed.disk import check_disk
from seed.machines import Machine
from seed.places import Place, Places


class Union:
    """Several stores read as one; an object is taken from the first that gives it whole.

    Whoever builds upon what stands in for what gives the `signers` that it believes: where their replacements lie, and their
    keys. Whoever only reads believes the seals, and looks wherever anybody says.
    """

    def __init__(
        self,
        stores: Sequence[Store],
        signers: Mapping[str, bytes] | None = None,
        condemned: Collection[str] = (),
    ) -> None:
        self.stores = stores
        self.condemned = condemned
        self._signers = signers
        self._replacements: dict[str, Replacement] = {}

    def get(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """Raises NotFoundError where no store has it, else what the last one raised."""
        failure: OffseedError = NotFoundError(name, ", ".join(s.address for s in self.stores))
        for store in self.stores:
            try:
                return store.get(name, start, length)
            except NotFoundError:
                continue
            except (StoreError, MediaError) as error:
                failure = error
        raise failure

    def get_document(self, name: str) -> bytes:
        """A document, whose name ends in 32 digits of its digest; from the first store where it is whole.

        Raises IntegrityError, NotFoundError, StoreError, MediaError.
        """
        return self._whole(
            name, lambda data: name.endswith(hex_digest(data)[:32]), length=envelope.SIZE_MAX + 1
        )

    def get_checked(self, name: str, expected: bytes) -> bytes:
        """An object of that digest, from the first store where it is whole. Raises as `get_document`."""
        return self._whole(name, lambda data: digest(data) == expected)

    def _whole(self, name: str, is_whole: Callable[[bytes], bool], length: int | None = None) -> bytes:
        failure: OffseedError = NotFoundError(name, ", ".join(s.address for s in self.stores))
        for store in self.stores:
            try:
                data = store.get(name, length=length)
            except (StoreError, MediaError) as error:
                failure = failure if isinstance(error, NotFoundError) else error
                continue
            if is_whole(data):
                return data
            failure = IntegrityError(
                "object-damaged", "an object is damaged", subject=f"{store.address}/{name}",
                hint="read from another disk, or from the vault",
            )  # fmt: skip
        raise failure

    def replacements(self) -> Collection[Replacement]:
        """What stands in for what, by the word of the signers."""
        anybody: Mapping[str, bytes | None] = {"replacements": None}
        for store in self.stores:
            for prefix, key in (self._signers if self._signers is not None else anybody).items():
                found = replacements(store, prefix, key, Tally(), known=self._replacements)
                self._replacements.update(found)
        return self._replacements.values()

    def stock(self, key_id: str) -> Stock:
        """The archives at hand that are not condemned, and what stands in for others under that key."""
        there = {archive for store in self.stores for archive in store.list("archives")}
        found = Stock({(name, size) for name, size in there if name not in self.condemned})
        for document in self.replacements():
            if document.key_id == key_id:
                found.add(document.replaced)
        return found

    def list(self, prefix: str) -> Iterator[str]:
        seen: set[str] = set()
        for store in self.stores:
            for name, _ in store.list(prefix):
                if name not in seen:
                    seen.add(name)
                    yield name


def disk_stores(paths: Iterable[Path]) -> list[Store]:
    """The stores of all our folders on the disks. Raises MediaError disk-missing, disk-empty."""
    found: list[Store] = []
    for path in paths:
        check_disk(path)
        top = path / layout.DISK_FOLDER
        folders = [f for f in sorted(top.iterdir()) if folder_identity(f.name)] if top.is_dir() else []
        if not folders:
            raise MediaError(
                "disk-empty",
                "no seed lies on this disk",
                subject=str(path),
                hint=f"there is no folder {layout.DISK_FOLDER}/<set>-<number>; is the right disk mounted?",
            )
        found += [LocalStore.open(str(folder), read_only=True) for folder in folders]
    return found


def check_vault(store: Store) -> None:
    """Raises VaultError vault-missing where neither a vault's description nor a point lies in a store."""
    if not any(any(True for _ in store.list(prefix)) for prefix in ("descriptor", "manifests")):
        raise VaultError(
            "vault-missing", "there is no vault at this address", subject=store.address,
            hint="is the share mounted? Check the address",
        )  # fmt: skip


@dataclass(frozen=True)
class Point:
    """A recovery point whose root was opened."""

    manifest: Manifest
    digest: HexDigest
    root: Root
    master: MasterKey


def points(union: Union, machines: Sequence[Machine], monitor: Monitor) -> list[Point]:
    """All points of `machines`, by sequence, each as it was revised last. What does not open or agree is a finding. Raises
    StoreError."""
    found: dict[str, Point] = {}
    for machine in machines:
        for name in union.list(layout.manifest_prefix(machine.machine)):
            with damage_told(monitor, name), suppress(NotFoundError):  # one that expired just now
                signed = envelope.read(union.get_document(name), name)
                manifest = signed.peek(Manifest)
                root = open_root(machine.master, manifest, name)
                signed.verify(Manifest, bytes.fromhex(root.public_key))
                if signed.digest not in machine.counted:
                    counted = machine.counted
                    detail = (
                        f"the vault did not have it when its machine was {counted.status}: it does not count"
                    )
                    monitor.finding(Finding(code=counted.code, subject=name, detail=detail))
                elif root.machine == machine.machine:
                    found[signed.digest] = Point(manifest, signed.digest, root, machine.master)
    ordered = newest_points(
        sorted(
            found.values(), key=lambda p: (p.manifest.machine_name, p.manifest.sequence, p.manifest.created)
        ),
        lambda p: p.manifest,
    )
    for before, point in pairwise(ordered):
        same = (before.manifest.machine, before.manifest.sequence)
        if same == (point.manifest.machine, point.manifest.sequence):
            detail = (
                f"points {before.manifest.point[:8]} and {point.manifest.point[:8]} have one sequence number"
            )
            monitor.finding(Finding(code="cloned-home", subject=point.manifest.machine_name, detail=detail))
    return ordered


def needed_of(union: Union, point: Point) -> list[Need]:
    """The need list of a point. Raises IntegrityError, FormatError, StoreError, MediaError."""
    root = Digest(bytes.fromhex(point.manifest.needs))
    where = f"needs of {point.manifest.point[:8]}"
    return needs.load(root, lambda d: union.get_checked(layout.need_name(d), d), where)


class PointReader:
    """Reads one point: its catalog, and the chunks its files are made of."""

    def __init__(self, union: Union, point: Point, monitor: Monitor) -> None:
        self.union = union
        self.point = point
        self.sealer = ChunkSealer(point.master)
        self._monitor = monitor
        self._places = Places()
        self.indexes: list[str] = []  # the index objects that hold these
        self.unheld: list[Need] = []  # what others are said to hold in an archive's place, and do not
        self.needed = needed_of(union, point)  # by its need list; `needs` are those at hand
        standing = list(self._standing(self.needed))
        self.needs = [need for need, _ in standing]
        self.sections = [section for _, section in standing]  # None where no index is to be had
        for number, section in enumerate(self.sections):
            if section is not None:
                self._places.add(number, section.rows(layout.archive_name(section.archive.name)))
        self._places.end()

    def places(self, chunk: ChunkId) -> list[Place]:
        """Every place where `chunk` is said to lie; none where it has not arrived."""
        return self._places.of(chunk)

    def first_places(self, chunks: Sequence[ChunkId]) -> list[Place | None]:
        """Of each chunk the first place where it is said to lie; None where it has not arrived."""
        return self._places.first(chunks)

    def is_there(self, chunk: ChunkId) -> bool:
        """Whether a chunk lies in an archive that is at hand, as the stores list them."""
        return any(self._archives_there[place.archive] for place in self.places(chunk))

    @cached_property
    def _archives_there(self) -> list[bool]:
        listed = {listed for store in self.union.stores for listed in store.list("archives")}
        return [(layout.archive_name(n.archive.name), n.archive.size) in listed for n in self.needs]

    def chunk(self, chunk: ChunkId, kind: int) -> bytes:
        """A chunk's raw bytes; every candidate is tried before an error.

        Raises IntegrityError content-lost, chunk-missing, seal-broken.
        """
        if chunk == LOST:
            raise IntegrityError(
                "content-lost", "its content was lost, and is no longer where it was backed up from",
                hint="`seed find` shows whether another recovery point has it",
            )  # fmt: skip
        failure: OffseedError | None = None
        for place in self.places(chunk):
            for store in self.union.stores:
                try:
                    name = layout.archive_name(self.needs[place.archive].archive.name)
                    return self.sealer.open(kind, chunk, store.get(name, place.offset, place.length), name)
                except NotFoundError:
                    continue
                except (FormatError, IntegrityError, StoreError, MediaError) as error:
                    failure = error
        if failure is not None:
            raise failure
        raise IntegrityError(
            "chunk-missing",
            "a chunk is in none of the archives at hand",
            subject=chunk.hex()[:16],
            hint="give the other disks of the set too, or wait until the vault holds them",
        )

    def entries(self, below: bytes = b"") -> Iterator[Entry]:
        """The catalog's rows in order; with `below`, those at or under that path. Segments outside are not read.

        Raises IntegrityError, FormatError, StoreError.
        """
        for _, entries in self.segments(below):
            for entry in entries:
                if not below or entry.path == below or entry.path.startswith(below + b"/"):
                    yield entry

    def segments(self, below: bytes = b"") -> Iterator[tuple[PageRow, list[Entry]]]:
        """The catalog's segments in order; with `below`, those that may hold rows at or under that path. Raises as `entries`."""
        first, last = sort_key(below), sort_key(below) + b"\1"
        before: Entry | None = None
        for row in self.page_rows():
            if not below or (sort_key(row.last) >= first and sort_key(row.first) < last):
                entries = self.segment(row)
                if before is not None and entries and entries[0].place <= before.place:
                    refuse("CAT-4", "rows are not sorted", f"segment {row.segment.hex()[:16]}")
                before = entries[-1] if entries else before
                yield row, entries

    def segment(self, row: PageRow) -> list[Entry]:
        """The rows of one segment. Raises as `entries`."""
        return decode_entries(self.chunk(row.segment, CATALOG), f"segment {row.segment.hex()[:16]}")

    def page_rows(self) -> Iterator[PageRow]:
        """The segments of the catalog, in order. Raises as `entries`."""
        for page_id in self.point.root.pages:
            yield from decode_page(
                self.chunk(ChunkId(bytes.fromhex(page_id)), CATALOG), f"page {page_id[:16]}"
            )

    def small_files(self) -> Iterator[list[tuple[bytes, ChunkId, int]]]:
        """Of each small file its content id, the bundle it lies in, and where in it; by segments. Raises as `entries`."""
        for row in self.page_rows():
            yield list(small_files(self.chunk(row.segment, CATALOG)))

    def _standing(self, needed: Sequence[Need]) -> Iterator[tuple[Need, Section | None]]:
        """What is needed, with its indexes; in place of archives that are not there, those that stand in for them."""
        there = self.union.stock(self.point.manifest.key_id) if self.union.replacements() else Stock(set())
        stand_ins = {by for need in needed for by in there.stand_ins(need.archive)}
        found = self._indexes([*(need.archive for need in needed), *stand_ins])
        kept = [n for n in needed if there.holds(n.archive) or not there.stand_ins(n.archive)]
        instead: list[Need] = []
        for need in needed:
            others = [(held, found.get(by.name)) for by, held in there.stand_ins(need.archive).items()]
            at_hand = [(held, section) for held, section in others if section is not None]
            old = found.get(need.archive.name)
            instead += [translated(need, old, held, section) for held, section in at_hand]
            if old is not None and others and not there.holds(need.archive):
                said = reduce(or_, (held for held, _ in others))
                if (short := unheld(need, old, said, [section for _, section in at_hand])) is not None:
                    self.unheld.append(short)
        for need in joined([*kept, *instead]) if instead else kept:
            yield need, found.get(need.archive.name)

    def _indexes(self, archives: Sequence[Holding]) -> dict[ArchiveName, Section]:
        """The indexes of archives, from index objects or the archives' own ends."""
        found, self.indexes = sections(self._index_objects(), archives)
        for archive in archives:
            if archive.name not in found and (section := self._own_index(archive)) is not None:
                found[archive.name] = section
        return found

    def _index_objects(self) -> Iterator[tuple[str, list[Section]]]:
        for name in self.union.list("indexes"):
            with suppress(ValueError), damage_aside():  # then the archive's own end is tried
                data = self.union.get_checked(name, bytes.fromhex(name.rpartition("/")[2]))
                yield name, decode_object(data, name)

    def _own_index(self, archive: Holding) -> Section | None:
        """From the archive's end, believed by the digest in the need list. None where it is not to be had."""
        name = layout.archive_name(archive.name)
        try:
            footer = self.union.get(name, archive.size - FOOTER.size, FOOTER.size)
            index_digest, records = parse_footer(footer, archive.size, name)
            start = max(0, archive.size - FOOTER.size - records * INDEX_ROW.size)
            index = self.union.get(name, start, records * INDEX_ROW.size)
            if digest(index) == archive.index_digest == index_digest:
                return Section(archive, index)
        except NotFoundError:
            return None
        except (FormatError, StoreError, MediaError) as error:
            if not is_damage(error):
                raise
            self._monitor.finding(Finding(code=error.code, subject=name, detail=error.what))
            return None
        self._monitor.finding(Finding(code="object-damaged", subject=name, detail="its index is damaged"))
        return None
