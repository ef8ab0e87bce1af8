"""Recovery points as the vault sees them: admitted manifests, and whether all they need is there."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from formats import layout
from formats.documents.damage import Replacement
from formats.documents.disk import SetDisk, SetDocument
from formats.documents.envelope import Signed
from formats.documents.manifest import Manifest
from formats.documents.vault import Counted, Membership
from formats.errors import FormatError, IntegrityError, MediaError, NotFoundError, StoreError, damage_aside
from formats.ids import ArchiveName, Digest, HexDigest, MachineId, SetId
from formats.monitor import Finding, Monitor, Tally
from formats.rules.completeness import (
    Completeness,
    Waiting,
    all_waiting,
    brings,
    judge,
    newest_points,
    newest_sets,
    read_table,
)
from formats.rules.replacements import Stock
from formats.rules.retention import RetentionTerms, read_kept
from formats.store.checked import read_need
from formats.store.contract import Store
from formats.tables import needs
from formats.tables.archive import CONTENT_CLASS
from formats.tables.holdings import Holding
from formats.tables.needs import Buckets, Need
from formats.view.facts import Look
from importer.vault.receipts import came_to, inventories, receipts
from importer.vault.vault import Vault, members

SET_DISKS_MAX = 100_000  # in the set documents of a machine; ten a day for a quarter of a century


@dataclass(frozen=True)
class VaultPoint:
    """An admitted manifest, and the standing of its point in the vault."""

    manifest: Manifest
    signed: Signed
    member: Membership
    standing: Completeness


def load_needs(store: Store, manifest: Manifest, known: Buckets | None = None) -> list[Need]:
    """Load the need list of a point from `store`, without the buckets that are `known`.

    Raises NotFoundError, FormatError, IntegrityError.
    """
    where = f"needs of {manifest.point[:8]}"
    return needs.load(Digest(bytes.fromhex(manifest.needs)), lambda d: read_need(store, d), where, known)


def need_digests(store: Store, root: HexDigest) -> set[Digest]:
    """Return the digests of the objects that form a need list, as far as its root names them."""
    wanted = Digest(bytes.fromhex(root))
    with suppress(FormatError, IntegrityError, StoreError, MediaError):
        return set(needs.objects_of(wanted, lambda d: read_need(store, d), "needs"))
    return {wanted}


def received_archives(vault: Vault, *, whole: bool = False) -> Iterator[tuple[Holding, MachineId]]:
    """Yield the archives on disks that have receipts, and the machines that wrote them.

    With `whole`, only the disks count from which all was taken. Raises StoreError.
    """
    found = [receipt for receipt in receipts(vault, Tally()) if receipt.whole or not whole]
    for inventory in inventories(vault, found):
        for table in inventory.tables:
            with damage_aside():  # damaged tables count as not come
                yield from ((holding, inventory.machine) for holding in read_table(vault.store, table))


def stocks(vault: Vault, monitor: Monitor) -> Mapping[str, Stock]:
    """Return by key the vault's archives, and the replacements that the authority signed (DMG-1).

    Only the machine of a key can say that archives hold the same records. Its word does not count for
    archives of other machines.
    """
    there = set(vault.store.list("archives"))
    found: dict[str, Stock] = defaultdict(lambda: Stock(there))
    for fact in vault.view.look(layout.REPLACEMENTS, Replacement, vault.key, monitor).facts:
        document = fact.document
        found[document.key_id].add(document.replaced, copied=document.copied)
    return found


def anybody(_: Membership) -> bool:
    return True


def points(
    vault: Vault, monitor: Monitor, wanted: Callable[[Membership], bool] = anybody
) -> Iterator[VaultPoint]:
    """Yield all points of the machines that are `wanted`, by machine and sequence.

    Findings about other machines are not reported.
    """
    known = members(vault, monitor)
    there = stocks(vault, monitor)
    for member in filter(wanted, by_name(known)):
        yield from History(vault, member, known, monitor).points(there[member.key_id])


def arrivals(vault: Vault, monitor: Monitor) -> Iterator[tuple[Membership, Iterator[int], bool]]:
    """Yield each active machine, the times of its points, and whether the last point is doubted.

    The times are those at which the points came, by the store's clock, the last one first.
    """
    for member in by_name(members(vault, monitor)):
        if member.status == "active":
            facts = look_at_manifests(vault, member, Tally()).facts
            last = sorted(facts, key=lambda fact: fact.document.sequence, reverse=True)
            times = (
                int(at.timestamp()) for fact in last if (at := vault.store.written(fact.name)) is not None
            )
            yield member, times, bool(last and last[0].document.doubted)


def by_name(known: Mapping[MachineId, Membership]) -> list[Membership]:
    """Return the members by name; one that was replaced comes before those that took its place."""
    return sorted(known.values(), key=lambda m: (m.name, len(line_of(m, known)), m.machine))


def line_of(member: Membership, known: Mapping[MachineId, Membership]) -> list[Membership]:
    """Return a member and the members before it: each took the place of the next one in the list."""
    line = [member]
    while (before := known.get(line[-1].replaces or MachineId(""))) is not None and before not in line:
        line.append(before)
    return line


class History:
    """The points of one machine that have not expired, and the disks that may still bring needed archives.

    The disks are those of this machine and of the machines that it replaced. `all` has every revision of
    these points; `found` has only the last ones.
    """

    def __init__(
        self, vault: Vault, member: Membership, known: Mapping[MachineId, Membership], monitor: Monitor
    ) -> None:
        self.vault = vault
        self.member = member
        self.kept = read_kept(vault.view, member.machine, monitor)
        self.all = unexpired(vault, member, self.kept, monitor)
        self.found = newest_points(self.all, lambda item: item[0])
        self._posted: dict[SetId, set[ArchiveName]] = {}
        self.line = line_of(member, known)
        self._buckets: Buckets = {}
        self._needed = {signed.digest: self._needs(manifest, monitor) for manifest, signed in self.found}
        self._earlier = [item for before in self.line[1:] for item in manifests(vault, before, Tally())]

    def needed(self, signed: Signed) -> list[Need] | None:
        """Return the needs of a manifest of `all`, or None if its need list cannot be read."""
        if signed.digest not in self._needed:
            (manifest,) = [manifest for manifest, other in self.all if other is signed]
            self._needed[signed.digest] = self._needs(manifest, Tally())
        return self._needed[signed.digest]

    def points(self, there: Stock) -> Iterator[VaultPoint]:
        """Yield the points by sequence, each with its standing."""
        for manifest, signed in self.found:
            needed = self.needed(signed)
            if needed is None:  # nobody can tell which of them are there
                archives = manifest.totals.archives
                yield VaultPoint(manifest, signed, self.member, Completeness(archives, archives))
                continue
            standing = judge(needed, there, self.waiting, self.needed_by, self.in_post)
            yield VaultPoint(manifest, signed, self.member, standing)

    @cached_property
    def waiting(self) -> list[Waiting]:
        """The sets of the machine, and of the machines that it replaced, with disks that have not come."""
        return all_waiting(self._sets, came_to(self.vault))

    def promised(self) -> set[ArchiveName]:
        """Return the archives that the points need of sets with a disk that has not come yet."""
        return {name for document, _ in self.waiting for name in self.needed_by(document)}

    @cached_property
    def _sets(self) -> list[SetDocument]:
        earlier = (sets(self.vault, before, Tally()) for before in self.line[1:])
        return [*sets(self.vault, self.member, Tally()), *chain.from_iterable(earlier)]

    def needed_by(self, document: SetDocument) -> set[ArchiveName]:
        """Return the archives that a set's points need."""
        return {
            need.archive.name for manifest in self._brought(document) for need in self._needs_of(*manifest)
        }

    def in_post(self, document: SetDocument) -> set[ArchiveName]:
        """Return the archives that only the disks of a set bring.

        No earlier point needs them, and no disk that came lists them. Archives of catalogs are not among
        them, because the vault has these before the disks travel.
        """
        if document.set not in self._posted:
            brought = self._brought(document)
            first = min((manifest.sequence for manifest, _ in brought), default=0)
            found = {
                n.archive.name
                for item in brought
                for n in self._needs_of(*item)
                if n.archive.archive_class == CONTENT_CLASS
            }
            before = ((m, s) for m, s in (*self.found, *self._earlier) if m.sequence < first)
            found.difference_update(n.archive.name for item in before for n in self._needs_of(*item))
            machines = {member.machine for member in self.line}
            found.difference_update(
                h.name for h, machine in received_archives(self.vault) if machine in machines
            )
            self._posted[document.set] = found
        return self._posted[document.set]

    def _brought(self, document: SetDocument) -> list[tuple[Manifest, Signed]]:
        return [(m, s) for m, s in (*self.found, *self._earlier) if brings(document, m, s.digest)]

    def _needs_of(self, manifest: Manifest, signed: Signed) -> list[Need]:
        if signed.digest not in self._needed:
            self._needed[signed.digest] = self._needs(manifest, Tally())
        return self._needed[signed.digest] or []

    def _needs(self, manifest: Manifest, monitor: Monitor) -> list[Need] | None:
        """Return the need list of a point, or None and a finding if it cannot be read."""
        try:
            return load_needs(self.vault.store, manifest, self._buckets)
        except (FormatError, IntegrityError, NotFoundError) as error:
            subject = f"{self.member.name}, point {manifest.point[:8]}: need list"
            monitor.finding(Finding(code=error.code, subject=subject, detail=error.what))
            return None


