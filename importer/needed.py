"""What somebody needs of a vault, as its documents say: the reading on which every deletion hangs (SWEEP-1).

What cannot be read is not taken for nothing: under the key that it concerns, nothing counts as dead then.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import or_

from formats import layout
from formats.documents import envelope
from formats.documents.damage import Wants
from formats.documents.disk import Inventory
from formats.documents.job import Job
from formats.documents.revisions import newest
from formats.documents.vault import COUNTED_SIZE, Counted, Membership
from formats.errors import FormatError, IntegrityError, NotFoundError, damage_aside
from formats.ids import ArchiveName, HexDigest, MachineId, PointId, hex_digest
from formats.monitor import Finding, Monitor, Tally
from formats.replaced import Stock, index_objects, replacements, sections, translated
from formats.store.foreign import CLOSED, Foreign
from formats.store.obstacles import obstructed
from formats.tables.holdings import Holding
from formats.tables.needs import Need, all_of, of_bits
from formats.tables.sections import Section
from importer.abandoned import abandoned, is_over
from importer.points import History, need_digests, read_table, set_documents, stocks
from importer.receipts import receipts
from importer.vault import Vault

# What tells who needs what. A folder of these that nobody may look into is not taken for an empty one.
TOLD_BY = ("machines", "manifests", "sets", "disks", "jobs", "replacements", "terms")
JOB_MAX = 7 * 24 * 3600.0  # seconds after which an import that has not ended is over

Live = dict[Holding, int]  # of each archive the bits of the records that are live


@dataclass
class Needed:
    """By key id, what is `live` in the archives that need lists name; the names of the small `objects` that are needed; the
    key ids that are `blind`, for of what they need something cannot be read; the imports that go on."""

    stocks: Mapping[str, Stock]
    live: dict[str, Live] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))
    objects: set[str] = field(default_factory=set)
    blind: set[str] = field(default_factory=set)
    importing: list[str] = field(default_factory=list)

    def add(self, key_id: str, needs: Iterable[Need]) -> None:
        live = self.live[key_id]
        for need in needs:
            live[need.archive] |= int.from_bytes(need.live, "little")


def needed(
    vault: Vault,
    known: Mapping[MachineId, Membership],
    expired: Mapping[MachineId, set[PointId]],
    now: float,
    monitor: Monitor,
) -> Needed:
    """Read it all. `expired` are points that are as good as expired; `now` is a time of the store's clock. Raises StoreError."""
    found = Needed(stocks(vault, Tally()))
    _closed(vault, known, found, monitor)
    for machine, member in known.items():
        _of_points(vault, member, known, expired.get(machine, set()), found, monitor)
        for _, document in replacements(
            vault.store, layout.offers_prefix(machine), bytes.fromhex(member.public_key), Tally()
        ):
            found.add(member.key_id, (all_of(entry.by.holding) for entry in document.replaced))
    _of_open_sets(vault, known, now, found, monitor)
    for key_id in {member.key_id for member in known.values()}:
        _of_wants(vault, key_id, found)
    found.importing = list(_importing(vault, now))
    return found


def effective(vault: Vault, found: Needed) -> dict[str, Live]:
    """By key id, the archives that must stay, and what is live in them: those that need lists name; or, where others hold all
    that is live in one, these."""
    wanted = {
        archive
        for key_id, live in found.live.items()
        for old in live
        for archive in (old, *found.stocks[key_id].stand_ins(old))
        if found.stocks[key_id].stand_ins(old)
    }
    known = sections(index_objects(vault.store), wanted)[0] if wanted else {}
    return {key_id: _effective(live, found.stocks[key_id], known) for key_id, live in found.live.items()}


def _effective(live: Live, stock: Stock, known: Mapping[ArchiveName, Section]) -> Live:
    """An archive that is there goes only where the authority itself copied all that is live in it. By a machine's word others
    hold it, too, and then both stay."""
    stays: Live = defaultdict(int)
    copies = stock.proven
    for archive, bits in live.items():
        others, copied = stock.stand_ins(archive), copies.stand_ins(archive)
        if not others or (bits & ~reduce(or_, copied.values(), 0) and stock.holds(archive)):
            stays[archive] |= bits
            others = {by: said for by, said in others.items() if by not in copied}
        need = of_bits(archive, bits)
        for by, said in others.items():
            if not said & bits:
                continue
            section = known.get(by.name)
            there = translated(need, known.get(archive.name), said, section) if section else all_of(by)
            stays[by] |= int.from_bytes(there.live, "little")
    return stays


def _closed(vault: Vault, known: Mapping[MachineId, Membership], found: Needed, monitor: Monitor) -> None:
    """Hold back from deleting where a folder cannot be looked into: for its machine, or for all where it is nobody's own.

    Raises ObstructedError where it may hold memberships.
    """
    closed: set[str] = set()

    def passed(found: Foreign) -> None:
        if found.kind == CLOSED:
            closed.add(found.name)

    for prefix in TOLD_BY:
        for _ in vault.store.list(prefix, passed):
            pass
    for folder in sorted(closed):
        if folder.startswith("machines"):
            raise obstructed(Foreign(folder, CLOSED, True), vault.store.address)
        _, _, owner = folder.partition("/")
        nobodys = not owner or f"{folder}/".startswith(f"{layout.REPLACEMENTS}/")
        for machine, member in known.items():
            if nobodys or owner.startswith(machine):
                _blind(found, member, folder, monitor)


