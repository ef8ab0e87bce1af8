"""What stands in for archives that are lost or damaged: other archives, as replacements say (§21).

Whether a need is met is computed, never stored (DMG-1): by the archive under its name, else record by record by those that
stand in for it. Nothing here has to be believed by whoever has the key: a record that is not the one of its id does not open.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from formats import layout
from formats.documents.damage import REPLACED_MAX, ArchiveRow, Replaced, Replacement
from formats.documents.view import signed_at
from formats.errors import damage_aside
from formats.ids import ArchiveName, hex_digest
from formats.monitor import Monitor, damage_told
from formats.store.contract import Store
from formats.tables.holdings import Holding
from formats.tables.needs import Need, bitmap, of_bits
from formats.tables.sections import Section, decode_object

Replacing = dict[Holding, dict[Holding, int]]

DOCUMENT_BYTES = 512 << 10  # of bitmaps and rows in one replacement


@dataclass(frozen=True)
class Stock:
    """The archives that are `there`, by names and sizes, and what stands in for others, by the archive and then by what
    holds it.

    `copied` has the part of `replaced` that the authority copied itself. What a machine offered is in `replaced` alone.
    """

    there: set[tuple[str, int]]
    replaced: Replacing = field(default_factory=lambda: defaultdict(dict))
    copied: Replacing = field(default_factory=lambda: defaultdict(dict))

    def add(self, entries: Iterable[Replaced], *, copied: bool) -> None:
        """Add what other archives hold; `copied` says whether the authority copied it."""
        for entry in entries:
            for known in (self.replaced, self.copied) if copied else (self.replaced,):
                held, by = known[entry.archive.holding], entry.by.holding
                held[by] = held.get(by, 0) | int.from_bytes(entry.held, "little")

    @property
    def proven(self) -> "Stock":
        """Return the same archives with the copies of the authority alone: no machine's word counts."""
        return Stock(self.there, self.copied, self.copied)

    @property
    def offered(self) -> "Replacing":
        """Return what stands in by a machine's word alone."""
        return {
            old: rest
            for old, others in self.replaced.items()
            if (rest := {by: left for by, held in others.items() if (left := held & ~self._copied(old, by))})
        }

    def _copied(self, old: Holding, by: Holding) -> int:
        return self.copied.get(old, {}).get(by, 0)

    def without(self, archives: Iterable[ArchiveName]) -> "Stock":
        """Return the same without some archives, whatever the vault lists under their names."""
        gone = set(map(layout.archive_name, archives))
        there = {item for item in self.there if item[0] not in gone} if gone else self.there
        return Stock(there, self.replaced, self.copied)

    def holds(self, archive: Holding) -> bool:
        return (layout.archive_name(archive.name), archive.size) in self.there

    def stand_ins(self, archive: Holding) -> dict[Holding, int]:
        """The archives at hand that hold records of `archive`, and the bits of these."""
        found = self.replaced.get(archive, {})
        return {by: held for by, held in found.items() if self.holds(by)}

    def lacking(self, need: Need) -> Need | None:
        """`need` with the bits of those live records that are nowhere; None where none is."""
        if self.holds(need.archive):
            return None
        bits = int.from_bytes(need.live, "little")
        if not (stand_ins := self.stand_ins(need.archive)):
            return need if bits else None
        for held in stand_ins.values():
            bits &= ~held
        return replace(need, live=bits.to_bytes(len(need.live), "little")) if bits else None


def replacements(
    store: Store, prefix: str, key: bytes | None, monitor: Monitor, *, known: Collection[str] = ()
) -> Iterator[tuple[str, Replacement]]:
    """The replacements below `prefix` that are signed by `key`, by name, but those that are `known`; all that are well
    formed where it is None. Raises StoreError."""
    for name, _ in store.list(prefix):
        if name in known:
            continue
        with damage_told(monitor, name):
            if (signed := signed_at(store, name)) is not None:
                yield name, signed.peek(Replacement) if key is None else signed.verify(Replacement, key)


def stand_in(lacking: Iterable[tuple[Need, Section]], by: Section) -> list[Replaced]:
    """What of the `lacking` records lies in `by`, by their ids."""
    chunks = set(by.chunks())
    found = []
    for need, section in lacking:
        ids = enumerate(section.chunks())
        if held := [number for number, chunk in ids if need.is_live(number) and chunk in chunks]:
            entry = Replaced(
                archive=ArchiveRow.of(need.archive),
                by=ArchiveRow.of(by.archive),
                held=bitmap(need.archive.records, held),
            )
            found.append(entry)
    return found


def unheld(need: Need, section: Section, held: int, by: Iterable[Section]) -> Need | None:
    """`need` with the bits of those live records that others are said to hold, by `held`, and do not; None where they do."""
    there = {chunk for other in by for chunk in other.chunks()}
    numbers = [
        number
        for number, chunk in enumerate(section.chunks())
        if held >> number & 1 and need.is_live(number) and chunk not in there
    ]
    return replace(need, live=bitmap(need.archive.records, numbers)) if numbers else None


def in_documents(entries: Iterable[Replaced]) -> Iterator[tuple[Replaced, ...]]:
    """Entries, as many at a time as one document takes."""
    part: list[Replaced] = []
    size = 0
    for entry in entries:
        if part and (len(part) == REPLACED_MAX or size > DOCUMENT_BYTES):
            yield tuple(part)
            part, size = [], 0
        part.append(entry)
        size += 500 + 2 * len(entry.held)
    if part:
        yield tuple(part)


def translated(need: Need, section: Section | None, held: int, by: Section) -> Need:
    """The need for `by` in place of the records of `need` that it holds; for all of it where these are not known by id."""
    numbers: Sequence[int] = range(by.archive.records)
    if section is not None:
        live = {
            chunk
            for number, chunk in enumerate(section.chunks())
            if held >> number & 1 and need.is_live(number)
        }
        numbers = [number for number, chunk in enumerate(by.chunks()) if chunk in live]
    return Need(by.archive, bitmap(by.archive.records, numbers))


def joined(needs: Iterable[Need]) -> list[Need]:
    """One need for each archive, by name; live in it is what is live in any."""
    bits: dict[Holding, int] = {}
    for need in needs:
        bits[need.archive] = bits.get(need.archive, 0) | int.from_bytes(need.live, "little")
    ordered = sorted(bits.items(), key=lambda item: item[0].name)
    return [of_bits(archive, live) for archive, live in ordered]


def index_objects(store: Store) -> Iterator[tuple[str, list[Section]]]:
    """The index objects of a store that are whole; that others are damaged is for others to say. Raises StoreError."""
    for name, _ in store.list("indexes"):
        with damage_aside():
            data = store.get(name)
            if layout.is_name_of(name, hex_digest(data)):
                yield name, decode_object(data, name)


def sections(
    objects: Iterable[tuple[str, Sequence[Section]]], wanted: Iterable[Holding]
) -> tuple[dict[ArchiveName, Section], list[str]]:
    """The sections of the `wanted` archives among index objects, and the names of those in which they stand."""
    left = {archive.name: archive for archive in wanted}
    found: dict[ArchiveName, Section] = {}
    names = []
    if left:
        for name, there in objects:
            new = {s.archive.name: s for s in there if left.get(s.archive.name) == s.archive}
            names += [name] if new.keys() - found.keys() else []
            found |= new
            if len(found) == len(left):
                break
    return found, names
