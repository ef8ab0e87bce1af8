"""Segments and pages of a catalog as bytes, and back with every check that a reader makes (CAT-1 to CAT-6).

    segment    magic 8 "offsCAT1", rows u32, extents u32, pieces u32, chunks u32                    24 bytes
               then four tables of plain columns: entries, extents, pieces, chunks
    page       magic 8 "offsPGE1", rows u32                                                         12 bytes
               then one table

A piece is a part of a file's content: where it lies in which of the segment's chunks. Deletion relies on the
table of chunks.
"""

import operator
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from formats.ids import ChunkId
from formats.keyed.catalog import (
    FILE,
    LOST,
    MODE_END,
    SEGMENT_ROWS_MAX,
    SIZE_END,
    TYPES,
    CatalogEntry,
    PageRow,
    sort_key,
)
from formats.keyed.chunk import RAW_SIZE_MAX
from formats.keyed.columns import (
    I64,
    ID_SIZE,
    IDS,
    STRINGS,
    U8,
    U16,
    U32,
    U64,
    Columns,
    Kinds,
    Numbers,
    columns_of,
    cut,
    encode,
)
from formats.untrusted import refuse

HEAD = struct.Struct("<8sIIII")
MAGIC = b"offsCAT1"
PAGE_HEAD = struct.Struct("<8sI")
PAGE_MAGIC = b"offsPGE1"

ENTRY_COLUMNS: Kinds = {
    "path": STRINGS,
    "type": U8,
    "mode": U16,
    "uid": U32,
    "gid": U32,
    "user": STRINGS,
    "group": STRINGS,
    "size": U64,
    "mtime": I64,
    "mtime_ns": U32,
    "ctime": I64,
    "ctime_ns": U32,
    "device": U64,
    "inode": U64,
    "links": U32,
    "target": STRINGS,
    "rdev": U64,
    "xattrs": STRINGS,
    "extents": U32,
    "part": U32,
    "pieces": U32,
    "content": STRINGS,
}
EXTENT_COLUMNS: Kinds = {"offset": U64, "length": U64}
PIECE_COLUMNS: Kinds = {"chunk": U32, "offset": U32, "length": U32}
CHUNK_COLUMNS: Kinds = {"id": IDS}
PAGE_COLUMNS: Kinds = {"segment": IDS, "rows": U32, "first": STRINGS, "last": STRINGS}


