"""A catalog row in the making: an entry as the walk met it, and the place of its content, if named yet."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from formats.ids import ChunkId
from formats.keyed.catalog import CatalogEntry
from seed.pipeline.chunks import FileChunks, PendingChunk
from seed.points.previous_rows import Origin

ATTEMPTS = 2  # at a file that is replaced while it is read


@dataclass(slots=True, eq=False)
class PlacedEntry:
    """An entry with its content in `bundle`, or in `pieces`, or nowhere.

    It is `awaited` until it was read, `gone` if it could not be read. A further name of a file has the row of
    its first name as `same`, and its own row of the basis as `before`.

    The next run reads an entry again that `hides` something: a change after its reading that left the same
    time of change, or attributes that are lacking.
    """

    entry: CatalogEntry
    hides: bool = False
    bundle: PendingChunk | None = None
    pieces: FileChunks | None = None
    offset: int = 0  # in the bundle
    content: bytes = b""
    origin: Origin = None  # the segment in which this very row stands
    above: bool = False  # a folder above an item
    journalled: int = 0  # pieces that the journal knows of
    awaited: bool = False
    gone: bool = False
    attempts: int = ATTEMPTS
    same: "PlacedEntry | None" = None
    before: CatalogEntry | None = None
    others: "list[PlacedEntry] | None" = None  # further names that were met

    @property
    def named(self) -> bool:
        if self.same is not None:
            return self.same.named
        if self.awaited:
            return False
        if self.pieces is not None:
            return not self.pieces.waiting
        return self.bundle is None or self.bundle.id is not None

    @property
    def dated(self) -> CatalogEntry:
        """The entry; without its time of change if the next run must read it again."""
        return self.entry._replace(ctime=0, ctime_ns=0) if self.hides else self.entry

    def finished(self) -> CatalogEntry:
        """Return the entry with its chunk references."""
        if self.same is not None:
            first = self.same.finished()
            entry = self.entry._replace(size=first.size, extents=first.extents)
            entry = entry._replace(ctime=first.ctime, ctime_ns=first.ctime_ns)
            entry = entry.holding(first.chunks, first.offsets, first.lengths, first.content)
            return self.before if entry == self.before and self.before is not None else entry
        if self.bundle is not None:
            return self.dated.in_bundle(_id(self.bundle), self.offset, self.content)
        if self.pieces is not None:
            return self.dated.in_whole_chunks(bytes(self.pieces.ids), bytes(self.pieces.lengths))
        return self.dated

    def so_far(self) -> list[CatalogEntry]:
        """Return a row of the next chunks of a file in reading, if the journal does not know them yet."""
        if self.pieces is None or self.pieces.named <= self.journalled:
            return []
        first, last = self.journalled, self.pieces.named
        entry = CatalogEntry(self.entry.path, self.entry.type, part=first) if first else self.dated
        self.journalled = last
        ids, lengths = self.pieces.ids[32 * first : 32 * last], self.pieces.lengths[4 * first : 4 * last]
        return [entry.in_whole_chunks(bytes(ids), bytes(lengths))]


def seen(entry: CatalogEntry) -> tuple[int, int, int]:
    """Return the values that show a file as unchanged.

    If its row has no time of change, the file is read again.
    """
    return entry.size, entry.modified, entry.changed


def shrunk(entry: CatalogEntry, regions: Sequence[tuple[int, int]], data: int) -> CatalogEntry:
    """Return the entry of a file that ended early, after `data` bytes of data: the file as it was then."""
    kept: list[tuple[int, int]] = []
    for offset, length in regions:
        if data:
            kept.append((offset, min(length, data)))
            data -= kept[-1][1]
    size = sum(kept[-1]) if kept else 0
    return entry._replace(size=size, extents=packed(kept) if entry.extents else b"")


def packed(regions: Iterable[tuple[int, int]]) -> bytes:
    return b"".join(o.to_bytes(8, "little") + n.to_bytes(8, "little") for o, n in regions)


def _id(unit: PendingChunk) -> ChunkId:
    assert unit.id is not None
    return unit.id
