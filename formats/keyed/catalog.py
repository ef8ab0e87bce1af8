"""The catalog: one row per file entry, in segments that are cut content-defined by path (CAT-3, CAT-4).

Rows are sorted by path *components* (`sort_key`), in the order of a depth-first walk. A segment is a chunk of
kind CATALOG. Pages list the segments in order; the sealed root lists the pages. `formats.keyed.segments` has
their bytes.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from blake3 import blake3

from formats.ids import ChunkId
from formats.keyed.keys import MasterKey
from formats.untrusted import refuse

SEGMENT_ROWS_MEAN = 2048
SEGMENT_ROWS_MIN = 256
SEGMENT_ROWS_MAX = 8192
SEGMENT_BYTES_MAX = 4 << 20  # of strings, extents and pieces; a segment is cut before it grows past this
PAGE_BYTES_MAX = 4 << 20  # bytes of first and last paths
PATH_MAX = 64 << 10  # bytes; folders can nest deeper, but a longer path is not worth its rows
ROW_CHUNKS_MAX = 4096  # a file of more chunks spans rows
SIZE_END = 1 << 63  # no system has larger files
MODE_END = 1 << 12  # permission bits, with set-uid, set-gid and sticky
LOST = ChunkId(bytes(32))  # in a revision, it replaces a chunk that exists nowhere any more

FILE, FOLDER, SYMLINK, FIFO, SOCKET, CHARACTER_DEVICE, BLOCK_DEVICE = 1, 2, 3, 4, 5, 6, 7
TYPES = {
    FILE: "file",
    FOLDER: "folder",
    SYMLINK: "symlink",
    FIFO: "fifo",
    SOCKET: "socket",
    CHARACTER_DEVICE: "character-device",
    BLOCK_DEVICE: "block-device",
}


# The columns that one look at a file gives: from `path` to `links`.
Looked = tuple[bytes, int, int, int, int, str, str, int, int, int, int, int, int, int, int]


class CatalogEntry(NamedTuple):
    """One row, in the order of the columns.

    Times are in seconds since 1970, and nanoseconds beyond them: one number of 64 bits would end in 2262.
    `path` is relative to the root of all paths, without a leading slash.

    A file's content is its data regions end to end. `extents` holds (offset u64, length u64) little-endian
    pairs if the file has holes. It is empty if the file has none or is one hole (no chunks).

    The content is also its pieces end to end. A piece is `length` bytes of a chunk, from an offset on.
    `chunks` holds the ids of these chunks, `offsets` and `lengths` hold u32 each. A small file is one piece of
    a bundle, and `content` is its content id. A file of more than 4,096 pieces spans rows of equal path with
    `part` 0, 1, 2 …; only part 0 has other columns than path, type and pieces. In a revision `LOST` replaces
    a chunk that was lost.
    """

    path: bytes
    type: int
    mode: int = 0
    uid: int = 0
    gid: int = 0
    user: str = ""
    group: str = ""
    size: int = 0
    mtime: int = 0
    mtime_ns: int = 0
    ctime: int = 0
    ctime_ns: int = 0
    device: int = 0
    inode: int = 0
    links: int = 1
    target: bytes = b""
    rdev: int = 0
    xattrs: bytes = b""
    extents: bytes = b""
    part: int = 0
    chunks: bytes = b""
    offsets: bytes = b""
    lengths: bytes = b""
    content: bytes = b""

    @property
    def modified(self) -> int:
        """The time of modification in nanoseconds since 1970."""
        return self.mtime * 10**9 + self.mtime_ns

    @property
    def changed(self) -> int:
        """The time of the last change, of content or attributes, in nanoseconds since 1970."""
        return self.ctime * 10**9 + self.ctime_ns

    def holding(self, chunks: bytes, offsets: bytes, lengths: bytes, content: bytes = b"") -> "CatalogEntry":
        """Return the same entry with its content in these pieces."""
        return CatalogEntry._make((*self[:20], chunks, offsets, lengths, content))

    def in_whole_chunks(self, chunks: bytes, lengths: bytes) -> "CatalogEntry":
        """Return the same entry with its content in chunks of its own."""
        return self.holding(chunks, bytes(len(lengths)), lengths)

    def in_bundle(self, bundle: ChunkId, offset: int, content: bytes) -> "CatalogEntry":
        """Return the entry of a small file with its content in a bundle, from `offset` on."""
        place = offset.to_bytes(4, "little"), self.size.to_bytes(4, "little")
        return self.holding(bundle, *place, content)

    @property
    def offset(self) -> int:
        """The offset of the first piece in its chunk."""
        return int.from_bytes(self.offsets[:4], "little")

    def chunk_ids(self) -> list[ChunkId]:
        return [ChunkId(self.chunks[at : at + 32]) for at in range(0, len(self.chunks), 32)]

    @property
    def is_lost(self) -> bool:
        """Whether a part of the content that this row refers to is lost."""
        return bytes(LOST) in self.chunks and LOST in self.chunk_ids()

    def piece_lengths(self) -> tuple[int, ...]:
        return struct.unpack(f"<{len(self.lengths) // 4}I", self.lengths)

    def pieces(self) -> Iterator[tuple[ChunkId, int, int]]:
        """Yield the chunk, offset and length of each piece."""
        offsets = struct.unpack(f"<{len(self.offsets) // 4}I", self.offsets)
        return zip(self.chunk_ids(), offsets, self.piece_lengths(), strict=True)

    @property
    def place(self) -> tuple[bytes, int]:
        """The key by which rows are ordered."""
        return sort_key(self.path), self.part

    def data_extents(self) -> list[tuple[int, int]]:
        """Return (offset, length) of the data regions."""
        if not self.extents:
            return [(0, self.size)] if self.chunks else []
        return list(struct.iter_unpack("<QQ", self.extents))


@dataclass(frozen=True, slots=True)
class PageRow:
    """One segment: its id, its rows, its first and last path."""

    segment: ChunkId
    rows: int
    first: bytes
    last: bytes


def sort_key(path: bytes) -> bytes:
    """Return a key that orders paths by components, as if '/' were the lowest byte; names hold no NUL."""
    return path.replace(b"/", b"\0")


class SegmentCutter:
    """The rule for the end of a segment: it decides row by row and by content alone (CAT-3)."""

    def __init__(self, master: MasterKey) -> None:
        self._key = master.chunk_id_catalog

    def cuts_after(self, path: bytes) -> bool:
        """Return whether the row's path is a cut; one path in 2,048 is. The caller limits rows and bytes."""
        tag = blake3(path, key=self._key).digest(length=4)
        return int.from_bytes(tag, "little") % SEGMENT_ROWS_MEAN == 0