def _of_points(
    vault: Vault,
    member: Membership,
    known: Mapping[MachineId, Membership],
    expired: set[PointId],
    found: Needed,
    monitor: Monitor,
) -> None:
    history = History(vault, member, known, Tally())
    gone = history.kept.expired | expired
    points = {manifest.point for manifest, _ in history.found}
    newest = {signed.digest for _, signed in history.found}
    stock = found.stocks[member.key_id]
    for manifest, signed in history.all:
        if manifest.point in gone:
            continue
        needs = history.needed(signed)
        if needs is not None:
            # What an earlier revision needs and the vault holds stays: a machine's later word gives nothing up (SWEEP-6).
            found.add(member.key_id, (n for n in needs if signed.digest in newest or stock.holds(n.archive)))
            found.objects |= {
                layout.need_name(digest) for digest in need_digests(vault.store, manifest.needs)
            }
        elif signed.digest in newest:
            _blind(found, member, f"the need list of point {manifest.point[:8]}", monitor)
    for point in history.kept.terms.keys() - points - gone:
        _blind(found, member, f"the manifest of point {point[:8]}", monitor)
    for name in _unreadable(vault, member):
        _blind(found, member, name, monitor)
    for document in set_documents(vault, member, Tally()):
        if document.point not in points | gone:
            _blind(found, member, f"the manifest that ends set {document.set[:8]}", monitor)


def _unreadable(vault: Vault, member: Membership) -> Iterator[str]:
    """The names of manifests that should count, and are damaged. What is whole and does not verify, somebody else put there."""
    counted = Counted(member)
    for name, _ in vault.store.list(layout.manifest_prefix(member.machine)):
        said = name.rpartition("-")[2]
        if member.status != "active" and (len(said) != 2 * COUNTED_SIZE or HexDigest(said) not in counted):
            continue
        if _is_damaged(vault, name):
            yield name


def _of_open_sets(
    vault: Vault, known: Mapping[MachineId, Membership], now: float, found: Needed, monitor: Monitor
) -> None:
    """Disks that came before their set was finished: all that they list is kept until it is, or was given up long ago."""
    ended = {
        (machine, document.set)
        for machine, member in known.items()
        for document in set_documents(vault, member, Tally())
    }
    for machine, owner in known.items():
        gone = abandoned(vault, owner, known, Tally()).items()
        ended |= {(machine, disk_set) for disk_set, until in gone if is_over(until, now)}
    for name, _ in vault.store.list("disks"):
        if layout.number_of(name) < 1:
            continue
        member = known.get(MachineId(name.split("/")[1]))
        if member is None:
            continue
        if _is_damaged(vault, name):
            _blind(found, member, name, monitor)
            continue
        try:
            data = vault.store.get(name)
            inventory = envelope.read(data, name).verify(Inventory, bytes.fromhex(member.public_key))
        except (FormatError, IntegrityError, NotFoundError):
            continue  # somebody else put it there
        try:
            if (inventory.machine, inventory.set) in ended:
                continue
            for table in inventory.tables:
                found.add(member.key_id, map(all_of, read_table(vault.store, table)))
        except (FormatError, IntegrityError, NotFoundError):
            _blind(found, member, name, monitor)


def _of_wants(vault: Vault, key_id: str, found: Needed) -> None:
    wants = newest(vault.store, layout.wants_prefix(key_id), Wants, vault.key, Tally())
    if wants is not None and wants[0].needs is not None:
        found.objects |= {layout.need_name(digest) for digest in need_digests(vault.store, wants[0].needs)}


def _importing(vault: Vault, now: float) -> Iterator[str]:
    """The jobs that have not ended, nor are so old that they never will."""
    ended = Counter(receipt.job for receipt in receipts(vault, Tally()))
    for name, _ in vault.store.list("jobs"):
        if layout.number_of(name) != 1:
            continue
        written = vault.store.written(name)
        if written is None or now - written.timestamp() > JOB_MAX:
            continue
        try:
            document = envelope.read(vault.store.get(name), name).verify(Job, vault.key)
        except (FormatError, IntegrityError, NotFoundError):
            if _is_damaged(vault, name):
                yield name.split("/")[1]  # whatever it brings
            continue
        if ended[document.job] < len(document.disks):
            yield document.job


def _is_damaged(vault: Vault, name: str) -> bool:
    """Whether an object that is there has other bytes than its name says."""
    data = b""
    with damage_aside():
        data = vault.store.get(name, length=envelope.SIZE_MAX + 1)
    return not layout.is_name_of(name, hex_digest(data)) and vault.store.head(name) is not None


def _blind(found: Needed, member: Membership, what: str, monitor: Monitor) -> None:
    if member.key_id not in found.blind:
        detail = "it cannot be read, so nothing of this machine's is deleted until it is repaired"
        monitor.finding(Finding(code="prune-blind", subject=f"{member.name}: {what}", detail=detail))
    found.blind.add(member.key_id)
