"""The chunk archive: head, sealed records, index, footer (ARCH-1 to ARCH-6). An archive is a value.

It is built whole in memory, named by the BLAKE3 of all its bytes, and put in one call. So a disk that fills
up, fails or is pulled out loses nothing: the same bytes go to the next disk. The index stands at the end,
because only then is it known.

    head    magic 8 "offsARC1", class u8, 7 zero, key id 16, random 16             48 bytes
    records sealed chunks, one after the other
    index   60 bytes a record (formats/tables/index.py)
    footer  index digest 32, records u32, 4 zero, magic 8 "offsEND1"               48 bytes
"""

import os
import struct
from dataclasses import dataclass
from mmap import mmap

from formats.errors import IntegrityError
from formats.ids import ArchiveName, ChunkId, Digest, KeyId, digest
from formats.tables.index import CATALOG, CONTENT, RECORDS_MAX, ROW, IndexRow, decode_index, encode_row
from formats.untrusted import refuse

HEAD = struct.Struct("<8sB7x16s16s")
FOOTER = struct.Struct("<32sI4x8s")
assert HEAD.size == 48
assert FOOTER.size == 48
HEAD_MAGIC = b"offsARC1"
FOOTER_MAGIC = b"offsEND1"

CONTENT_CLASS = 1
METADATA_CLASS = 2
CLASSES = (CONTENT_CLASS, METADATA_CLASS)
KINDS = {CONTENT_CLASS: CONTENT, METADATA_CLASS: CATALOG}

ARCHIVE_SIZE = 64 << 20
ARCHIVE_SIZE_MAX = 128 << 20  # the largest size that a reader accepts
ARCHIVE_SIZE_MIN = HEAD.size + 1 + ROW.size + FOOTER.size


def smallest_for(length: int) -> int:
    """Return the size in bytes of an archive that holds one record of `length` bytes."""
    return HEAD.size + length + ROW.size + FOOTER.size


@dataclass(frozen=True)
class Archive:
    """A finished archive. `data` is a view of the builder's buffer, valid until the buffer is reused."""

    name: ArchiveName
    index_digest: Digest
    index: bytes
    size: int
    records: int
    archive_class: int
    data: memoryview


class ArchiveBuilder:
    """A builder that lays records into `buffer`.

    The buffer's length or `limit` bounds the archive, index and footer included.
    """

    def __init__(
        self,
        buffer: bytearray | mmap,
        archive_class: int,
        key_id: KeyId,
        *,
        limit: int = ARCHIVE_SIZE_MAX,
        salt: bytes | None = None,
    ) -> None:
        self.buffer = memoryview(buffer)
        self.limit = min(limit, len(buffer))
        self.archive_class = archive_class
        HEAD.pack_into(self.buffer, 0, HEAD_MAGIC, archive_class, key_id, salt or os.urandom(16))
        self.at = HEAD.size
        self.rows: list[bytes] = []

    def __len__(self) -> int:
        return len(self.rows)

    def fits(self, length: int) -> bool:
        """Return whether one more record of `length` bytes has room."""
        tail = (len(self.rows) + 1) * ROW.size + FOOTER.size
        return len(self.rows) < RECORDS_MAX and self.at + length + tail <= self.limit

    def add(self, kind: int, chunk: ChunkId, record: bytes | memoryview, record_digest: bytes) -> None:
        assert self.fits(len(record))
        self.buffer[self.at : self.at + len(record)] = record
        self.rows.append(encode_row(IndexRow(chunk, record_digest, self.at, len(record), kind)))
        self.at += len(record)

    def finish(self) -> Archive:
        index = b"".join(self.rows)
        index_digest = digest(index)
        end = self.at + len(index)
        self.buffer[self.at : end] = index
        FOOTER.pack_into(self.buffer, end, index_digest, len(self.rows), FOOTER_MAGIC)
        data = self.buffer[: end + FOOTER.size].toreadonly()
        return Archive(
            ArchiveName(digest(data)),
            index_digest,
            index,
            len(data),
            len(self.rows),
            self.archive_class,
            data,
        )


@dataclass(frozen=True)
class Parsed:
    """The content of an archive, with checked structure.

    It counts only once the archive's name was checked (ARCH-5).
    """

    archive_class: int
    key_id: KeyId
    index: bytes
    index_digest: Digest
    rows: list[IndexRow]


def parse(data: bytes | memoryview, where: str) -> Parsed:
    """Check the structure of a whole archive. Raises FormatError, IntegrityError."""
    archive_class, key_id = parse_head(data[: HEAD.size], where)
    index_digest, records = parse_footer(data[-FOOTER.size :], len(data), where)
    end = len(data) - FOOTER.size
    start = end - records * ROW.size
    index = bytes(data[start:end])
    check_index(index, index_digest, where)
    rows = decode_index(index, HEAD.size, start, where)
    if any(row.kind != KINDS[archive_class] for row in rows):
        refuse("ARCH-6", "a record of another kind than those of the archive's class", where)
    return Parsed(archive_class, key_id, index, index_digest, rows)


def parse_head(data: bytes | memoryview, where: str) -> tuple[int, KeyId]:
    """Return class and key id. Raises FormatError ARCH-1."""
    if len(data) != HEAD.size:
        refuse("ARCH-1", "too short for a head", where)
    magic, archive_class, key_id, _ = HEAD.unpack(data)
    if magic != HEAD_MAGIC or archive_class not in CLASSES or bytes(data[9:16]) != bytes(7):
        refuse("ARCH-1", "not the head of an archive", where)
    return archive_class, KeyId(key_id)


def parse_footer(data: bytes | memoryview, size: int, where: str) -> tuple[Digest, int]:
    """Return index digest and number of records of an archive of `size` bytes.

    Raises FormatError ARCH-2, ARCH-3.
    """
    if not ARCHIVE_SIZE_MIN <= size <= ARCHIVE_SIZE_MAX:
        refuse("ARCH-2", f"an archive of {size} bytes", where)
    if len(data) != FOOTER.size:
        refuse("ARCH-3", "too short for a footer", where)
    index_digest, records, magic = FOOTER.unpack(data)
    if magic != FOOTER_MAGIC or bytes(data[36:40]) != bytes(4):
        refuse("ARCH-3", "not the footer of an archive", where)
    if not 1 <= records <= RECORDS_MAX or HEAD.size + records * ROW.size + FOOTER.size > size:
        refuse("ARCH-3", f"a footer that claims {records} records", where)
    return Digest(index_digest), records


def check_index(index: bytes, index_digest: Digest, where: str) -> None:
    """Raise IntegrityError unless the index has that digest (ARCH-4)."""
    if digest(index) != index_digest:
        raise IntegrityError("object-damaged", "the index is damaged", subject=where)
