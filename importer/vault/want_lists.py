"""The records that recovery points need and the vault lacks, and the ways to get them, without keys.

The order of writes: archives are there before their replacement is signed; a want list is put when both are.
"""

import mmap
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from formats import layout
from formats.documents.damage import WANTED_OBJECTS_MAX, ArchiveRow, Replaced, Replacement, Wants
from formats.documents.vault import Membership
from formats.errors import OffseedError, damage_aside, is_damage
from formats.ids import ArchiveName, KeyId, MachineId, digest, hex_digest
from formats.monitor import Finding, Monitor, Recorder, Tally
from formats.rules.replacements import (
    Replacing,
    Stock,
    in_documents,
    index_objects,
    joined,
    sections,
    stand_in,
)
from formats.tables import needs
from formats.tables.archive import ARCHIVE_SIZE_MAX, HEAD, Archive, parse_head
from formats.tables.holdings import Holding
from formats.tables.needs import Need, bitmap, of_bits
from formats.tables.sections import Section, encode_objects, section_of
from importer.vault.archives import own_index, read_described
from importer.vault.points import History, by_name, line_of, need_digests, received_archives, stocks
from importer.vault.vault import Vault, members, put_whole


@dataclass
class Lack:
    """The needs that the vault lacks under one master key, and the names of the key's machines.

    The live bits of the needs are the wanted records.
    """

    machines: list[str] = field(default_factory=list)
    needs: list[Need] = field(default_factory=list)
    objects: set[str] = field(default_factory=set)

    @property
    def records(self) -> int:
        return sum(need.live_count() for need in self.needs)

    def __bool__(self) -> bool:
        return bool(self.needs or self.objects)


def mend(vault: Vault, monitor: Monitor) -> dict[str, Lack]:
    """Accept offers of machines for lacking records, then put want lists for the records that still lack.

    Return the lacks by key id.
    """
    known = members(vault, monitor)
    accept_offers(vault, known, monitor)
    wanted = lacking(vault, known, monitor)
    found = {
        key_id: list(_copies(vault, key_id, lack.needs)) for key_id, lack in wanted.items() if lack.needs
    }
    for key_id, entries in found.items():
        sign_replacements(vault, key_id, entries, copied=True)
    if any(found.values()):
        wanted = lacking(vault, known, monitor)
    for key_id, lack in wanted.items():
        publish(vault, key_id, lack, monitor)
    return wanted


def lacking(vault: Vault, known: Mapping[MachineId, Membership], monitor: Monitor) -> dict[str, Lack]:
    """Return by key id the needs of points that the vault lacks and no disk is to bring (DMG-3)."""
    stock = stocks(vault, monitor)
    found: dict[str, Lack] = defaultdict(Lack)
    received: set[tuple[ArchiveName, MachineId]] | None = None
    for member in by_name(known):
        history = History(vault, member, known, Tally())
        lack, there = found[member.key_id], stock[member.key_id]
        if member.name not in lack.machines:
            lack.machines.append(member.name)
        lists = []
        for manifest, signed in history.found:
            if (needed := history.needed(signed)) is None:
                listed = {name for name, _ in vault.store.list("needs")}
                names = {layout.need_name(d) for d in need_digests(vault.store, manifest.needs)}
                lack.objects |= names - listed
            else:
                lists.append(needed)
        shorts = (there.lacking(need) for need in chain.from_iterable(lists))
        missing = joined(
            short for short in shorts if short is not None
        )  # each once, though many points need it
        promised = history.promised() if missing else set()
        if received is None and promised:
            received = {(holding.name, machine) for holding, machine in received_archives(vault)}
        line = [before.machine for before in line_of(member, known)]
        for short in missing:
            name = short.archive.name
            if name not in promised or any((name, machine) in (received or ()) for machine in line):
                lack.needs.append(short)
    for lack in found.values():
        lack.needs = joined(lack.needs)
    return dict(found)


def publish(vault: Vault, key_id: str, lack: Lack, monitor: Monitor) -> None:
    """Put the next want list, if it says anything new.

    The objects that form it are whole from here on in any case, because a machine that cannot read it sends
    nothing.
    """
    look = vault.view.look(layout.wants_prefix(key_id), Wants, vault.key, monitor)
    before = look.newest.document if look.newest is not None else None
    objects = tuple(sorted(lack.objects)[:WANTED_OBJECTS_MAX])
    root, buckets = needs.encode(lack.needs) if lack.needs else (b"", {})
    wanted = hex_digest(root) if lack.needs else None
    for data in (*buckets.values(), *([root] if root else [])):
        put_whole(vault, layout.need_name(digest(data)), data)
    if (before.needs, before.objects) == (wanted, objects) if before else not lack:
        return
    number = look.next_number
    document = Wants(
        number=number,
        vault=vault.id,
        key_id=key_id,
        role="authority",
        created=vault.now(),
        archives=len(lack.needs),
        records=lack.records,
        needs=wanted,
        objects=objects,
    )
    vault.sign(layout.wants_prefix(key_id), number, document)


