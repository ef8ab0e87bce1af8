"""Rows of 76 bytes about whole archives.

Inventories list the archives of a disk, need lists those of a point. Row: archive name 32, index digest 32,
size u32, records u32, class u8, three zero bytes; sorted by name (HOLD-1).
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from formats.ids import ArchiveName, Digest
from formats.tables.archive import ARCHIVE_SIZE_MAX, ARCHIVE_SIZE_MIN, CLASSES
from formats.tables.index import RECORDS_MAX
from formats.tables.index import ROW as INDEX_ROW
from formats.untrusted import refuse

ROW = struct.Struct("<32s32sIIB3x")
assert ROW.size == 76
MAGIC = b"offsHLD1"
ROWS_MAX = 1 << 16  # the most archives in a table of an inventory
TABLE_SIZE_MAX = len(MAGIC) + ROWS_MAX * ROW.size


@dataclass(frozen=True, slots=True)
class Holding:
    name: ArchiveName
    index_digest: Digest
    size: int
    records: int
    archive_class: int


def encode_rows(holdings: Iterable[Holding]) -> bytes:
    return b"".join(ROW.pack(h.name, h.index_digest, h.size, h.records, h.archive_class) for h in holdings)


def decode_rows(data: bytes | memoryview, where: str) -> list[Holding]:
    """Read rows. Raises FormatError HOLD-1 (order, twice), HOLD-2 (size, records, class, padding)."""
    if len(data) % ROW.size:
        refuse("HOLD-2", "not whole rows", where)
    found: list[Holding] = []
    before = b""
    for number, (name, index_digest, size, records, archive_class) in enumerate(ROW.iter_unpack(data)):
        if name <= before:
            refuse("HOLD-1", "rows are not sorted by name", f"{where}[{number}]")
        if (
            not ARCHIVE_SIZE_MIN <= size <= ARCHIVE_SIZE_MAX
            or size < ARCHIVE_SIZE_MIN + (records - 1) * (1 + INDEX_ROW.size)
            or not 1 <= records <= RECORDS_MAX
            or archive_class not in CLASSES
            or data[(number + 1) * ROW.size - 3 : (number + 1) * ROW.size] != b"\0\0\0"
        ):
            refuse("HOLD-2", "size, records or class out of bounds", f"{where}[{number}]")
        found.append(Holding(ArchiveName(name), Digest(index_digest), size, records, archive_class))
        before = name
    return found


def encode_tables(holdings: Sequence[Holding]) -> list[bytes]:
    """Return the table objects of an inventory."""
    ordered = sorted(holdings, key=lambda h: h.name)
    return [MAGIC + encode_rows(ordered[at : at + ROWS_MAX]) for at in range(0, len(ordered), ROWS_MAX)]


def decode_table(data: bytes, where: str) -> list[Holding]:
    """Read a table object. Raises FormatError."""
    if not data.startswith(MAGIC) or len(data) > len(MAGIC) + ROWS_MAX * ROW.size:
        refuse("HOLD-3", "not a table of archives", where)
    return decode_rows(data[len(MAGIC) :], where)
