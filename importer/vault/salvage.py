"""The salvage of a damaged archive: its whole records go into an archive of their own, still sealed.

It needs no keys. A record is believed by its digest in an index that a signed document names, never by the
archive's own end. The saved records are durable before a damaged object is deleted (DMG-4).
"""

from collections.abc import Callable
from dataclasses import dataclass

from blake3 import blake3

from formats import layout
from formats.ids import KeyId
from formats.store.checked import read_record
from formats.store.contract import Store
from formats.tables.archive import Archive, ArchiveBuilder
from formats.tables.holdings import Holding
from formats.tables.sections import Section


@dataclass(frozen=True)
class SalvageState:
    """The state of an archive of `records` records.

    `whole` are the numbers of the whole ones. `archive` holds the wanted ones among these, if there are any.
    The others lie in the `damaged` ranges of bytes (first, last).
    """

    records: int
    whole: tuple[int, ...]
    archive: Archive | None
    damaged: tuple[tuple[int, int], ...]

    def words(self) -> str:
        ranges = ", ".join(f"{first:,} to {last:,}" for first, last in self.damaged[:4])
        more = f" and {len(self.damaged) - 4:,} more" if len(self.damaged) > 4 else ""
        told = f"{len(self.whole):,} of {self.records:,} records are whole"
        return f"{told}; damaged are bytes {ranges}{more}" if ranges else told


def salvage(
    store: Store, archive: Holding, section: Section, key_id: KeyId, wanted: Callable[[int], bool]
) -> SalvageState:
    """Read the records of a damaged archive one by one, and lay whole ones into a new archive.

    The new archive holds the records that are `wanted` by their numbers. Its bytes do not depend on its
    maker. Raises StoreError, MediaError if the store gives nothing at all.
    """
    rows = section.rows(layout.archive_name(archive.name))
    whole: list[int] = []
    damaged: list[tuple[int, int]] = []
    buffer = bytearray(archive.size)
    salt = blake3(b"salvage" + archive.name).digest(length=16)
    builder = ArchiveBuilder(buffer, archive.archive_class, key_id, salt=salt)
    for number, row in enumerate(rows):
        record = read_record(store, archive.name, row) or read_record(store, archive.name, row)
        if record is None:  # read twice before it is given up
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
    return SalvageState(len(rows), tuple(whole), made, tuple(damaged))
