"""The needs of all machines of a vault, as its documents say: every deletion depends on them (SWEEP-1).

An unreadable document does not count as empty. Then nothing counts as dead under the key that the document
concerns.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from functools import reduce
from operator import or_

from formats import layout
from formats.documents.damage import Replacement, Wants
from formats.documents.disk import TAKEN_BACK_DAYS, Inventory, SetDocument
from formats.documents.job import ImportJob, Receipt
from formats.documents.vault import COUNTED_SIZE, Counted, Membership
from formats.errors import FormatError, IntegrityError, NotFoundError
from formats.ids import ArchiveName, HexDigest, MachineId, PointId, SetId, fingerprint
from formats.monitor import Finding, Monitor, Tally
from formats.rules.acceptance import folder_identity
from formats.rules.completeness import read_table
from formats.rules.replacements import Stock, index_objects, sections, translated
from formats.rules.retention import DAY
from formats.store.foreign import CLOSED, Foreign
from formats.store.obstacles import obstructed
from formats.tables.holdings import Holding
from formats.tables.needs import Need, all_of, of_bits
from formats.tables.sections import Section
from importer.vault.abandoned import abandoned, is_over
from importer.vault.job_locks import was_killed
from importer.vault.points import History, look_at_manifests, need_digests, set_documents, stocks
from importer.vault.receipts import receipts
from importer.vault.vault import Vault, unreadable_members

# The documents that tell the needs. A folder of these that nobody may look into does not count as empty.
TOLD_BY = ("machines", "manifests", "sets", "disks", "jobs", "replacements", "terms")
ANY = ""  # replaces a key id that is no longer known
CANDIDATE_MAX = (
    30 * 24 * 3600.0
)  # seconds for which a document that may have rotted unseen keeps the archives that came with it
STAYS = "nothing of this machine's is deleted until it is repaired, or accepted as lost: importer machines accept-loss "
JOB_MAX = 7 * 24 * 3600.0  # seconds after which an import that has not ended is over

Live = dict[Holding, int]  # of each archive the bits of its live records


@dataclass
class Needed:
    """The needs of all machines of a vault.

    `live` has by key id the live records of the archives that need lists name. `objects` are the names of the
    small objects that are needed. `blind` are the key ids with needs that cannot all be read; `ANY` among
    them stands for any machine. `doubts` has by key id the times from which on archives are kept. `importing`
    are the imports that go on. `now` is a time of the store's clock. `keys` are the key ids of all members.
    """

    stocks: Mapping[str, Stock]
    now: float
    keys: Set[str]
    live: dict[str, Live] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))
    objects: set[str] = field(default_factory=set)
    blind: set[str] = field(default_factory=set)
    doubts: dict[str, float] = field(default_factory=dict)
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
    """Read the needs of all machines. Raises StoreError.

    `expired` are points that are as good as expired. `now` is a time of the store's clock.
    """
    found = Needed(stocks(vault, Tally()), now, frozenset(member.key_id for member in known.values()))
    for machine, key_id in unreadable_members(vault).items():
        found.blind.add(key_id or ANY)
        detail = f"its membership cannot be read; {STAYS}{fingerprint(machine)}"
        monitor.finding(Finding(code="prune-blind", subject=f"machine {fingerprint(machine)}", detail=detail))
    _closed(vault, known, found, monitor)
    for machine, member in known.items():
        _of_points(vault, member, known, expired.get(machine, set()), found, monitor)
        prefix, key = layout.offers_prefix(machine), bytes.fromhex(member.public_key)
        for fact in vault.view.look(prefix, Replacement, key, Tally()).facts:
            found.add(member.key_id, (all_of(entry.by.holding) for entry in fact.document.replaced))
    _of_open_sets(vault, known, now, found, monitor)
    for key_id in {member.key_id for member in known.values()}:
        _of_wants(vault, key_id, found)
    found.importing = list(_importing(vault, now))
    return found


def effective(vault: Vault, found: Needed) -> dict[str, Live]:
    """Return by key id the archives that must stay, each with its live records.

    They are the archives that need lists name. If other archives hold all live records of one, the others
    stay instead.
    """
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
    """Return the archives of one key that must stay, each with its live records.

    An archive in the vault goes only if the authority itself copied all of its live records. If a machine
    says that other archives hold them, too, then both stay.
    """
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
    """Stop deletion for the machine of a folder that cannot be looked into; a shared folder stops it for all.

    Raises ObstructedError if the folder may hold memberships.
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
    accepted = vault.view.registered(member.machine, Tally()).forgotten
    lost = {PointId(entry.point) for entry in accepted if entry.point}
    points = {manifest.point for manifest, _ in history.found}
    newest = {signed.digest for _, signed in history.found}
    stock = found.stocks[member.key_id]
    for manifest, signed in history.all:
        if manifest.point in gone:
            continue
        needs = history.needed(signed)
        if needs is not None:
            # The archives that an earlier revision needs and the vault holds, there or copied, stay: a machine's
            # later word gives nothing up (SWEEP-6).
            at_hand = (n for n in needs if stock.holds(n.archive) or stock.stand_ins(n.archive))
            found.add(member.key_id, needs if signed.digest in newest else at_hand)
            found.objects |= {
                layout.need_name(digest) for digest in need_digests(vault.store, manifest.needs)
            }
        elif signed.digest in newest:
            _blind(found, member, f"the need list of point {manifest.point[:8]}", monitor)
    _of_lost(vault, member, history, found, monitor)
    for point in history.kept.terms.keys() - points - gone - lost:
        _blind(found, member, f"the manifest of point {point[:8]}", monitor)
    _of_damage(vault, member, found, monitor)
    for document in set_documents(vault, member, Tally()):
        if document.point not in points | gone | lost:
            _blind(found, member, f"the manifest that ends set {document.set[:8]}", monitor)