def sets(vault: Vault, member: Membership, monitor: Monitor) -> list[SetDocument]:
    """Return the sets of one machine, by documents that verify and count."""
    return newest_sets(set_documents(vault, member, monitor))


def unexpired(
    vault: Vault, member: Membership, kept: RetentionTerms, monitor: Monitor
) -> list[tuple[Manifest, Signed]]:
    """Return the points of one machine that have not expired, by sequence, in all of their revisions."""
    return [item for item in manifests(vault, member, monitor) if item[0].point not in kept.expired]


def given_up(documents: Iterable[SetDocument], disk_set: SetId) -> dict[int, SetDisk]:
    """Return the disks of a finished set that its machine has given up since, by number.

    An earlier revision names them, and the newest does not.
    """
    revisions = [document for document in documents if document.set == disk_set]
    kept = {disk.number for document in newest_sets(revisions) for disk in document.disks}
    return {d.number: d for revision in revisions for d in revision.disks if d.number not in kept}


def set_documents(vault: Vault, member: Membership, monitor: Monitor) -> Iterator[SetDocument]:
    """Yield the set documents of one machine that verify, also superseded ones, the last ones first.

    If the machine is no longer active, only documents that end a counted manifest are among them. The
    documents together name at most a hundred thousand disks. So a machine that writes them without end makes
    nobody else wait.
    """
    counted = {s.digest for _, s in manifests(vault, member, Tally())} if member.status != "active" else None
    prefix, key = layout.set_prefix(member.machine), bytes.fromhex(member.public_key)
    left = SET_DISKS_MAX
    found = vault.view.look(prefix, SetDocument, key, monitor).facts
    once = {fact.signed.digest: fact for fact in found}  # anybody may copy one under another number
    for fact in sorted(
        once.values(), key=lambda fact: (fact.document.created, fact.document.revision), reverse=True
    ):
        if counted is not None and fact.document.manifest not in counted:
            continue
        left -= len(fact.document.disks)
        if left < 0:
            detail = (
                f"{member.name} has written more sets than any machine has; the earlier ones do not count"
            )
            monitor.finding(Finding(code="disk-crowded", subject=prefix, detail=detail))
            return
        yield fact.document


def manifests(vault: Vault, member: Membership, monitor: Monitor) -> Iterator[tuple[Manifest, Signed]]:
    """Yield the manifests of one machine that verify and count (REV-3), by sequence, also superseded ones."""
    counted = Counted(member)
    for fact in look_at_manifests(vault, member, monitor).facts:
        if fact.signed.digest not in counted:
            detail = f"the vault did not have it when {member.name} was {member.status}: it does not count"
            monitor.finding(Finding(code=counted.code, subject=fact.name, detail=detail))
            continue
        yield fact.document, fact.signed


def look_at_manifests(vault: Vault, member: Membership, monitor: Monitor) -> Look[Manifest]:
    """Look at all objects in the place of a machine's manifests.

    Manifests of points that have expired may be gone.
    """
    expired = read_kept(vault.view, member.machine, Tally()).expired
    return vault.view.look(
        layout.manifest_prefix(member.machine),
        Manifest,
        bytes.fromhex(member.public_key),
        monitor,
        lambda entry: entry.point in expired,
    )
