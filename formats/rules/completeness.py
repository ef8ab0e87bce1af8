"""The standing of a recovery point in a store: complete, or waiting for disks. It is computed, never stored.

Points and sets may be revised. Of several documents of one, the document with the highest revision holds.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple, TypeVar

from formats import layout
from formats.documents import envelope
from formats.documents.disk import Inventory, Label, ListedObject, SetDisk, SetDocument
from formats.documents.manifest import Manifest
from formats.errors import FormatError, MediaError, StoreError, damage_aside
from formats.ids import ArchiveName, Digest, HexDigest, PointId, SetId, VaultId
from formats.monitor import Tally
from formats.rules.replacements import Stock
from formats.store.checked import read_checked
from formats.store.contract import Store
from formats.tables.holdings import TABLE_SIZE_MAX, Holding, decode_table
from formats.tables.needs import Need
from formats.untrusted import Json
from formats.view.view import View
from formats.words import counted, numbered

T = TypeVar("T")
Came = Callable[[SetDocument, SetDisk], bool]  # whether a disk of a set has come to the store
Waiting = tuple[SetDocument, tuple[int, ...]]  # a set, and the numbers of its disks that have not come


class Awaited(NamedTuple):
    """Disk `number` of a set of `disks` disks."""

    set: SetId
    number: int
    disks: int


@dataclass(frozen=True)
class Completeness:
    """The number of `missing` archives of `needed`, and the disks that may bring them.

    `awaited` is empty if no such disk is known.
    """

    needed: int
    missing: int
    awaited: tuple[Awaited, ...] = ()

    @property
    def complete(self) -> bool:
        return self.missing == 0

    def of(self, manifest: Manifest) -> str:
        """Return the words for a point: its standing, its lost files, and whether its machine doubts it."""
        return self.words(manifest.totals.lost) + (", doubted" if manifest.doubted else "")

    def words(self, lost: int = 0) -> str:
        """Return `complete`, or the disks and archives that the point waits for; and its `lost` files."""
        if lost:
            return f"{self.words()}, {counted(lost, 'file')} lost"
        if self.complete:
            return "complete"
        missing = f"{self.missing:,} of {self.needed:,} archives missing"
        sets = [
            f"{numbered('disk', [disk.number for disk in disks])} of {of} of set {which[:8]}"
            for (which, of), disks in groupby(self.awaited, key=lambda disk: (disk.set, disk.disks))
        ]
        return f"waits for {', '.join(sets)}: {missing}" if sets else missing

    def to_json(self) -> dict[str, Json]:
        return {
            "archives": self.needed,
            "missing": self.missing,
            "complete": self.complete,
            "awaited_disks": [{"set": d.set, "number": d.number, "disks": d.disks} for d in self.awaited],
        }


def judge(
    needed: Sequence[Need],
    there: Stock,
    waiting: Sequence[Waiting],
    needed_by: Callable[[SetDocument], Set[ArchiveName]],
    in_post: Callable[[SetDocument], Set[ArchiveName]],
) -> Completeness:
    """Return the standing of a point that needs `needed`.

    `there` are the archives at hand, and `waiting` are the sets of its machine with disks that have not come.
    `needed_by` gives the archives that the points of a set need. `in_post` gives the archives that can only
    have come by the disks of a set. While these disks travel, an object under such a name is somebody else's
    (SEEN-4).
    """
    missing = {need.archive.name for need in needed if there.lacking(need) is not None}
    if waiting and not missing:
        names = {need.archive.name for need in needed}
        missing = {name for document, _ in waiting for name in in_post(document) & names}
    found = [
        Awaited(document.set, number, max(disk.number for disk in document.disks))
        for document, numbers in (waiting if missing else ())
        if missing & needed_by(document)
        for number in numbers
    ]
    return Completeness(len(needed), len(missing), tuple(sorted(set(found))))


def brings(document: SetDocument, manifest: Manifest, found: HexDigest) -> bool:
    """Return whether a set brings a point, by its manifest and the manifest's digest."""
    return document.manifest == found or document.set == manifest.set