def accept_offers(vault: Vault, known: Mapping[MachineId, Membership], monitor: Monitor) -> None:
    """Sign the replacements that machines offer, as far as they are true and needed (DMG-2).

    A replacement is needed if the vault lacks the archive that it replaces.
    """
    there = stocks(vault, Tally())
    signed = {
        (fact.document.key_id, entry.archive.holding, entry.by.holding)
        for fact in vault.view.look(layout.REPLACEMENTS, Replacement, vault.key, Tally()).facts
        for entry in fact.document.replaced
    }
    for member in known.values():
        prefix, key = layout.offers_prefix(member.machine), bytes.fromhex(member.public_key)
        for fact in vault.view.look(prefix, Replacement, key, monitor).facts:
            offered = [
                entry
                for entry in fact.document.replaced
                if (member.key_id, entry.archive.holding, entry.by.holding) not in signed
                and not there[member.key_id].holds(entry.archive.holding)
            ]
            if not offered or member.status == "revoked":
                continue
            untrue = Recorder(monitor)
            true = list(_checked(vault, member, offered, untrue))
            sign_replacements(vault, member.key_id, true, copied=False)
            if untrue.findings:  # reported once: a machine offers lacking records again
                vault.store.delete(fact.name)


def _copies(vault: Vault, key_id: str, short: Sequence[Need]) -> Iterator[Replaced]:
    """Find the lacking records, byte for byte, in other archives of the vault: the replacement that names them may be lost.

    An id is anybody's claim. The digest of the record stands in the index of the archive that is lacking, which is signed.
    """
    there, old = set(vault.store.list("archives")), sections_in(vault, [need.archive for need in short])
    wanted: dict[tuple[bytes, bytes], list[tuple[Holding, int]]] = defaultdict(list)
    for need in short:
        section = old.get(need.archive.name)
        with damage_aside():  # a machine may need an archive with an index that cannot be
            for number, row in enumerate(section.rows("lacking") if section is not None else ()):
                if need.is_live(number):
                    wanted[row.chunk, row.record_digest].append((need.archive, number))
    buffer = memoryview(mmap.mmap(-1, ARCHIVE_SIZE_MAX)) if wanted else memoryview(b"")
    seen = set[Holding]()
    for _, listed in index_objects(vault.store) if wanted else ():
        for section in listed:
            by = section.archive
            if by in seen or (layout.archive_name(by.name), by.size) not in there:
                continue
            seen.add(by)
            with damage_aside():
                if any((row.chunk, row.record_digest) in wanted for row in section.rows("copy")):
                    yield from _copied_in(vault, by, key_id, wanted, buffer)
    indexed = {layout.archive_name(archive.name) for archive in seen}
    for name, _ in sorted(there) if wanted else ():
        with damage_aside():
            if name not in indexed and (found := _described(vault, name, key_id, buffer)) is not None:
                yield from _copied_in(vault, found, key_id, wanted, buffer)


def _described(vault: Vault, name: str, key_id: str, buffer: memoryview) -> Holding | None:
    """Return the row of an archive that no index object lists; None if it is of another key. Raises as `_copied_in`."""
    if parse_head(vault.store.get(name, 0, HEAD.size), name)[1].hex() != key_id:
        return None
    data = buffer[: vault.store.get_into(name, buffer)]
    return section_of(data, ArchiveName(bytes.fromhex(name[-64:])), name)[0].archive


def _copied_in(
    vault: Vault,
    by: Holding,
    key_id: str,
    wanted: Mapping[tuple[bytes, bytes], Sequence[tuple[Holding, int]]],
    buffer: memoryview,
) -> Iterator[Replaced]:
    """Return the `wanted` records that lie in an archive, each compared with its digest.

    Raises FormatError, IntegrityError, StoreError.
    """
    if own_index(vault.store, by) is None:
        return  # an index object may claim anything
    held: dict[Holding, list[int]] = defaultdict(list)
    section, data = read_described(vault.store, by, KeyId(bytes.fromhex(key_id)), buffer)
    for row in section.rows("copy"):
        if row.matches(data[row.offset : row.offset + row.length]):
            for archive, number in wanted.get((row.chunk, row.record_digest), ()):
                held[archive].append(number)
    for archive, numbers in held.items():
        bits = bitmap(archive.records, sorted(set(numbers)))
        yield Replaced(archive=ArchiveRow.of(archive), by=ArchiveRow.of(by), held=bits)


