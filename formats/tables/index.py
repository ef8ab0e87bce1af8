"""The chunk index: the place of each record of an archive, in rows of 60 bytes (IDX-1 to IDX-4).

Row: ChunkId 32, record digest 16, offset u32, stored length u32, kind u8, three zero bytes; little-endian.
"""

import struct
from dataclasses import dataclass

from blake3 import blake3

from formats.ids import ChunkId
from formats.untrusted import refuse

ROW = struct.Struct("<32s16sIIB3x")
assert ROW.size == 60
RECORDS_MAX = 65_535

CONTENT = 1  # a chunk of file content, or a bundle
CATALOG = 2  # a catalog segment or page
KINDS = (CONTENT, CATALOG)


@dataclass(frozen=True, slots=True)
class IndexRow:
    chunk: ChunkId
    record_digest: bytes  # 16 bytes: BLAKE3-128 of the sealed record
    offset: int
    length: int
    kind: int

    def matches(self, record: bytes | memoryview) -> bool:
        """Return whether these bytes are the whole record of this row."""
        return len(record) == self.length and record_digest(record) == self.record_digest


def record_digest(record: bytes | memoryview) -> bytes:
    return blake3(record).digest(length=16)


def encode_row(row: IndexRow) -> bytes:
    return ROW.pack(row.chunk, row.record_digest, row.offset, row.length, row.kind)


def decode_index(data: bytes | memoryview, body_start: int, body_end: int, where: str) -> list[IndexRow]:
    """Return the rows of an index that covers `body_start` to `body_end` exactly.

    Raises FormatError: IDX-1 (size), IDX-2 (gap, overlap or order), IDX-3 (kind), IDX-4 (padding).
    """
    if len(data) % ROW.size or len(data) > RECORDS_MAX * ROW.size:
        refuse("IDX-1", f"an index of {len(data)} bytes", where)
    rows: list[IndexRow] = []
    at = body_start
    for number, (chunk, record, offset, length, kind) in enumerate(ROW.iter_unpack(data)):
        if offset != at or length == 0:
            refuse("IDX-2", "records do not follow each other without gap", f"{where}[{number}]")
        if kind not in KINDS:
            refuse("IDX-3", f"kind {kind} is not known", f"{where}[{number}]")
        if data[(number + 1) * ROW.size - 3 : (number + 1) * ROW.size] != b"\0\0\0":
            refuse("IDX-4", "padding is not zero", f"{where}[{number}]")
        rows.append(IndexRow(ChunkId(chunk), record, offset, length, kind))
        at += length
    if at != body_end:
        refuse("IDX-2", "records do not cover the body", where)
    return rows