def newest_points(found: Iterable[T], manifest: Callable[[T], Manifest]) -> list[T]:
    """Return the items with the highest revision of each point, in the given order."""
    items = list(found)
    highest: dict[PointId, int] = {}
    for m in map(manifest, items):
        highest[m.point] = max(m.revision, highest.get(m.point, 0))
    return [item for item in items if manifest(item).revision == highest[manifest(item).point]]


def newest_sets(found: Iterable[SetDocument]) -> list[SetDocument]:
    """Return for each set the document with the highest revision."""
    newest: dict[SetId, SetDocument] = {}
    for document in found:
        if document.set not in newest or newest[document.set].revision < document.revision:
            newest[document.set] = document
    return list(newest.values())


def awaited(document: SetDocument, came: Came) -> tuple[int, ...]:
    """Return the numbers of the disks in a set's document that have not come."""
    return tuple(disk.number for disk in document.disks if not came(document, disk))


def all_waiting(sets: Iterable[SetDocument], came: Came) -> list[Waiting]:
    """Return the sets with disks that have not come, each with the numbers of these."""
    return [(document, numbers) for document in sets if (numbers := awaited(document, came))]


class Arrivals:
    """The disks that have come to `stores`: those among the stores, and those that the vault has received.

    Only the registers of the vault's authority prove receipt: anybody may put an object below `disks/`
    (SEEN-4).
    """

    def __init__(self, stores: Iterable[Store], authority: bytes, vault: VaultId) -> None:
        self._views = [View(store, authority, vault) for store in stores]
        labels = [(view.store, label) for view in self._views if (label := label_of(view.store)) is not None]
        self._at_hand = {(label.set, label.number): store for store, label in labels}

    def came(self, document: SetDocument, disk: SetDisk) -> bool:
        """Return whether a disk of a set has come. Raises StoreError."""
        if (document.set, disk.number) in self._at_hand:
            return True
        return any(layout.number_of(name) >= disk.generation for _, name in self._inventories(document, disk))

    def listed(self, document: SetDocument) -> set[ArchiveName]:
        """Return the archives on the disks of a set that came, as far as their inventories can be read.

        Raises StoreError.
        """
        found: set[ArchiveName] = set()
        for disk in document.disks:
            if (store := self._at_hand.get((document.set, disk.number))) is not None:
                found |= {ArchiveName(bytes.fromhex(name[-64:])) for name, _ in store.list("archives")}
            for store, name in self._inventories(document, disk):
                with damage_aside():
                    signed = envelope.read(store.get(name, length=envelope.SIZE_MAX + 1), name)
                    for table in (
                        signed.peek(Inventory).tables if layout.is_name_of(name, signed.digest) else ()
                    ):
                        found |= {holding.name for holding in read_table(store, table)}
        return found

    def _inventories(self, document: SetDocument, disk: SetDisk) -> Iterator[tuple[Store, str]]:
        prefix = layout.received_prefix(document.machine, document.set, disk.number)
        for view in self._views:
            names = view.registered(document.machine, Tally()).entries
            yield from ((view.store, name) for name in names if name.startswith(f"{prefix}/"))


def read_table(store: Store, table: ListedObject) -> list[Holding]:
    """Return the archives in a table of an inventory.

    Raises NotFoundError, FormatError, IntegrityError, StoreError.
    """
    wanted = Digest(bytes.fromhex(table.digest))
    return decode_table(read_checked(store, table.name, wanted, TABLE_SIZE_MAX + 1), table.name)


def label_of(store: Store) -> Label | None:
    """Return the label of a disk without checking its signature; None if it is missing or damaged."""
    try:
        return envelope.read(store.get("label"), "label").peek(Label)
    except (FormatError, StoreError, MediaError):
        return None
