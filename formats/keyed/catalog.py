"""The catalog: one row per file entry, in Parquet segments cut content-defined by path (CAT-1 to CAT-6).

Rows are sorted by path *components* (`sort_key`), in the order of a depth-first walk. A segment is a chunk of
kind CATALOG; its raw bytes are a head, then Parquet. Pages list the segments in order; the sealed root lists
the pages. Parquet is parsed only behind this head, and only if `formats.keyed.parquet` accepts it.

    head    magic 8 "offsCAT1", table u8 (1 entries, 2 pages), 3 zero, rows u32, bytes of Parquet u32       20 bytes
"""

import operator
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
from blake3 import blake3

from formats.ids import ChunkId
from formats.keyed import parquet
from formats.keyed.keys import MasterKey
from formats.untrusted import refuse

HEAD = struct.Struct("<8sB3xII")
assert HEAD.size == 20
MAGIC = b"offsCAT1"
ENTRIES, PAGES = 1, 2

SEGMENT_ROWS_MEAN = 2048
SEGMENT_ROWS_MIN = 256
SEGMENT_ROWS_MAX = 8192
SEGMENT_BYTES_MAX = (
    4 << 20
)  # bytes of chunk references and names; a segment is cut before it grows past this, except for one row
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
    pairs if the file has holes. It is empty if the file has none or is one hole (no chunks). The content may
    lie in one bundle: `chunks` is one id, `lengths` is empty, and it begins at `offset`. Or it lies in chunks
    of its own: `chunks` are their ids, `lengths` u32 each. A file of more than 4,096 chunks spans rows of
    equal path with `part` 0, 1, 2 …; part 0 alone has the columns other than `chunks` and `lengths`. In a
    revision `LOST` replaces a chunk that was lost.
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
    lengths: bytes = b""
    offset: int = 0
    content: bytes = b""

    @property
    def modified(self) -> int:
        """The time of modification in nanoseconds since 1970."""
        return self.mtime * 10**9 + self.mtime_ns

    @property
    def changed(self) -> int:
        """The time of the last change, of content or attributes, in nanoseconds since 1970."""
        return self.ctime * 10**9 + self.ctime_ns

    def holding(self, chunks: bytes, lengths: bytes, offset: int = 0, content: bytes = b"") -> "CatalogEntry":
        """Return the same entry with its content in these places."""
        return CatalogEntry._make((*self[:20], chunks, lengths, offset, content))

    def chunk_ids(self) -> list[ChunkId]:
        return [ChunkId(self.chunks[at : at + 32]) for at in range(0, len(self.chunks), 32)]

    @property
    def is_lost(self) -> bool:
        """Whether a part of the content that this row refers to is lost."""
        return bytes(LOST) in self.chunks and LOST in self.chunk_ids()

    def chunk_lengths(self) -> tuple[int, ...]:
        return struct.unpack(f"<{len(self.lengths) // 4}I", self.lengths)

    @property
    def place(self) -> tuple[bytes, int]:
        """The key by which rows are ordered."""
        return sort_key(self.path), self.part

    def data_extents(self) -> list[tuple[int, int]]:
        """Return (offset, length) of the data regions."""
        if not self.extents:
            return [(0, self.size)] if self.chunks else []
        return list(struct.iter_unpack("<QQ", self.extents))