def _of_lost(vault: Vault, member: Membership, history: History, found: Needed, monitor: Monitor) -> None:
    """Hold back where an archive is gone for good, with all of its indexes: nobody can tell which others hold its records."""
    stock = found.stocks[member.key_id]
    lacking = {
        n.archive for _, s in history.found for n in history.needed(s) or () if stock.lacking(n) is not None
    }
    promised = history.promised() if lacking else set()
    lost = {archive for archive in lacking if archive.name not in promised}
    known = sections(index_objects(vault.store), lost)[0] if lost else {}
    for archive in lost:
        if archive.name not in known:
            _blind(found, member, f"the index of {layout.archive_name(archive.name)}", monitor)


def _of_damage(vault: Vault, member: Membership, found: Needed, monitor: Monitor) -> None:
    """Keep the archives that unreadable manifests may need (SEEN-2, SEEN-3).

    An unreadable manifest that was there, or that a later one names, makes prune blind for its machine.
    Another one may have rotted before anybody saw it. Then all archives stay that came after the last whole
    manifest, until a later manifest decides or a month is over.
    """
    look = look_at_manifests(vault, member, Tally())
    for name in look.unreadable:
        _blind(found, member, name, monitor)
    registered = vault.view.registered(member.machine, Tally())
    if not registered.whole:
        _blind(found, member, layout.register_prefix(member.machine), monitor)
    # Anybody knows the digest of a manifest that is there, is listed or has expired, and may have put junk under it.
    listed = (*registered.entries, *(e.name for e in registered.forgotten), *(f.name for f in look.facts))
    known = {name.rpartition("-")[2] for name in listed}
    came = {fact.name: _written(vault, fact.name) for fact in look.facts} if look.candidates else {}
    counted = Counted(member)
    for name in look.candidates:
        said = name.rpartition("-")[2]
        if said in known:
            continue
        if member.status != "active":
            if len(said) == 2 * COUNTED_SIZE and HexDigest(said) in counted:
                _blind(found, member, name, monitor)
            continue
        written = _written(vault, name)
        if any((fact.document.previous or "").startswith(said) for fact in look.facts):
            _blind(found, member, name, monitor)
        elif written > found.now - CANDIDATE_MAX and all(at <= written for at in came.values()):
            since = max((at for at in came.values() if at < written), default=0.0)
            found.doubts[member.key_id] = min(since, found.doubts.get(member.key_id, since))
            detail = "it may have been a manifest: archives that came since the last one are kept"
            monitor.finding(Finding(code="prune-doubt", subject=f"{member.name}: {name}", detail=detail))