@dataclass(frozen=True)
class Segment:
    """A segment as its four tables. `chunks` are ids end to end, in the order of their first use."""

    entries: dict[str, Any]
    extents: dict[str, Any]
    pieces: dict[str, Any]
    chunks: bytes | memoryview

    @classmethod
    def of(cls, entries: Sequence[CatalogEntry]) -> Self:
        columns: dict[str, Any] = columns_of(CatalogEntry._fields, entries)
        regions = np.frombuffer(b"".join(columns["extents"]), U64).reshape(-1, 2).T
        columns["extents"] = [len(packed) // 16 for packed in columns["extents"]]
        columns["pieces"] = [len(packed) // 4 for packed in columns["lengths"]]
        columns["user"] = [name.encode() for name in columns["user"]]
        columns["group"] = [name.encode() for name in columns["group"]]
        ids: dict[bytes, int] = {}
        pieces = {
            "chunk": [
                ids.setdefault(chunks[at : at + ID_SIZE], len(ids))
                for chunks in columns["chunks"]
                for at in range(0, len(chunks), ID_SIZE)
            ],
            "offset": np.frombuffer(b"".join(columns["offsets"]), U32),
            "length": np.frombuffer(b"".join(columns["lengths"]), U32),
        }
        return cls(columns, {"offset": regions[0], "length": regions[1]}, pieces, b"".join(ids))

    def encode(self) -> bytes:
        """Return its bytes."""
        counts = (
            len(t[name])
            for t, name in ((self.entries, "type"), (self.extents, "length"), (self.pieces, "chunk"))
        )
        return b"".join(
            (
                HEAD.pack(MAGIC, *counts, len(self.chunks) // ID_SIZE),
                encode(ENTRY_COLUMNS, self.entries),
                encode(EXTENT_COLUMNS, self.extents),
                encode(PIECE_COLUMNS, self.pieces),
                self.chunks,
            )
        )

    @classmethod
    def read(cls, raw: bytes, where: str) -> Self:
        """Read the tables. Raises FormatError CAT-1, CAT-2."""
        if len(raw) < HEAD.size:
            refuse("CAT-1", "too short for a segment", where)
        magic, rows, extents, pieces, chunks = HEAD.unpack_from(raw)
        if magic != MAGIC or not 1 <= rows <= SEGMENT_ROWS_MAX:
            refuse("CAT-1", "not a segment of a catalog", where)
        tables = Columns(raw, HEAD.size, where)
        found = cls(
            tables.table(ENTRY_COLUMNS, rows),
            tables.table(EXTENT_COLUMNS, extents),
            tables.table(PIECE_COLUMNS, pieces),
            tables.table(CHUNK_COLUMNS, chunks)["id"],
        )
        tables.end()
        for name, total in (("extents", extents), ("pieces", pieces)):
            if int(found.entries[name].sum(dtype=np.uint64)) != total:
                refuse("CAT-2", f"the {name} of the entries are not those of the head", where)
        _check_references(found.pieces["chunk"], chunks, where)
        return found

    @property
    def rows(self) -> int:
        """The number of its entries."""
        return len(self.entries["type"])

    def chunk_ids(self) -> list[ChunkId]:
        """Return the chunks, in the order of their first use."""
        return _ids(self.chunks)


def encode_entries(entries: Sequence[CatalogEntry]) -> bytes:
    """Return a segment's raw bytes. `entries` are sorted, 1 to 8,192. Equal entries give equal bytes."""
    return Segment.of(entries).encode()


def decode_entries(raw: bytes, where: str) -> list[CatalogEntry]:
    """Read a segment.

    Raises FormatError CAT-1 (head), CAT-2 (columns), CAT-4 (order), CAT-5 (a row's own rules).
    """
    segment = Segment.read(raw, where)
    columns = segment.entries
    columns["user"], columns["group"] = _texts(columns["user"], where), _texts(columns["group"], where)
    _check(columns, where)
    _check_extents(segment, where)
    _check_pieces(segment, where)
    counts = columns.pop("pieces")
    regions = np.stack((segment.extents["offset"], segment.extents["length"]), axis=1).tobytes()
    columns["extents"] = cut(regions, columns["extents"].astype(np.uint64) * 16)
    pieces, ids = segment.pieces, np.frombuffer(segment.chunks, np.uint8).reshape(-1, ID_SIZE)
    columns["chunks"] = cut(ids[pieces["chunk"]].tobytes(), counts.astype(np.uint64) * ID_SIZE)
    columns["offsets"] = cut(pieces["offset"].tobytes(), counts.astype(np.uint64) * 4)
    columns["lengths"] = cut(pieces["length"].tobytes(), counts.astype(np.uint64) * 4)
    lists = [
        c.tolist() if isinstance(c, np.ndarray) else c for c in map(columns.__getitem__, CatalogEntry._fields)
    ]
    return [*map(CatalogEntry._make, zip(*lists, strict=True))]


def referenced(raw: bytes) -> set[ChunkId]:
    """Return the content chunks that an encoded segment refers to, read back from its bytes.

    Deletion relies on it.
    """
    return {*Segment.read(raw, "segment").chunk_ids()} - {LOST}


def small_files(raw: bytes) -> Iterator[tuple[bytes, ChunkId, int]]:
    """Yield content id, bundle and offset of the small files in a segment that was read before."""
    segment = Segment.read(raw, "segment")
    ids, pieces = segment.chunk_ids(), segment.pieces
    firsts = np.cumsum(segment.entries["pieces"], dtype=np.uint64) - segment.entries["pieces"]
    chunks, offsets = pieces["chunk"].tolist(), pieces["offset"].tolist()
    for content, first in zip(segment.entries["content"], firsts.tolist(), strict=True):
        if content and ids[chunks[first]] != LOST:
            yield content, ids[chunks[first]], offsets[first]


def encode_page(rows: Sequence[PageRow]) -> bytes:
    columns: dict[str, Any] = {
        "segment": b"".join(r.segment for r in rows),
        "rows": [r.rows for r in rows],
        "first": [r.first for r in rows],
        "last": [r.last for r in rows],
    }
    return PAGE_HEAD.pack(PAGE_MAGIC, len(rows)) + encode(PAGE_COLUMNS, columns)


def decode_page(raw: bytes, where: str) -> list[PageRow]:
    """Read a page. Raises FormatError CAT-1, CAT-2, CAT-6 (order)."""
    if len(raw) < PAGE_HEAD.size:
        refuse("CAT-1", "too short for a page", where)
    magic, count = PAGE_HEAD.unpack_from(raw)
    if magic != PAGE_MAGIC or not 1 <= count <= SEGMENT_ROWS_MAX:
        refuse("CAT-1", "not a page of a catalog", where)
    tables = Columns(raw, PAGE_HEAD.size, where)
    columns = tables.table(PAGE_COLUMNS, count)
    tables.end()
    rows = [
        *map(PageRow, _ids(columns["segment"]), columns["rows"].tolist(), columns["first"], columns["last"])
    ]
    before: bytes | None = None
    for row in rows:
        if (before is not None and sort_key(row.first) < before) or sort_key(row.last) < sort_key(row.first):
            refuse("CAT-6", "segments are not in order", where)
        before = sort_key(row.last)
    return rows


def _ids(joined: bytes | memoryview) -> list[ChunkId]:
    data = bytes(joined)
    return [ChunkId(data[at : at + ID_SIZE]) for at in range(0, len(data), ID_SIZE)]


def _texts(column: Sequence[bytes], where: str) -> list[str]:
    """Return names as text. Raises FormatError CAT-2."""
    try:
        known = {name: name.decode() for name in {*column}}
    except UnicodeDecodeError:
        refuse("CAT-2", "a name that is not UTF-8", where)
    return [known[name] for name in column]


def _check_references(chunk: Numbers, chunks: int, where: str) -> None:
    """Refuse pieces that do not use all chunks in their order. Raises FormatError CAT-5."""
    newest = np.maximum.accumulate(np.concatenate(([-1], chunk.astype(np.int64))))
    if (np.diff(newest) > 1).any() or newest[-1] != chunks - 1:
        refuse("CAT-5", "pieces do not use the chunks in their order", where)


def _check(columns: dict[str, Any], where: str) -> None:
    """Check the rows by columns, because this is done to every row that is ever read.

    Raises FormatError CAT-4, CAT-5.
    """
    paths = columns["path"]
    places = [*zip(map(sort_key, paths), columns["part"].tolist(), strict=True)]
    if any(map(operator.ge, places, places[1:])):
        refuse("CAT-4", "rows are not sorted", where)
    text = b"/%b/" % b"/\0/".join(paths)
    if text.count(b"\0") != len(paths) - 1 or b"//" in text or b"/./" in text or b"/../" in text:
        refuse("CAT-5", "a path that is not a relative path", where)
    if unknown := {*columns["type"].tolist()} - TYPES.keys():
        refuse("CAT-5", f"entry type {min(unknown)}", where)
    if max(columns["mtime_ns"].max(), columns["ctime_ns"].max()) >= 10**9:
        refuse("CAT-5", "a time that is none", where)
    if columns["size"].max() >= SIZE_END or b"\0" in b"".join(columns["target"]):
        refuse("CAT-5", "a size or a target that no file has", where)
    if columns["mode"].max() >= MODE_END:
        refuse("CAT-5", "a mode that no file has", where)
    if not all(map(_is_xattrs, {*columns["xattrs"]})):
        refuse("CAT-5", "extended attributes that no file has", where)
    if not {0, 16}.issuperset(map(len, columns["content"])):
        refuse("CAT-5", "a content id that is none", where)


def _is_xattrs(packed: bytes) -> bool:
    """Return whether these are whole attributes, each with a name (CAT-7)."""
    at = 0
    while at < len(packed):
        name = packed[at + 2 : (at := at + 2 + int.from_bytes(packed[at : at + 2], "little"))]
        at += 4 + int.from_bytes(packed[at : at + 4], "little")
        if at > len(packed) or not name or b"\0" in name:
            return False
    return True


def _check_extents(segment: Segment, where: str) -> None:
    """Refuse data regions that overlap, are empty, or leave their file. Raises FormatError CAT-5."""
    offset, length = segment.extents["offset"], segment.extents["length"]
    if not len(offset):
        return
    row = np.repeat(np.arange(segment.rows), segment.entries["extents"])
    size = segment.entries["size"][row]
    is_within = (length > 0) & (length <= size) & (offset <= size - np.minimum(length, size))
    follows = (row[1:] != row[:-1]) | (offset[1:] >= offset[:-1] + length[:-1])
    if not is_within.all() or not follows.all():
        refuse("CAT-5", "data regions overlap or leave the file", where)


def _check_pieces(segment: Segment, where: str) -> None:
    """Refuse pieces that no file has, or no chunk holds. Raises FormatError CAT-5."""
    entries, pieces = segment.entries, segment.pieces
    counts = entries["pieces"]
    if ((counts > 0) & (entries["type"] != FILE)).any():
        refuse("CAT-5", "content of an entry that is no file", where)
    has_id = np.fromiter(map(len, entries["content"]), U32, segment.rows) > 0
    if (has_id & ((counts != 1) | (entries["part"] > 0))).any():
        refuse("CAT-5", "a small file in several pieces", where)
    ends = pieces["offset"].astype(np.uint64) + pieces["length"]
    if (pieces["length"] == 0).any() or (len(ends) and ends.max() > RAW_SIZE_MAX):
        refuse("CAT-5", "a piece that no chunk holds", where)