_COLUMNS: tuple[tuple[str, pa.DataType], ...] = (
    ("path", pa.binary()),
    ("type", pa.uint8()),
    ("mode", pa.uint32()),
    ("uid", pa.uint32()),
    ("gid", pa.uint32()),
    ("user", pa.string()),
    ("group", pa.string()),
    ("size", pa.uint64()),
    ("mtime", pa.int64()),
    ("mtime_ns", pa.uint32()),
    ("ctime", pa.int64()),
    ("ctime_ns", pa.uint32()),
    ("device", pa.uint64()),
    ("inode", pa.uint64()),
    ("links", pa.uint32()),
    ("target", pa.binary()),
    ("rdev", pa.uint64()),
    ("xattrs", pa.binary()),
    ("extents", pa.binary()),
    ("part", pa.uint32()),
    ("chunks", pa.binary()),
    ("lengths", pa.binary()),
    ("offset", pa.uint32()),
    ("content", pa.binary()),
)
_SPLIT = ("size", "inode", "offset")
_NAMES = tuple(name for name, _ in _COLUMNS)
ENTRY_SCHEMA = pa.schema([pa.field(name, kind, nullable=False) for name, kind in _COLUMNS])
PAGE_SCHEMA = pa.schema(
    [
        pa.field("segment", pa.binary(32), nullable=False),
        pa.field("rows", pa.uint32(), nullable=False),
        pa.field("first", pa.binary(), nullable=False),
        pa.field("last", pa.binary(), nullable=False),
    ]
)


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
    """Yield the rows of a file's entry: one, or several if it has very many chunks of its own."""
    chunks, lengths = entry.chunks, entry.lengths
    if len(chunks) <= 32 * ROW_CHUNKS_MAX:
        yield entry
        return
    for part, at in enumerate(range(0, len(chunks) // 32, ROW_CHUNKS_MAX)):
        row = entry if part == 0 else CatalogEntry(entry.path, entry.type, part=part)
        end = at + ROW_CHUNKS_MAX
        yield row.holding(chunks[32 * at : 32 * end], lengths[4 * at : 4 * end], row.offset, row.content)


def joined(parts: Sequence[CatalogEntry]) -> CatalogEntry:
    """Return a file's entry from its rows, in order: the inverse of `in_parts`."""
    if len(parts) == 1:
        return parts[0]
    chunks, lengths = b"".join(p.chunks for p in parts), b"".join(p.lengths for p in parts)
    return parts[0].holding(chunks, lengths, parts[0].offset, parts[0].content)


def encode_entries(entries: Sequence[CatalogEntry]) -> bytes:
    """Return a segment's raw bytes. `entries` are sorted and at most 8,192."""
    values = zip(*entries, strict=True) if entries else ((),) * len(_COLUMNS)
    columns = [pa.array(column, kind) for column, (_, kind) in zip(values, _COLUMNS, strict=True)]
    return _encode(ENTRIES, pa.Table.from_arrays(columns, schema=ENTRY_SCHEMA))


def decode_entries(raw: bytes, where: str) -> list[CatalogEntry]:
    """Read a segment.

    Raises FormatError CAT-1 (head), CAT-2 (Parquet differs from it), CAT-4 (order), CAT-5 (a row's own
    rules).
    """
    table = _decode(ENTRIES, ENTRY_SCHEMA, raw, where)
    if not table.num_rows:
        return []
    columns = [column.to_pylist() for column in table.columns]
    _check(dict(zip(_NAMES, columns, strict=True)), where)
    return [*map(CatalogEntry._make, zip(*columns, strict=True))]


def referenced(raw: bytes) -> set[ChunkId]:
    """Return the content chunks that an encoded segment refers to, read back from its bytes.

    Deletion relies on it.
    """
    table = _decode(ENTRIES, ENTRY_SCHEMA, raw, "segment", ["chunks"])
    distinct = table.column(0).unique().to_pylist()
    return {ChunkId(ids[at : at + 32]) for ids in distinct for at in range(0, len(ids), 32)} - {LOST}


def small_files(raw: bytes) -> Iterator[tuple[bytes, ChunkId, int]]:
    """Yield content id, bundle and offset of the small files in a segment that was read before."""
    table = _decode(ENTRIES, ENTRY_SCHEMA, raw, "segment", ["content", "chunks", "offset"])
    for content, chunks, offset in zip(*(c.to_pylist() for c in table.columns), strict=True):
        if content and chunks != LOST:
            yield content, ChunkId(chunks), offset


def _check(columns: dict[str, list[Any]], where: str) -> None:
    """Check the rows by columns, because this is done to every row that is ever read.

    Raises FormatError CAT-4, CAT-5.
    """
    paths = columns["path"]
    places = [*zip(map(sort_key, paths), columns["part"], strict=True)]
    if any(map(operator.ge, places, places[1:])):
        refuse("CAT-4", "rows are not sorted", where)
    text = b"/%b/" % b"/\0/".join(paths)
    if text.count(b"\0") != len(paths) - 1 or b"//" in text or b"/./" in text or b"/../" in text:
        refuse("CAT-5", "a path that is not a relative path", where)
    if unknown := {*columns["type"]} - TYPES.keys():
        refuse("CAT-5", f"entry type {min(unknown)}", where)
    if max(max(columns["mtime_ns"]), max(columns["ctime_ns"])) >= 10**9:
        refuse("CAT-5", "a time that is none", where)
    if max(columns["size"]) >= SIZE_END or b"\0" in b"".join(columns["target"]):
        refuse("CAT-5", "a size or a target that no file has", where)
    if max(columns["mode"]) >= MODE_END:
        refuse("CAT-5", "a mode that no file has", where)
    if not all(map(_is_xattrs, {*columns["xattrs"]})):
        refuse("CAT-5", "extended attributes that no file has", where)
    references = [*map(len, columns["chunks"])]
    if any(n % 32 for n in references) or not {0, 16}.issuperset(map(len, columns["content"])):
        refuse("CAT-5", "references that are not whole", where)
    for references_size, lengths_size in {*zip(references, map(len, columns["lengths"]), strict=True)}:
        if lengths_size != references_size // 8 and (lengths_size or references_size > 32):
            refuse("CAT-5", "chunk lengths do not match chunks", where)
    for size, extents in zip(columns["size"], columns["extents"], strict=True):
        if extents:
            _check_extents(extents, size, where)


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


def _is_xattrs(packed: bytes) -> bool:
    """Return whether these are whole attributes, each with a name (CAT-7)."""
    at = 0
    while at < len(packed):
        name = packed[at + 2 : (at := at + 2 + int.from_bytes(packed[at : at + 2], "little"))]
        at += 4 + int.from_bytes(packed[at : at + 4], "little")
        if at > len(packed) or not name or b"\0" in name:
            return False
    return True


def _check_extents(extents: bytes, size: int, where: str) -> None:
    if len(extents) % 16:
        refuse("CAT-5", "references that are not whole", where)
    at = 0
    for offset, length in struct.iter_unpack("<QQ", extents):
        if offset < at or length == 0 or offset + length > size:
            refuse("CAT-5", "data regions overlap or leave the file", where)
        at = offset + length


def encode_page(rows: Sequence[PageRow]) -> bytes:
    columns = [
        pa.array([r.segment for r in rows], pa.binary(32)),
        pa.array([r.rows for r in rows], pa.uint32()),
        pa.array([r.first for r in rows], pa.binary()),
        pa.array([r.last for r in rows], pa.binary()),
    ]
    return _encode(PAGES, pa.Table.from_arrays(columns, schema=PAGE_SCHEMA))


def decode_page(raw: bytes, where: str) -> list[PageRow]:
    """Read a page. Raises FormatError CAT-1, CAT-2, CAT-6 (order)."""
    table = _decode(PAGES, PAGE_SCHEMA, raw, where)
    rows = [PageRow(*row) for row in zip(*(c.to_pylist() for c in table.columns), strict=True)]
    before: bytes | None = None
    for row in rows:
        if (before is not None and sort_key(row.first) < before) or sort_key(row.last) < sort_key(row.first):
            refuse("CAT-6", "segments are not in order", where)
        before = sort_key(row.last)
    return rows


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


def _encode(table_kind: int, table: pa.Table) -> bytes:
    packed = parquet.write(table, _SPLIT if table_kind == ENTRIES else ())
    return HEAD.pack(MAGIC, table_kind, table.num_rows, len(packed)) + packed


def _decode(
    table_kind: int, schema: pa.Schema, raw: bytes, where: str, names: Sequence[str] | None = None
) -> pa.Table:
    if len(raw) < HEAD.size:
        refuse("CAT-1", "too short for a catalog table", where)
    magic, kind, rows, size = HEAD.unpack_from(raw)
    if magic != MAGIC or kind != table_kind or raw[9:12] != bytes(3) or size != len(raw) - HEAD.size:
        refuse("CAT-1", "not the catalog table that is expected", where)
    if rows > SEGMENT_ROWS_MAX:
        refuse("CAT-1", f"a catalog table of {rows} rows", where)
    return parquet.read(memoryview(raw)[HEAD.size :], schema, rows, where, names)