def _written(vault: Vault, name: str) -> float:
    """When an object was written, by the store's clock, in seconds, or its copy where the object is gone; 0 where both are."""
    times = (vault.store.written(place) for place in layout.places_of(name))
    return next((written.timestamp() for written in times if written is not None), 0.0)


def _of_open_sets(
    vault: Vault, known: Mapping[MachineId, Membership], now: float, found: Needed, monitor: Monitor
) -> None:
    """Keep all archives of disks that came before their set was finished.

    They stay until the set is finished, or was given up long ago.
    """
    for machine, member in known.items():
        ended = _ended(vault, member, now)
        gone = abandoned(vault, member, known, Tally()).items()
        ended |= {disk_set for disk_set, until in gone if is_over(until, now)}
        key = bytes.fromhex(member.public_key)
        look = vault.view.look(f"disks/{machine}", Inventory, key, Tally())
        for name in look.unreadable:
            identity = folder_identity(name.split("/")[2])
            if identity is None or identity[0] not in ended:
                _blind(found, member, name, monitor)
        for fact in look.facts:
            try:
                for table in fact.document.tables if fact.document.set not in ended else ():
                    found.add(member.key_id, map(all_of, read_table(vault.store, table)))
            except (FormatError, IntegrityError, NotFoundError):
                _blind(found, member, fact.name, monitor)


def _ended(vault: Vault, member: Membership, now: float) -> set[SetId]:
    """Return the sets of a machine that are finished.

    A set that was finished only after its disks had come is not among them for thirty days, like one that was given up:
    the end of a set is a machine's word as well.
    """
    ended = {document.set for document in set_documents(vault, member, Tally())}
    if not ended:
        return ended
    prefix, key = layout.set_prefix(member.machine), bytes.fromhex(member.public_key)
    said: dict[SetId, float] = {}
    for fact in vault.view.look(prefix, SetDocument, key, Tally()).facts:
        at = _written(vault, fact.name)
        said[fact.document.set] = min(at, said.get(fact.document.set, at))
    fresh = {disk_set for disk_set in ended if now < said[disk_set] + TAKEN_BACK_DAYS * DAY}
    for receipt in vault.view.look("jobs", Receipt, vault.key, Tally()).facts if fresh else ():
        disk = receipt.document.disk
        if (
            disk.machine == member.machine
            and disk.set in fresh
            and _written(vault, receipt.name) < said[disk.set]
        ):
            ended.discard(disk.set)
    return ended


def _of_wants(vault: Vault, key_id: str, found: Needed) -> None:
    wants = vault.view.newest(layout.wants_prefix(key_id), Wants, vault.key, Tally())
    if wants is not None and wants.needs is not None:
        found.objects |= {layout.need_name(digest) for digest in need_digests(vault.store, wants.needs)}


def _importing(vault: Vault, now: float) -> Iterator[str]:
    """Yield the imports that go on: not ended, not too old, and not killed in this home."""
    ended = Counter(receipt.job for receipt in receipts(vault, Tally()))
    for fact in vault.view.look("jobs", ImportJob, vault.key, Tally()).facts:
        job = fact.document
        if ended[job.job] >= len(job.disks) or now - _written(vault, fact.name) > JOB_MAX:
            continue
        if not was_killed(vault, job.job):
            yield job.job


def _blind(found: Needed, member: Membership, what: str, monitor: Monitor) -> None:
    if member.key_id not in found.blind:
        detail = f"it cannot be read; {STAYS}{fingerprint(member.machine)}"
        monitor.finding(Finding(code="prune-blind", subject=f"{member.name}: {what}", detail=detail))
    found.blind.add(member.key_id)
