"""The reading of one recovery point: its catalog, and the chunks of its files.

A restore trusts the master key alone: it believes an index by the digest in the need list, and a chunk by its
seal.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cached_property, reduce
from operator import or_

from formats import layout
from formats.errors import (
    FormatError,
    IntegrityError,
    MediaError,
    NotFoundError,
    OffseedError,
    StoreError,
    damage_aside,
    is_damage,
)
from formats.ids import ArchiveName, ChunkId
from formats.keyed.catalog import LOST, CatalogEntry, PageRow, check_parts, sort_key
from formats.keyed.chunk import ChunkSealer
from formats.keyed.segments import decode_entries, decode_page, small_files
from formats.monitor import Finding, Monitor
from formats.rules.replacements import Stock, joined, sections, translated, unheld
from formats.store.checked import read_index
from formats.tables.holdings import Holding
from formats.tables.index import CATALOG
from formats.tables.needs import Need
from formats.tables.sections import Section, decode_object
from formats.untrusted import refuse
from seed.points.layered_store import LayeredStore
from seed.points.points import Point, needed_of
from seed.tables.record_table import Places, RecordPlace


class PointReader:
    """A reader of one point: its catalog, and the chunks of its files."""

    def __init__(self, union: LayeredStore, point: Point, monitor: Monitor) -> None:
        self.union = union
        self.point = point
        self.sealer = ChunkSealer(point.master)
        self._monitor = monitor
        self._places = Places()
        self.indexes: list[str] = []  # the index objects that hold the indexes of its archives
        self.unheld: list[Need] = []  # records that replacing archives are said to hold, and do not
        self.needed = needed_of(union, point)  # the archives of its need list; `needs` are those at hand
        standing = list(self._standing(self.needed))
        self.needs = [need for need, _ in standing]
        self.sections = [section for _, section in standing]  # None for an archive without an index
        for number, section in enumerate(self.sections):
            if section is not None:
                self._places.add(number, section.rows(layout.archive_name(section.archive.name)))
        self._places.end()

    def places(self, chunk: ChunkId) -> list[RecordPlace]:
        """Return every place of `chunk` by the indexes; none if it has not arrived."""
        return self._places.of(chunk)

    def first_places(self, chunks: Sequence[ChunkId]) -> list[RecordPlace | None]:
        """Return the first place of each chunk by the indexes; None if it has not arrived."""
        return self._places.first(chunks)

    def is_there(self, chunk: ChunkId) -> bool:
        """Return whether a chunk lies in an archive that is at hand, as the stores list them."""
        return any(self._archives_there[place.archive] for place in self.places(chunk))

    @cached_property
    def _archives_there(self) -> list[bool]:
        listed = {listed for store in self.union.stores for listed in store.list("archives")}
        return [(layout.archive_name(n.archive.name), n.archive.size) in listed for n in self.needs]

    def chunk(self, chunk: ChunkId, kind: int) -> bytes:
        """Return a chunk's raw bytes; every candidate is tried before an error.

        Raises IntegrityError content-lost, chunk-missing, seal-broken.
        """
        if chunk == LOST:
            raise IntegrityError(
                "content-lost", "its content was lost, and is no longer where it was backed up from",
                hint="`seed find` shows whether another recovery point has it",
            )  # fmt: skip
        failure: OffseedError | None = None
        for place in self.places(chunk):
            for store in self.union.stores:
                try:
                    name = layout.archive_name(self.needs[place.archive].archive.name)
                    return self.sealer.open(kind, chunk, store.get(name, place.offset, place.length), name)
                except NotFoundError:
                    continue
                except (FormatError, IntegrityError, StoreError, MediaError) as error:
                    failure = error
        if failure is not None:
            raise failure
        raise IntegrityError(
            "chunk-missing",
            "a chunk is in none of the archives at hand",
            subject=chunk.hex()[:16],
            hint="give the other disks of the set too, or wait until the vault holds them",
        )

    def entries(self, below: bytes = b"") -> Iterator[CatalogEntry]:
        """Yield the rows of the catalog in order; with `below`, those at or under that path.

        Segments outside that path are not read. Raises IntegrityError, FormatError, StoreError.
        """
        if not below:
            for _, entries in self.segments():
                yield from entries
            return
        before: CatalogEntry | None = None
        for row, entries in self.segments(below):
            taken = [e for e in entries if e.path == below or e.path.startswith(below + b"/")]
            check_parts(before, taken, f"segment {row.segment.hex()[:16]}")
            before = taken[-1] if taken else before
            yield from taken

    def segments(self, below: bytes = b"") -> Iterator[tuple[PageRow, list[CatalogEntry]]]:
        """Yield the segments of the catalog in order; with `below`, those that may hold rows of that path.

        Rows of that path are those at or under it. Raises as `entries`.
        """
        first, last = sort_key(below), sort_key(below) + b"\1"
        before: CatalogEntry | None = None
        for row in self.page_rows():
            if not below or (sort_key(row.last) >= first and sort_key(row.first) < last):
                entries = self.segment(row)
                if before is not None and entries and entries[0].place <= before.place:
                    refuse("CAT-4", "rows are not sorted", f"segment {row.segment.hex()[:16]}")
                if before is not None or not below:
                    check_parts(before, entries, f"segment {row.segment.hex()[:16]}")
                before = entries[-1] if entries else before
                yield row, entries

    def segment(self, row: PageRow) -> list[CatalogEntry]:
        """Return the rows of one segment. Raises as `entries`."""
        return decode_entries(self.chunk(row.segment, CATALOG), f"segment {row.segment.hex()[:16]}")

    def page_rows(self) -> Iterator[PageRow]:
        """Yield the segments of the catalog, in order. Raises as `entries`."""
        for page_id in self.point.root.pages:
            yield from decode_page(
                self.chunk(ChunkId(bytes.fromhex(page_id)), CATALOG), f"page {page_id[:16]}"
            )

    def small_files(self) -> Iterator[list[tuple[bytes, ChunkId, int]]]:
        """Yield each segment's small files: content id, bundle, offset in the bundle. Raises as `entries`."""
        for row in self.page_rows():
            yield list(small_files(self.chunk(row.segment, CATALOG)))

    def _standing(self, needed: Sequence[Need]) -> Iterator[tuple[Need, Section | None]]:
        """Yield the needed archives, or those that replace missing ones, with their indexes."""
        key_id, root = self.point.manifest.key_id, self.point.root
        there = self.union.stock(key_id, root) if self.union.replacements(root) else Stock(set())
        stand_ins = {by for need in needed for by in there.stand_ins(need.archive)}
        found = self._indexes([*(need.archive for need in needed), *stand_ins])
        kept = [n for n in needed if there.holds(n.archive) or not there.stand_ins(n.archive)]
        instead: list[Need] = []
        for need in needed:
            others = [(held, found.get(by.name)) for by, held in there.stand_ins(need.archive).items()]
            at_hand = [(held, section) for held, section in others if section is not None]
            old = found.get(need.archive.name)
            instead += [translated(need, old, held, section) for held, section in at_hand]
            if old is not None and others and not there.holds(need.archive):
                said = reduce(or_, (held for held, _ in others))
                if (short := unheld(need, old, said, [section for _, section in at_hand])) is not None:
                    self.unheld.append(short)
        for need in joined([*kept, *instead]) if instead else kept:
            yield need, found.get(need.archive.name)

    def _indexes(self, archives: Sequence[Holding]) -> dict[ArchiveName, Section]:
        """Return the indexes of archives, from index objects or the archives' own ends."""
        found, self.indexes = sections(self._index_objects(), archives)
        for archive in archives:
            if (
                archive.name not in found
                and (section := own_index(self.union, archive, self._monitor)) is not None
            ):
                found[archive.name] = section
        return found

    def _index_objects(self) -> Iterator[tuple[str, list[Section]]]:
        for name in self.union.list("indexes"):
            with suppress(ValueError), damage_aside():  # then the archive's own end is tried
                data = self.union.get_checked(name, bytes.fromhex(name.rpartition("/")[2]))
                yield name, decode_object(data, name)


def own_index(union: LayeredStore, archive: Holding, monitor: Monitor) -> Section | None:
    """Return the index at an archive's own end, believed by the digest in the need list.

    Returns None if there is no such index. That is a finding, unless the archive is not there.
    """
    try:
        return read_index(union, archive)
    except NotFoundError:
        return None
    except OffseedError as error:
        if not is_damage(error):
            raise
        name = layout.archive_name(archive.name)
        monitor.finding(Finding(code=error.code, subject=name, detail=error.what))
        return None
