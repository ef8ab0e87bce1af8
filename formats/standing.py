"""How a recovery point stands where one reads it: complete, or waiting for disks. Computed, never stored.

Points and sets may be revised: of several documents of one, that of the highest revision holds.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple, TypeVar

from formats import layout
from formats.documents import envelope
from formats.documents.disk import Label, SetDisk, SetDocument
from formats.documents.manifest import Manifest
from formats.errors import FormatError, MediaError, StoreError
from formats.ids import ArchiveName, HexDigest, PointId, SetId
from formats.replaced import Stock
from formats.store.contract import Store
from formats.tables.needs import Need
from formats.wire import Json
from formats.words import counted, numbered

T = TypeVar("T")


class Awaited(NamedTuple):
    """Disk `number` of a set that counts so many."""

    set: SetId
    number: int
    disks: int


@dataclass(frozen=True)
class Standing:
    """`missing` archives of `needed`, and the disks that may bring them; none where nothing is known of any."""

    needed: int
    missing: int
    awaited: tuple[Awaited, ...] = ()

    @property
    def complete(self) -> bool:
        return self.missing == 0

    def of(self, manifest: Manifest) -> str:
        """Return the words for a point: how it stands, how many of its files are lost, and whether its machine doubts it."""
        return self.words(manifest.totals.lost) + (", doubted" if manifest.doubted else "")

    def words(self, lost: int = 0) -> str:
        """`complete`, or what it waits for; where it is one of which files are `lost`, how many."""
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
    stores: Sequence[Store],
    sets: Callable[[], Iterable[SetDocument]],
    needed_by: Callable[[SetDocument], Set[ArchiveName]],
) -> Standing:
    """How a point stands that needs `needed`, where the archives that are `there` lie in `stores`.

    `sets` are those of its machine; `needed_by` tells what the points need that a set brings.
    """
    missing = {need.archive.name for need in needed if there.lacking(need) is not None}
    if not missing:
        return Standing(len(needed), 0)
    found = [
        Awaited(document.set, number, max(disk.number for disk in document.disks))
        for document in sets()
        if (numbers := awaited(stores, document)) and missing & needed_by(document)
        for number in numbers
    ]
    return Standing(len(needed), len(missing), tuple(sorted(set(found))))


def brings(document: SetDocument, manifest: Manifest, found: HexDigest) -> bool:
    """Whether a set brings a point, by its manifest and the digest of that."""
    return document.manifest == found or document.set == manifest.set


def newest_points(found: Iterable[T], manifest: Callable[[T], Manifest]) -> list[T]:
    """Of each point what has its highest revision, in the order given."""
    items = list(found)
    highest: dict[PointId, int] = {}
    for m in map(manifest, items):
        highest[m.point] = max(m.revision, highest.get(m.point, 0))
    return [item for item in items if manifest(item).revision == highest[manifest(item).point]]


def newest_sets(found: Iterable[SetDocument]) -> list[SetDocument]:
    """Of each set the document of the highest revision."""
    newest: dict[SetId, SetDocument] = {}
    for document in found:
        if document.set not in newest or newest[document.set].revision < document.revision:
            newest[document.set] = document
    return list(newest.values())


def awaited(stores: Iterable[Store], document: SetDocument) -> tuple[int, ...]:
    """The disks of a set that none of `stores` is, nor has received as its set was finished with it."""
    stores = list(stores)
    here = set(_numbers_there(stores, document.set))
    return tuple(
        disk.number
        for disk in document.disks
        if disk.number not in here and not any(_received(store, document, disk) for store in stores)
    )


def label_of(store: Store) -> Label | None:
    """What a disk says that it is, signature unread; None where there is no label, or a damaged one."""
    try:
        return envelope.read(store.get("label"), "label").peek(Label)
    except (FormatError, StoreError, MediaError):
        return None


def _numbers_there(stores: Iterable[Store], disk_set: SetId) -> Iterator[int]:
    for store in stores:
        if (label := label_of(store)) is not None and label.set == disk_set:
            yield label.number


def _received(store: Store, document: SetDocument, disk: SetDisk) -> bool:
    prefix = layout.received_prefix(document.machine, document.set, disk.number)
    return any(layout.number_of(name) >= disk.generation for name, _ in store.list(prefix))
