"""Compaction: live records of mostly dead archives are copied into new archives, still sealed, without keys.

The order of writes: the new archives, their indexes, then the replacement that tells their contents. Then no
point needs the old archives, and prune condemns them like any others.
"""

import mmap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from blake3 import blake3

from formats import layout
from formats.documents.damage import Replaced
from formats.errors import FormatError, IntegrityError, NotFoundError, damage_aside
from formats.ids import KeyId
from formats.monitor import Finding, Monitor
from formats.rules.replacements import Stock, index_objects
from formats.tables.archive import ARCHIVE_SIZE, ARCHIVE_SIZE_MAX, FOOTER, HEAD, Archive, ArchiveBuilder
from formats.tables.holdings import Holding
from formats.tables.index import ROW, IndexRow
from formats.tables.needs import Need, of_bits
from formats.tables.sections import Section
from importer.vault.archives import read_described
from importer.vault.reachability import Live
from importer.vault.vault import Vault
from importer.vault.want_lists import copied_on, put_saved, sign_replacements

GARBAGE_MAX = 0.10  # of the bytes of records: with more garbage, compaction begins
GARBAGE_LEFT = 0.05


@dataclass(frozen=True)
class WastefulArchive:
    """An archive with `size` bytes of records: `dead` bytes of them are needed no more.

    `live` has the bits of the records that are still needed.
    """

    archive: Holding
    live: int
    size: int
    dead: int


def wasting(vault: Vault, live: Live) -> list[WastefulArchive]:
    """Return the archives that are worth compacting, those with the largest dead share first.

    There are none if few bytes are dead. The archives of `live` must stay.
    """
    partly = {archive for archive, bits in live.items() if bits.bit_count() < archive.records}
    found, total, dead = [], sum(_record_bytes(archive) for archive in live), 0
    for _, listed in index_objects(vault.store) if partly else ():
        for section in listed:
            if section.archive in partly:
                partly.discard(section.archive)
                rows, bits = list[IndexRow](), live[section.archive]
                with damage_aside():  # a machine may need an archive with an index that cannot be
                    rows = section.rows(layout.archive_name(section.archive.name))
                lost = sum(row.length for number, row in enumerate(rows) if not bits >> number & 1)
                if not lost:
                    continue
                found.append(WastefulArchive(section.archive, bits, _record_bytes(section.archive), lost))
                dead += lost
    chosen = []
    left = dead
    if dead > GARBAGE_MAX * total:
        for item in sorted(found, key=lambda item: item.dead / item.size, reverse=True):
            if left <= GARBAGE_LEFT * total:
                break
            chosen.append(item)
            left -= item.dead
            total -= item.dead
    return chosen


def compact(
    vault: Vault, key_id: str, chosen: Sequence[WastefulArchive], stock: Stock, monitor: Monitor
) -> list[tuple[Archive, list[Replaced]]]:
    """Copy the live records of the `chosen` archives into new archives, and sign the replacements.

    Damaged archives stay as they are. Return the new archives without their data, each with its replacement
    entries.
    """
    made = []
    for archive_class in sorted({item.archive.archive_class for item in chosen}):
        items = [item for item in chosen if item.archive.archive_class == archive_class]
        for built, sources in _laid(vault, KeyId(bytes.fromhex(key_id)), archive_class, items, monitor):
            put_saved(vault, built)
            parts = copied_on(vault, stock, sources, Section.of(built))
            built.data.release()
            made.append((built, parts))
    for copied in (True, False):
        signed = [
            entry for _, parts in made for entries, is_copy in parts if is_copy == copied for entry in entries
        ]
        sign_replacements(vault, key_id, signed, copied=copied)
    for built, parts in made:
        stock.there.add((layout.archive_name(built.name), built.size))
        for entries, is_copy in parts:
            stock.add(entries, copied=is_copy)
    return [(built, [entry for entries, _ in parts for entry in entries]) for built, parts in made]


def _laid(
    vault: Vault, key_id: KeyId, archive_class: int, items: Iterable[WastefulArchive], monitor: Monitor
) -> Iterator[tuple[Archive, list[tuple[Need, Section]]]]:
    """Yield new archives, each with the needs and indexes of the old archives that went into it.

    The caller must use an archive before it asks for the next one.
    """
    old = memoryview(mmap.mmap(-1, ARCHIVE_SIZE_MAX))
    space = mmap.mmap(-1, ARCHIVE_SIZE)
    sources: list[tuple[Need, Section]] = []
    builder: ArchiveBuilder | None = None
    for item in items:
        name = layout.archive_name(item.archive.name)
        try:
            section, data = read_described(vault.store, item.archive, key_id, old)
        except (FormatError, IntegrityError, NotFoundError) as error:
            monitor.finding(Finding(code=error.code, subject=name, detail=f"not compacted: {error.what}"))
            continue
        need = of_bits(item.archive, item.live)
        for number, row in enumerate(section.rows(name)):
            record = data[row.offset : row.offset + row.length]
            if not need.is_live(number) or not row.matches(record):
                continue  # the archive's writer may have listed a wrong digest: then it stays
            if builder is not None and not builder.fits(row.length):
                yield builder.finish(), sources
                builder = None
            if builder is None:
                salt = blake3(b"compact" + item.archive.name + number.to_bytes(4, "little")).digest(length=16)
                builder, sources = ArchiveBuilder(space, archive_class, key_id, salt=salt), []
            if not sources or sources[-1][1] is not section:
                sources.append((need, section))
            builder.add(row.kind, row.chunk, record, row.record_digest)
        monitor.progress(done=item.archive.size, files=1)
    if builder is not None:
        yield builder.finish(), sources


def _record_bytes(archive: Holding) -> int:
    return archive.size - HEAD.size - FOOTER.size - archive.records * ROW.size
