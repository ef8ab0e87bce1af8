"""The standing of each machine's disks, as far as the vault has seen: awaited, received, safe to erase."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime

from formats.documents.custody import Custody
from formats.documents.job import Receipt
from formats.documents.vault import Membership
from formats.ids import ArchiveName, MachineId, SetId
from formats.monitor import Monitor, Tally
from formats.rules.completeness import newest_sets
from formats.rules.custody import newest
from formats.rules.replacements import Stock
from formats.tables.needs import Need
from formats.words import moment
from importer.intake.custody_log import custody, note_erasable
from importer.intake.import_result import ImportResult
from importer.vault.abandoned import abandoned
from importer.vault.losses import Losses, is_innocent, listed_on
from importer.vault.points import History, anybody, by_name, given_up, set_documents, stocks
from importer.vault.receipts import generations, receipts
from importer.vault.vault import Vault, members

Generations = dict[tuple[SetId, int], int]  # the newest generation of a disk's inventory, by set and number


@dataclass(frozen=True)
class DiskStatus:
    """The standing of one disk.

    `received` is the newest generation of its inventory that came, or None. `whole`: the vault holds all
    archives that this inventory lists. `finished`: no later inventory is to come. `given_up`: its machine
    gave the disk up. `gives_back`: points have lost files that may lie on the disk. `abandoned`: its machine
    gave the whole export up. `steps` is the custody of the disk.
    """

    number: int
    received: int | None
    whole: bool = False
    finished: bool = False
    given_up: bool = False
    gives_back: bool = False
    abandoned: bool = False
    steps: tuple[Custody, ...] = ()

    @property
    def may_be_erased(self) -> bool:
        """The flag that nobody will need the disk again."""
        return self.abandoned or (self.whole and self.finished and not self.gives_back)

    @property
    def is_missing(self) -> bool:
        """The flag that the disk is still to come."""
        return (
            self.received is None
            and not (self.given_up or self.abandoned)
            and newest(self.steps, "received") is None
        )

    def words(self) -> str:
        if self.abandoned:
            came = "" if self.received is None else "received; "
            return f"{came}its export was given up by its machine: may be erased"
        if self.received is None:
            if self.given_up:
                return "given up by its machine"
            if newest(self.steps, "received") is not None:
                return "has come, and is to be imported"
            return "on its way" if newest(self.steps, "sent") is not None else "awaited"
        if not self.whole:
            return "received, not all of it has arrived: keep it"
        if self.gives_back:
            came = "received, though it was given up" if self.given_up else "received"
            return f"{came}: what points have lost may lie on it: keep it"
        return "received, may be erased" if self.finished else "received; its export goes on: keep it"


@dataclass(frozen=True)
class SetStatus:
    """The standing of one set of a machine.

    It is not `finished` if disks came before the document that ends it. A set that its machine has given up
    is kept until `kept_until`, and no longer.
    """

    set: SetId
    finished: bool
    disks: tuple[DiskStatus, ...]
    kept_until: datetime | None = None

    def words(self, now: float) -> str:
        """Return the state of its export at a time, in words."""
        if self.finished:
            return "finished"
        if self.kept_until is None:
            return "its export goes on"
        until = int(self.kept_until.timestamp())
        still = f", which may take that back until {moment(until)}" if until > now else ""
        return f"its export was given up by its machine{still}"


def standings(
    vault: Vault, monitor: Monitor, wanted: Callable[[Membership], bool] = anybody
) -> Iterator[tuple[Membership, list[SetStatus]]]:
    """Yield the sets of each machine that is `wanted`, by the machines' names."""
    found_receipts = receipts(vault, monitor)
    came, wholly = _by_machine(found_receipts), _by_machine(r for r in found_receipts if r.whole)
    known, there = members(vault, monitor), stocks(vault, monitor)
    for member in filter(wanted, by_name(known)):
        found: dict[SetId, SetStatus] = {}
        received, whole = came[member.machine], wholly[member.machine]
        history = History(vault, member, known, monitor)
        points = {p.manifest.point: p for p in history.points(there[member.key_id])}
        revisions = list(set_documents(vault, member, monitor))
        losses = Losses(vault, member, history.all, there[member.key_id])
        for document in newest_sets(revisions):
            point = points.get(document.point)
            waiting = {d.number for d in point.standing.awaited if d.set == document.set} if point else set()
            disks = [
                _disk(document.set, d.number, received, whole, least=d.generation) for d in document.disks
            ]
            if point is not None and not point.standing.complete and not waiting:
                lacking = _lacking(history.needed(point.signed), there[member.key_id])
                disks = [_still_whole(vault, member, document.set, disk, lacking) for disk in disks]
            for number, gone in given_up(revisions, document.set).items():
                late = _disk(document.set, number, received, whole, least=gone.generation)
                disks.append(replace(late, given_up=True))
            disks = [_giving_back(losses, document.set, disk) for disk in disks]
            found[document.set] = SetStatus(document.set, True, tuple(sorted(disks, key=lambda d: d.number)))
        steps = custody(vault, member, monitor)
        told = {disk for disk in (*received, *steps) if disk[0] not in found}
        ended = abandoned(vault, member, known, monitor)
        for disk_set in dict.fromkeys(disk_set for disk_set, _ in sorted(told)):
            numbers = [number for s, number in sorted(told) if s == disk_set]
            disks = [
                replace(_disk(disk_set, number, received, whole), abandoned=disk_set in ended)
                for number in numbers
            ]
            found[disk_set] = SetStatus(disk_set, False, tuple(disks), ended.get(disk_set))
        yield member, [_with(standing, steps) for standing in found.values()]