def in_parts(entry: CatalogEntry) -> Iterator[CatalogEntry]:
    """Yield the rows of a file's entry: one, or several if it has very many pieces."""
    if len(entry.chunks) <= 32 * ROW_CHUNKS_MAX:
        yield entry
        return
    for part, at in enumerate(range(0, len(entry.chunks) // 32, ROW_CHUNKS_MAX)):
        row = entry if part == 0 else CatalogEntry(entry.path, entry.type, part=part)
        end = at + ROW_CHUNKS_MAX
        offsets, lengths = entry.offsets[4 * at : 4 * end], entry.lengths[4 * at : 4 * end]
        yield row.holding(entry.chunks[32 * at : 32 * end], offsets, lengths, row.content)


def joined(parts: Sequence[CatalogEntry]) -> CatalogEntry:
    """Return a file's entry from its rows, in order: the inverse of `in_parts`."""
    if len(parts) == 1:
        return parts[0]
    chunks, offsets = b"".join(p.chunks for p in parts), b"".join(p.offsets for p in parts)
    return parts[0].holding(chunks, offsets, b"".join(p.lengths for p in parts), parts[0].content)


def check_parts(before: CatalogEntry | None, entries: Iterable[CatalogEntry], where: str) -> None:
    """Refuse a further part of a file that does not come right after the part before it.

    Raises FormatError CAT-4.
    """
    for entry in entries:
        if entry.part and (
            before is None or (before.path, before.type, before.part) != (entry.path, FILE, entry.part - 1)
        ):
            refuse("CAT-4", "a part of a file without the part before it", where)
        before = entry


def pages(rows: Iterable[PageRow]) -> Iterator[list[PageRow]]:
    """Cut the list of segments into pages, content-defined by segment id.

    A page has 256 rows on average, at most 1,024, and at most 4 MiB of paths.
    """
    page: list[PageRow] = []
    size = 0
    for row in rows:
        page.append(row)
        size += len(row.first) + len(row.last)
        if row.segment[0] == 0 or len(page) == 1024 or size > PAGE_BYTES_MAX:
            yield page
            page, size = [], 0
    if page:
        yield page
