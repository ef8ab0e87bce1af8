"""What is left of a damaged archive: its whole records, laid into an archive of their own, still sealed. Without keys.

A record is believed by its digest in an index that a signed document names, never by the archive's own end (DMG-4: what
was saved is durable before anything that is damaged is deleted).
"""

from collections.abc import Callable
from dataclasses import dataclass

from blake3 import blake3

from formats import layout
from formats.errors import damage_aside
from formats.ids import KeyId, digest
from formats.store.contract import Store
from formats.tables.archive import FOOTER, Archive, ArchiveBuilder
from formats.tables.holdings import Holding
from formats.tables.index import ROW, Row, record_digest
from formats.tables.sections import Section


@dataclass(frozen=True)
class Saved:
    """How an archive of `records` was found: those that are whole, in an `archive` of their own if there are any, and the
    ranges of bytes (first, last) in which the others lie."""

    records: int
    whole: tuple[int, ...]
    archive: Archive | None
    damaged: tuple[tuple[int, int], ...]

    def words(self) -> str:
        ranges = ", ".join(f"{first:,} to {last:,}" for first, last in self.damaged[:4])
        more = f" and {len(self.damaged) - 4:,} more" if len(self.damaged) > 4 else ""
        told = f"{len(self.whole):,} of {self.records:,} records are whole"
        return f"{told}; damaged are bytes {ranges}{more}" if ranges else told


def own_index(store: Store, archive: Holding) -> Section | None:
    """The index at the end of an archive, believed by its digest alone. Raises StoreError."""
    name = layout.archive_name(archive.name)
    size = archive.records * ROW.size
    start = archive.size - FOOTER.size - size
    with damage_aside():
        index = store.get(name, start, size) if start > 0 else b""  # a replacement may say anything
        if digest(index) == archive.index_digest:
            return Section(archive, index)
    return None


def salvage(
    store: Store, archive: Holding, section: Section, key_id: KeyId, wanted: Callable[[int], bool]
) -> Saved:
    """Read the records of a damaged archive one by one. The archive of the whole ones among those that are `wanted`, by
    their numbers, is the same whoever makes it. Raises StoreError, MediaError where the store gives nothing at all."""
    name = layout.archive_name(archive.name)
    rows = section.rows(name)
    whole: list[int] = []
    damaged: list[tuple[int, int]] = []
    buffer = bytearray(archive.size)
    salt = blake3(b"salvage" + archive.name).digest(length=16)
    builder = ArchiveBuilder(buffer, archive.archive_class, key_id, salt=salt)
    for number, row in enumerate(rows):
        record = _record(store, name, row)
        if record is None:
            end = row.offset + row.length - 1
            first = row.offset
            if damaged and damaged[-1][1] + 1 == first:
                first = damaged.pop()[0]
            damaged.append((first, end))
            continue
        whole.append(number)
        if wanted(number):
            builder.add(row.kind, row.chunk, record, row.record_digest)
    made = builder.finish() if len(builder) else None
    return Saved(len(rows), tuple(whole), made, tuple(damaged))


def _record(store: Store, name: str, row: Row) -> bytes | None:
    """A record if it is whole; read twice before it is given up."""
    for _ in range(2):
        with damage_aside():
            data = store.get(name, row.offset, row.length)
            if len(data) == row.length and record_digest(data) == row.record_digest:
                return data
    return None