def free_others(
    vault: Vault, results: Sequence[ImportResult], monitor: Monitor
) -> list[tuple[SetId, list[int]]]:
    """Return by set the earlier disks that may be erased only now, because their set is finished.

    The function records that in the custody of each disk. Raises StoreError.
    """
    just = {(result.disk.label.set, result.disk.label.number) for result in results}
    senders = {result.member.machine for result in results}
    found = []
    for member, sets in standings(vault, Tally(), lambda m: m.machine in senders):
        for standing in sets:
            others = [d for d in standing.disks if (standing.set, d.number) not in just]
            free = [d.number for d in others if d.may_be_erased and not d.abandoned]
            if free and any(which == standing.set for which, _ in just):
                found.append((standing.set, free))
                for number in free:
                    note_erasable(vault, member, standing.set, number, monitor)
    return found


def _with(standing: SetStatus, steps: Mapping[tuple[SetId, int], tuple[Custody, ...]]) -> SetStatus:
    """Return a set with the custody of its disks."""
    disks = tuple(replace(d, steps=steps.get((standing.set, d.number), ())) for d in standing.disks)
    return replace(standing, disks=disks)


def _lacking(needed: Sequence[Need] | None, there: Stock) -> set[ArchiveName] | None:
    """Return the archives that a point lacks, or None if its need list cannot be read."""
    return None if needed is None else {n.archive.name for n in needed if there.lacking(n) is not None}


def _still_whole(
    vault: Vault, member: Membership, disk_set: SetId, disk: DiskStatus, lacking: Set[ArchiveName] | None
) -> DiskStatus:
    """Return a disk of a point that lacks archives: it is not whole if it lists one of them.

    No other disk brings these archives, so that disk is needed again.
    """
    if not disk.whole or disk.received is None:
        return disk
    listed = listed_on(vault, member, disk_set, disk.number, disk.received)
    return disk if is_innocent(listed, lacking) else replace(disk, whole=False)


def _giving_back(losses: Losses, disk_set: SetId, disk: DiskStatus) -> DiskStatus:
    """Return a disk with the flag whether lost files may lie on it."""
    back = disk.received is not None and losses.may_lie_on(
        disk_set, disk.number, disk.received, given_up=disk.given_up
    )
    return replace(disk, gives_back=back)


def _disk(
    disk_set: SetId,
    number: int,
    received: Generations,
    whole: Generations,
    *,
    least: int | None = None,
) -> DiskStatus:
    generation = received.get((disk_set, number))
    if generation is None or (least is not None and generation < least):
        return DiskStatus(number, None)
    return DiskStatus(
        number, generation, whole.get((disk_set, number), 0) >= (least or generation), least is not None
    )


def _by_machine(found: Iterable[Receipt]) -> dict[MachineId, Generations]:
    """Return the newest generation of each disk that came, by machine.

    It follows from receipts: any machine may put an object below `disks/`, but only the authority a receipt.
    """
    by_machine: dict[MachineId, Generations] = defaultdict(dict)
    for (machine, disk_set, number), generation in generations(found).items():
        by_machine[machine][disk_set, number] = generation
    return by_machine
