"""The archives that replace lost or damaged ones, according to replacements (§21).

The reader computes whether a need is met, and never stores it (DMG-1). The archive under its name meets it,
or else its replacing archives meet it record by record. A reader with the key need not believe this module: a
record under a wrong id does not open.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from formats import layout
from formats.documents import envelope
from formats.documents.damage import REPLACED_MAX, ArchiveRow, Replaced, Replacement
from formats.errors import NotFoundError, damage_aside
from formats.ids import ArchiveName, hex_digest
from formats.monitor import Monitor, damage_told
from formats.store.contract import Store
from formats.tables.holdings import Holding
from formats.tables.needs import Need, bitmap, of_bits
from formats.tables.sections import Section, decode_object

Replacing = dict[Holding, dict[Holding, int]]

_TAIL = 4 << 10  # bytes at the end of an envelope, where its signatures lie

DOCUMENT_BYTES = 512 << 10  # the bitmaps and rows in one replacement


@dataclass(frozen=True)
class Stock:
    """The archives that are `there`, by name and size, and the replacing archives.

    `replaced` maps each replaced archive to the archives that hold its records. `copied` is the part of
    `replaced` that the authority copied itself. A machine's offers are in `replaced` alone.
    """

    there: set[tuple[str, int]]
    replaced: Replacing = field(default_factory=lambda: defaultdict(dict))
    copied: Replacing = field(default_factory=lambda: defaultdict(dict))

    def add(self, entries: Iterable[Replaced], *, copied: bool) -> None:
        """Add the records that other archives hold; `copied` says whether the authority copied them."""
        for entry in entries:
            for known in (self.replaced, self.copied) if copied else (self.replaced,):
                held, by = known[entry.archive.holding], entry.by.holding
                held[by] = held.get(by, 0) | int.from_bytes(entry.held, "little")

    @property
    def proven(self) -> "Stock":
        """The same archives with the copies of the authority alone: no machine's word counts."""
        return Stock(self.there, self.copied, self.copied)

    @property
    def offered(self) -> "Replacing":
        """The replacing archives for which only a machine's word speaks."""
        return {
            old: rest
            for old, others in self.replaced.items()
            if (rest := {by: left for by, held in others.items() if (left := held & ~self._copied(old, by))})
        }

    def _copied(self, old: Holding, by: Holding) -> int:
        return self.copied.get(old, {}).get(by, 0)

    def without(self, archives: Iterable[ArchiveName]) -> "Stock":
        """Return the same stock without some archives, even if the vault lists objects under their names."""
        gone = set(map(layout.archive_name, archives))
        there = {item for item in self.there if item[0] not in gone} if gone else self.there
        return Stock(there, self.replaced, self.copied)

    def holds(self, archive: Holding) -> bool:
        return (layout.archive_name(archive.name), archive.size) in self.there

    def stand_ins(self, archive: Holding) -> dict[Holding, int]:
        """Return the archives at hand that hold records of `archive`, and the bits of these records."""
        found = self.replaced.get(archive, {})
        return {by: held for by, held in found.items() if self.holds(by)}

    def lacking(self, need: Need) -> Need | None:
        """Return `need` with the bits of the live records that no archive holds; None if there are none."""
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
    """Yield the replacements below `prefix` that `key` signed, with their names, except those in `known`.

    Without a key, yield all well-formed ones. Raises StoreError.
    """
    for name, _ in store.list(prefix):
        if name in known:
            continue
        with damage_told(monitor, name):
            if (signed := _signed_at(store, name, key)) is not None:
                yield name, signed.peek(Replacement) if key is None else signed.verify(Replacement, key)


def _signed_at(store: Store, name: str, key: bytes | None) -> envelope.Signed | None:
    """Read a listed document; return None if it is gone by now, because prune may be at work.

    A document that does not name `key` at its end is a stranger's, and is not parsed: return None.

    Raises FormatError, IntegrityError, StoreError, MediaError.
    """
    try:
        data = store.get(name, length=envelope.SIZE_MAX + 1)
    except NotFoundError:
        return None
    if key is not None and envelope.key_name(key).encode() not in data[-_TAIL:]:
        return None
    return envelope.read(data, name)


def stand_in(lacking: Iterable[tuple[Need, Section]], by: Section) -> list[Replaced]:
    """Return the rows for the `lacking` records that lie in `by`, found by their ids."""
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
    """Return `need` with the bits of the live records in `held` that no archive in `by` holds.

    A replacement says of the records in `held` that the archives in `by` hold them. Return None if they hold
    all.
    """
    there = {chunk for other in by for chunk in other.chunks()}
    numbers = [
        number
        for number, chunk in enumerate(section.chunks())
        if held >> number & 1 and need.is_live(number) and chunk not in there
    ]
    return replace(need, live=bitmap(need.archive.records, numbers)) if numbers else None


def in_documents(entries: Iterable[Replaced]) -> Iterator[tuple[Replaced, ...]]:
    """Yield the entries in groups, each as large as one document allows."""
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
    """Return the need for `by` in place of the records of `need` that it holds.

    If their ids are unknown, return a need for all of `by`.
    """
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
    """Return one need for each archive, by name. A record is live in it if it is live in any of `needs`."""
    bits: dict[Holding, int] = {}
    for need in needs:
        bits[need.archive] = bits.get(need.archive, 0) | int.from_bytes(need.live, "little")
    ordered = sorted(bits.items(), key=lambda item: item[0].name)
    return [of_bits(archive, live) for archive, live in ordered]


def index_objects(store: Store) -> Iterator[tuple[str, list[Section]]]:
    """Yield the whole index objects of a store. Other code reports the damaged ones. Raises StoreError."""
    for name, _ in store.list("indexes"):
        with damage_aside():
            data = store.get(name)
            if layout.is_name_of(name, hex_digest(data)):
                yield name, decode_object(data, name)


def sections(
    objects: Iterable[tuple[str, Sequence[Section]]], wanted: Iterable[Holding]
) -> tuple[dict[ArchiveName, Section], list[str]]:
    """Return the sections of the `wanted` archives among index objects.

    Return also the names of the objects that hold them.
    """
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