def sign_replacements(vault: Vault, key_id: str, entries: Iterable[Replaced], *, copied: bool) -> None:
    """Put replacements, in documents of bounded size; `copied`: the authority copied the records itself."""
    number = sum(1 for _ in vault.store.list(layout.REPLACEMENTS))
    for part in in_documents(entries):
        number += 1
        document = Replacement(
            vault=vault.id,
            key_id=key_id,
            role="authority",
            created=vault.now(),
            copied=copied,
            replaced=part,
        )
        vault.sign(layout.REPLACEMENTS, number, document)


def put_saved(vault: Vault, archive: Archive) -> bool:
    """Put an archive of saved records, after its index. Return whether it is new.

    The index is wanted if this archive is damaged, too. Anybody can foresee the names: junk there is replaced.
    """
    for data in encode_objects([Section.of(archive)]):
        put_whole(vault, layout.index_name(digest(data)), data)
    name = layout.archive_name(archive.name)
    new = vault.store.head(name) is None
    return put_whole(vault, name, archive.data) or new


def _checked(
    vault: Vault, member: Membership, offered: Sequence[Replaced], monitor: Monitor
) -> Iterator[Replaced]:
    """Yield the offers that are true; each archive that is to replace another is read once and whole."""
    old = sections_in(vault, [entry.archive.holding for entry in offered])
    grouped: dict[Holding, list[Replaced]] = defaultdict(list)
    for entry in offered:
        grouped[entry.by.holding].append(entry)
    buffer = memoryview(mmap.mmap(-1, ARCHIVE_SIZE_MAX))
    for by, entries in grouped.items():
        name = layout.archive_name(by.name)
        try:
            section, _ = read_described(vault.store, by, KeyId(bytes.fromhex(member.key_id)), buffer)
        except OffseedError as error:
            if not is_damage(error):
                raise
            monitor.finding(Finding(code="replacement-untrue", subject=name, detail=error.what))
            continue
        for entry in entries:
            archive = entry.archive.holding
            if archive.name not in old:
                detail = "the index of the archive that it is to stand in for is not in the vault"
                monitor.finding(Finding(code="replacement-untrue", subject=name, detail=detail))
                continue
            held = entry.held.ljust((archive.records + 7) // 8, b"\0")
            found = stand_in([(Need(archive, held), old[archive.name])], section)
            if [f.held for f in found] != [entry.held]:
                detail = f"it holds not all that is said to be held of {archive.name.hex()[:16]}"
                monitor.finding(Finding(code="replacement-untrue", subject=name, detail=detail))
            yield from found


def copied_on(
    vault: Vault, stock: Stock, sources: Iterable[tuple[Need, Section]], made: Section
) -> list[tuple[list[Replaced], bool]]:
    """Return the replacements by `made`, after records of `sources` were copied into it.

    Each list of replacements comes with the flag whether it is proven. `made` also replaces the archives that
    the sources replaced. These claims are no better than they were.
    """
    sources = list(sources)
    archives = {need.archive for need, _ in sources}
    proven = stand_in([*sources, *_stood_for(vault, stock.copied, archives)], made)
    offered = stand_in(_stood_for(vault, stock.offered, archives), made)
    return [(proven, True), (offered, False)]


def _stood_for(
    vault: Vault, replaced: Replacing, archives: Collection[Holding]
) -> list[tuple[Need, Section]]:
    """Return the needs and indexes of archives that `archives` replace, as far as there are indexes.

    The live records of a need are those that `archives` hold.
    """
    held: dict[Holding, int] = {}
    for old, others in replaced.items():
        for by, bits in others.items():
            if by in archives:
                held[old] = held.get(old, 0) | bits
    indexes = sections_in(vault, held)
    return [(of_bits(old, bits), indexes[old.name]) for old, bits in held.items() if old.name in indexes]


def sections_in(vault: Vault, wanted: Iterable[Holding]) -> dict[ArchiveName, Section]:
    """Return the indexes of archives, as far as the vault's index objects have them."""
    return sections(index_objects(vault.store), wanted)[0]
