"""The custody of a vault's disks: steps from their papers and from the datacenter's own observations."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from formats.documents.custody import Custody
from formats.documents.vault import Membership
from formats.errors import OffseedError, UsageError, VaultError
from formats.ids import MachineId, SetId, fingerprint
from formats.monitor import Monitor, Tally
from formats.rules.acceptance import folder_identity
from formats.rules.custody import Chain, DiskKey, add
from formats.rules.disk_code import DiskCode
from formats.store.foreign import Strangers
from importer.intake.import_result import ImportResult
from importer.vault.points import sets
from importer.vault.receipts import receipts
from importer.vault.vault import Vault, members


def disk_key(vault: Vault, member: Membership, disk_set: SetId, number: int) -> DiskKey:
    keys = {"machine": bytes.fromhex(member.public_key), "authority": vault.key}
    return DiskKey(vault.id, member.machine, disk_set, number, keys)


@dataclass(frozen=True)
class ReceptionNotes:
    """Details that an operator records when a disk arrives."""

    at: int
    carrier: str | None = None
    tracking: str | None = None
    note: str | None = None


def receive(
    vault: Vault, member: Membership, disk_set: SetId, number: int, notes: ReceptionNotes, monitor: Monitor
) -> tuple[Custody, bool]:
    """Book a disk in. Return the step, and whether it is new. Raises StoreError.

    A disk that was booked in before keeps its step. It gets a new one if other notes are given, or if it was
    sent again.
    """
    disk = disk_key(vault, member, disk_set, number)
    draft = replace(
        _draft(disk, "received", vault.now()),
        at=notes.at,
        carrier=notes.carrier,
        tracking=notes.tracking,
        note=notes.note,
    )
    before = len(Chain.read(vault.store, disk, Tally()).steps)
    said = (notes.carrier, notes.tracking, notes.note)

    def lacking(chain: Chain) -> Custody | None:
        came = chain.newest("received")
        if came is None or (any(said) and said != (came.carrier, came.tracking, came.note)):
            return draft
        sent = chain.newest("sent")
        return draft if sent is not None and sent.step > came.step else None

    chain = _add(vault, disk, monitor, lacking)
    return chain.newest("received") or draft, len(chain.steps) > before


def note_imports(vault: Vault, results: Sequence[ImportResult], monitor: Monitor) -> None:
    """Record the steps of each imported disk; no step is recorded twice.

    They are the steps from its papers, its arrival, the end of its import, and whether it may be erased. A
    failure to record them is a notice, because no import depends on them.
    """
    for result in results:
        disk = disk_key(vault, result.member, result.disk.label.set, result.disk.label.number)
        steps = _steps(disk, result, vault.now())
        with _notice(monitor, disk):
            _add(vault, disk, monitor, partial(_lacking, steps=steps))


def note_erasable(vault: Vault, member: Membership, disk_set: SetId, number: int, monitor: Monitor) -> None:
    """Record that an earlier disk may be erased now, because its set has been finished since.

    A failure to record this is a notice, as in `note_imports`.
    """
    disk = disk_key(vault, member, disk_set, number)
    draft = _draft(disk, "erasable", vault.now())

    def lacking(chain: Chain) -> Custody | None:
        came = chain.newest("imported")
        if came is None or not came.whole:
            return None
        step = replace(draft, generation=came.generation, inventory=came.inventory)
        return _lacking(chain, [step])

    with _notice(monitor, disk):
        _add(vault, disk, monitor, lacking)


@contextmanager
def _notice(monitor: Monitor, disk: DiskKey) -> Iterator[None]:
    try:
        yield
    except OffseedError as error:
        monitor.notice(f"cannot note the step of disk {disk.number} of set {disk.set[:8]}: {error.what}")


def _steps(disk: DiskKey, result: ImportResult, now: int) -> list[Custody]:
    """Return the steps of a disk that an import records at the time `now`, in order."""
    inventories = sorted(result.disk.rules.inventories.items())
    closed = [(n, c) for n, c in inventories if c.inventory.verified is None][-1:]
    verified = [(n, c) for n, c in inventories if c.inventory.verified is not None][-1:]
    found = [replace(_draft(disk, "written", now), at=result.disk.label.created)]
    for event, of_kind in (("closed", closed), ("verified", verified)):
        found += [
            replace(_draft(disk, event, now), at=c.inventory.created, generation=n, inventory=c.digest)
            for n, c in of_kind
        ]
    seen = result.disk.closed.digest if result.disk.closed else None
    came = replace(
        _draft(disk, "imported", now), generation=result.generation, inventory=seen, whole=result.whole
    )
    found += [replace(_draft(disk, "received", now), generation=result.generation, inventory=seen), came]
    if result.whole and result.finished:
        found.append(replace(came, event="erasable", whole=False))
    return found


def _lacking(chain: Chain, steps: Sequence[Custody]) -> Custody | None:
    """Return the first of the steps that is not recorded yet, or None.

    Some steps are recorded once, all others once for each inventory.
    """
    for step in steps:
        before = chain.newest(step.event)
        once = step.event in ("written", "received")
        if before is None or (not once and (before.inventory, before.whole) != (step.inventory, step.whole)):
            return step
    return None


def _draft(disk: DiskKey, event: str, now: int) -> Custody:
    return Custody(
        vault=disk.vault,
        machine=disk.machine,
        set=disk.set,
        number=disk.number,
        step=1,
        role="authority",
        event=event,
        at=now,
        noted=now,
        generation=0,
        whole=False,
    )


def _add(vault: Vault, disk: DiskKey, monitor: Monitor, wanted: Callable[[Chain], Custody | None]) -> Chain:
    assert vault.authority is not None
    return add(vault.store, disk, vault.authority.document_key, monitor, wanted)


def custody(
    vault: Vault, member: Membership, monitor: Monitor
) -> dict[tuple[SetId, int], tuple[Custody, ...]]:
    """Return the believed steps of each disk of a machine, by set and number.

    A disk without believed steps is left out. An object that cannot be read is a notice.
    """
    found: dict[tuple[SetId, int], tuple[Custody, ...]] = {}
    passed = Strangers()
    try:
        folders = {name.split("/")[2] for name, _ in vault.store.list(f"custody/{member.machine}", passed)}
    except OffseedError as error:
        monitor.notice(f"cannot read the history of the disks of {member.name}: {error.what}")
        return found
    for other in passed.blocking[:1]:
        monitor.notice(
            f"cannot read the history of the disks of {member.name} in full: a {other.kind} at {other.name}"
        )
    for disk in filter(None, map(folder_identity, sorted(folders))):
        key = disk_key(vault, member, *disk)
        try:
            if steps := Chain.read(vault.store, key, monitor).steps:
                found[disk] = steps
        except OffseedError as error:
            monitor.notice(f"cannot read the history of disk {key.number} of set {key.set[:8]}: {error.what}")
    return found


# The disk that a code means.


def find(vault: Vault, code: DiskCode, machine: str | None, monitor: Monitor) -> tuple[Membership, SetId]:
    """Return the machine and the set of the disk that a label's code names.

    If `machine` is given, only disks of the machine with this name count. Raises VaultError machine-unknown,
    UsageError disk-unknown.
    """
    known = members(vault, monitor)
    if code.machine is not None:
        member = known.get(code.machine)
        if member is None:
            raise VaultError(
                "machine-unknown",
                f"the machine with fingerprint {fingerprint(code.machine)} is not registered with this vault",
                subject=code.set[:8],
                hint="is the parcel for another vault? Its slip names it. If the machine registered without a network, its request lies "
                "on its disks: import one, and accept it",
            )
        if machine not in (None, member.name):
            raise UsageError(
                "disk-unknown", f"this is a disk of {member.name}, not of {machine}", subject=code.set[:8],
                hint="leave --machine out: the whole code names the machine",
            )  # fmt: skip
        return member, SetId(code.set)
    matches = {
        (owner, disk_set): known[owner]
        for owner, disk_set in _sets_known(vault, known.values())
        if owner in known and disk_set.startswith(code.set) and machine in (None, known[owner].name)
    }
    if not matches:
        raise UsageError(
            "disk-unknown", "this vault knows no disk set that begins so", subject=code.set,
            hint="scan the whole code of the label, for a set that was never announced is known by that only; or look whether the "
            "parcel is for another vault",
        )  # fmt: skip
    if len(matches) > 1:
        owners = ", ".join(sorted({member.name for member in matches.values()}))
        raise UsageError(
            "disk-unknown", f"several disk sets begin so, of {owners}", subject=code.set,
            hint="scan the whole code of the label, type more of the set, or name its machine by --machine",
        )  # fmt: skip
    (((_, disk_set), member),) = matches.items()
    return member, disk_set


def _sets_known(vault: Vault, known: Iterable[Membership]) -> Iterator[tuple[MachineId, SetId]]:
    """Yield every set that has a set document, a receipt of a disk, or a step of a disk."""
    for member in known:
        yield from ((member.machine, document.set) for document in sets(vault, member, Tally()))
        yield from ((member.machine, disk_set) for disk_set, _ in custody(vault, member, Tally()))
    yield from ((receipt.disk.machine, receipt.disk.set) for receipt in receipts(vault, Tally()))
