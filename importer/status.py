"""Where the disks of each machine's sets are, as far as the vault has seen: awaited, received, safe to erase."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from formats import layout
from formats.documents import envelope
from formats.documents.acceptance import folder_identity
from formats.documents.disk import Label, SetDocument
from formats.documents.vault import Membership
from formats.errors import FormatError, IntegrityError, MediaError, StoreError
from formats.ids import MachineId, SetId
from formats.monitor import Finding, Monitor
from formats.standing import newest_sets
from importer.points import History, by_name, set_documents, stock
from importer.receipts import receipts
from importer.vault import Vault, members


@dataclass(frozen=True)
class DiskStanding:
    """One disk: `received` is the newest generation of its inventory that came, None where none did; `whole` where the
    vault holds all that this one lists; `finished` where no later one is to come; `given_up` where its machine has."""

    number: int
    received: int | None
    whole: bool = False
    finished: bool = False
    given_up: bool = False

    def words(self) -> str:
        if self.received is None:
            return "given up by its machine" if self.given_up else "awaited"
        if not self.whole:
            return "received, not all of it has arrived: keep it"
        return "received, may be erased" if self.finished else "received; its export goes on: keep it"


@dataclass(frozen=True)
class SetStanding:
    """One set of a machine; not `finished` where disks came before the document that ends it."""

    set: SetId
    finished: bool
    disks: tuple[DiskStanding, ...]


def standings(vault: Vault, monitor: Monitor) -> Iterator[tuple[Membership, list[SetStanding]]]:
    """The sets of each machine, by the machines' names."""
    received, owners = _received(vault, monitor)
    whole: dict[tuple[SetId, int], int] = defaultdict(int)
    for receipt in receipts(vault, monitor):
        if receipt.whole:
            disk = (receipt.disk.set, receipt.disk.number)
            whole[disk] = max(whole[disk], receipt.disk.generation)
    known, there = members(vault, monitor), stock(vault, monitor)
    for member in by_name(known):
        found: dict[SetId, SetStanding] = {}
        history = History(vault, member, known, monitor)
        points = {p.manifest.point: p for p in history.points(there)}
        revisions = list(set_documents(vault, member, monitor))
        for document in newest_sets(revisions):
            point = points.get(document.point)
            waiting = {d.number for d in point.standing.awaited if d.set == document.set} if point else set()
            lost = point is not None and not point.standing.complete and not waiting
            disks = [
                _disk(document.set, d.number, received, {} if lost else whole, least=d.generation)
                for d in document.disks
            ]
            disks += _given_up(document, revisions, received, whole)
            found[document.set] = SetStanding(
                document.set, True, tuple(sorted(disks, key=lambda d: d.number))
            )
        for disk_set, owner in owners.items():
            if owner == member.machine and disk_set not in found:
                disks = [
                    _disk(disk_set, number, received, whole)
                    for s, number in sorted(received)
                    if s == disk_set
                ]
                found[disk_set] = SetStanding(disk_set, False, tuple(disks))
        yield member, list(found.values())


def _given_up(
    document: SetDocument,
    revisions: Sequence[SetDocument],
    received: dict[tuple[SetId, int], int],
    whole: dict[tuple[SetId, int], int],
) -> list[DiskStanding]:
    """The disks that an earlier revision of a set names, and that its machine has given up since."""
    earlier = {d.number: d for r in revisions if r.set == document.set for d in r.disks}
    gone = earlier.keys() - {d.number for d in document.disks}
    return [
        replace(_disk(document.set, n, received, whole, least=earlier[n].generation), given_up=True)
        for n in gone
    ]


def _disk(
    disk_set: SetId,
    number: int,
    received: dict[tuple[SetId, int], int],
    whole: dict[tuple[SetId, int], int],
    *,
    least: int | None = None,
) -> DiskStanding:
    generation = received.get((disk_set, number))
    if generation is None or (least is not None and generation < least):
        return DiskStanding(number, None)
    return DiskStanding(
        number, generation, whole.get((disk_set, number), 0) >= (least or generation), least is not None
    )


def _received(vault: Vault, monitor: Monitor) -> tuple[dict[tuple[SetId, int], int], dict[SetId, MachineId]]:
    """The newest generation of each disk that came, and whose sets these are."""
    received: dict[tuple[SetId, int], int] = defaultdict(int)
    owners: dict[SetId, MachineId] = {}
    for name, _ in vault.store.list("disks"):
        if (identity := folder_identity(name.split("/")[1])) is None or layout.number_of(name) < 0:
            monitor.finding(
                Finding(code="object-unlisted", subject=name, detail="no name of a disk's document")
            )
            continue
        (disk_set, number), generation = identity, layout.number_of(name)
        received[disk_set, number] = max(received[disk_set, number], generation)
        if generation == 0:  # its label
            try:
                owners[disk_set] = envelope.read(vault.store.get(name), name).peek(Label).machine
            except (FormatError, IntegrityError, StoreError, MediaError) as error:
                monitor.finding(Finding(code=error.code, subject=name, detail=error.what))
    return received, owners
