"""Chunk indexes outside their archives: index objects, and the journal of an export (SECT-1, SECT-2).

A section is the row of its archive (formats/tables/holdings.py, 76 bytes), then its index as it stands in the
archive. A section counts only if its index digest stands in a signed document. The caller must check that.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from formats.errors import IntegrityError
from formats.ids import ArchiveName, ChunkId, KeyId, digest
from formats.tables import holdings
from formats.tables.archive import FOOTER, HEAD, Archive, Parsed, parse
from formats.tables.holdings import Holding
from formats.tables.index import ROW as INDEX_ROW
from formats.tables.index import IndexRow, decode_index
from formats.untrusted import refuse

MAGIC = b"offsIDX1"
OBJECT_SIZE_MAX = 16 << 20


@dataclass(frozen=True, slots=True)
class Section:
    """One archive's index."""

    archive: Holding
    index: bytes

    @classmethod
    def of(cls, archive: Archive) -> Self:
        """Return the section of an archive that was just built."""
        holding = Holding(
            archive.name, archive.index_digest, archive.size, archive.records, archive.archive_class
        )
        return cls(holding, archive.index)

    def rows(self, where: str) -> list[IndexRow]:
        """Return the parsed rows of the index. Raises FormatError."""
        end = self.archive.size - FOOTER.size - len(self.index)
        return decode_index(self.index, HEAD.size, end, where)

    def chunks(self) -> Iterator[ChunkId]:
        """Yield the ids of the archive's records, in order."""
        for at in range(0, len(self.index), INDEX_ROW.size):
            yield ChunkId(self.index[at : at + 32])

    def encode(self) -> bytes:
        return holdings.encode_rows([self.archive]) + self.index


def section_of(data: memoryview, name: ArchiveName, where: str) -> tuple[Section, KeyId]:
    """Parse a whole archive, and return its index and the id of its key. Raises FormatError, IntegrityError."""
    parsed = parse(data, where)
    return Section(holding_of(parsed, name, len(data)), parsed.index), parsed.key_id


def holding_of(parsed: Parsed, name: ArchiveName, size: int) -> Holding:
    """Return the row of a table of holdings for an archive of `size` bytes."""
    return Holding(name, parsed.index_digest, size, len(parsed.rows), parsed.archive_class)


def encode_objects(sections: Iterable[Section]) -> Iterator[bytes]:
    """Yield index objects of at most 16 MiB each, holding `sections` in their order."""
    parts: list[bytes] = [MAGIC]
    size = len(MAGIC)
    for section in sections:
        data = section.encode()
        if len(parts) > 1 and size + len(data) > OBJECT_SIZE_MAX:
            yield b"".join(parts)
            parts, size = [MAGIC], len(MAGIC)
        parts.append(data)
        size += len(data)
    if len(parts) > 1:
        yield b"".join(parts)


def decode_object(data: bytes, where: str) -> list[Section]:
    """Return the sections of an index object, each checked against its stated digest.

    Raises FormatError SECT-1 (structure), IntegrityError (SECT-2: a digest is wrong).
    """
    if not data.startswith(MAGIC) or len(data) > OBJECT_SIZE_MAX:
        refuse("SECT-1", "not an index object", where)
    sections, end = scan(memoryview(data)[len(MAGIC) :], where)
    if end != len(data) - len(MAGIC):
        refuse("SECT-1", "the last section is cut short", where)
    return sections


def scan(data: memoryview, where: str) -> tuple[list[Section], int]:
    """Return the whole sections at the start of `data`, and where they end: a journal may break off inside one."""
    sections: list[Section] = []
    at = 0
    while at + holdings.ROW.size <= len(data):
        (archive,) = holdings.decode_rows(data[at : at + holdings.ROW.size], where)
        end = at + holdings.ROW.size + archive.records * INDEX_ROW.size
        if end > len(data):
            break
        rows = bytes(data[at + holdings.ROW.size : end])
        if digest(rows) != archive.index_digest:
            raise IntegrityError("object-damaged", "the digest of a section is wrong", subject=where)
        sections.append(Section(archive, rows))
        at = end
    return sections, at
