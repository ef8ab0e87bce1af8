"""Import: from a shipped disk into the vault, led by needs, idempotent, in any order, without keys.

The order of writes is the safety argument:

    the job                                names the inventories: pins the archives that they list from now on.
    archives that a manifest needs         each read once into memory, hashed, and *those bytes* put;
                                           of damaged ones the whole records, in archives of their own.
    replacements                           tell which records these archives hold.
    index objects, need lists, slots       small objects, content-addressed.
    label and inventory                    tell the state of this disk.
    the manifests                          from here on the points exist in the vault.
    the set documents.
    the receipt                            tells how it ended; only a receipt says that a disk may be erased.
    steps of the disk's custody            for people; nothing depends on them.
"""

import os
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence

from formats import layout
from formats.documents.disk import Inventory, Label, SetDisk, SetDocument
from formats.documents.job import ImportJob
from formats.documents.manifest import Manifest
from formats.documents.vault import Counted, Membership
from formats.errors import (
    FormatError,
    IntegrityError,
    MediaError,
    NotFoundError,
    StoreError,
    VaultError,
    damage_aside,
)
from formats.ids import ArchiveName, MachineId, digest, fingerprint, hex_digest
from formats.monitor import Finding, Monitor, Recorder, Tally
from formats.rules.acceptance import forked
from formats.rules.replacements import Stock
from formats.rules.retention import read_kept
from formats.store.contract import Guarded
from formats.tables.needs import Need
from formats.tables.sections import OBJECT_SIZE_MAX, decode_object
from importer.intake.archive_copy import (
    PUTS_MAX,
    ImportState,
    find,
    load,
    needed_of,
    put,
    side_by_side,
    take_archive,
)
from importer.intake.custody_log import note_imports
from importer.intake.import_result import ImportResult, ObjectOutcome, job_disk, leave_out, make_receipt
from importer.intake.intake import Disk, check_holdings, fetch, inventoried
from importer.vault import job_locks, sweeps
from importer.vault.losses import Losses
from importer.vault.points import given_up, load_needs, need_digests, set_documents, sets, stocks
from importer.vault.points import manifests as counting
from importer.vault.receipts import receipts
from importer.vault.registers import register
from importer.vault.vault import Vault, members


def accept(
    vault: Vault,
    disk: Disk,
    known: Mapping[MachineId, Membership],
    *,
    further: Collection[MachineId] = (),
    beside: Sequence[Disk] = (),
) -> Membership:
    """Return the member that wrote this disk.

    `further` are machines with sets that are accepted although the machines were replaced or revoked. Of a
    machine that is no longer active, only archives that count are taken: by manifests in the vault, on this
    disk and on the disks `beside` it.

    Raises VaultError vault-foreign, machine-unknown, machine-revoked, machine-replaced.
    """
    disk.rules.check_vault(vault.id, vault.name)
    machine = disk.label.machine
    member = known.get(machine)
    announced = machine in further
    if member is not None and member.status != "active" and not announced:
        announced = any(document.set == disk.label.set for document in sets(vault, member, Tally()))
    command = f"importer machines accept {fingerprint(machine)} --vault {vault.store.address} --from {disk.path.parent.parent}"
    accepted = disk.rules.check_member(member, command, announced=announced)
    if accepted.status != "active":
        _keep_what_counts(vault, disk, accepted, [disk, *beside])
    return accepted


def _keep_what_counts(vault: Vault, disk: Disk, member: Membership, disks: Sequence[Disk]) -> None:
    """Limit the disk of a machine that is no longer active to the archives that counted manifests need.

    An attacker with the machine's key may have listed any archives on the disk.
    """
    counted = Counted(member)
    needed: set[ArchiveName] = set()
    for manifest, _ in counting(vault, member, Tally()):
        with damage_aside():
            needed |= {need.archive.name for need in load_needs(vault.store, manifest)}
    for other in disks:
        for manifest, signed in other.manifests:
            if manifest.machine == member.machine and signed.digest in counted:
                needed |= {need.archive.name for need in load(other, manifest, Tally())}
    disk.manifests = [(m, s) for m, s in disk.manifests if s.digest in counted]
    disk.sets = [(d, s) for d, s in disk.sets if d.manifest in counted]
    disk.welcome = needed


def import_disks(
    vault: Vault, disks: Sequence[tuple[Disk, Membership]], monitor: Monitor
) -> list[ImportResult]:
    """Import `disks` that were accepted before. Raises MediaError disk-forked, StoreError."""
    results = _import_all(vault, disks, monitor)
    there = stocks(vault, Tally())
    machines = {result.member.machine: result.member for result in results}
    losses = {m: Losses.of(vault, member, there[member.key_id]) for m, member in machines.items()}
    for result in results:
        documents, label = list(set_documents(vault, result.member, Tally())), result.disk.label
        result.given_up = label.number in given_up(documents, label.set)
        result.gives_back = losses[label.machine].may_lie_on(
            label.set, label.number, result.generation, given_up=result.given_up
        )
        result.finished = not result.gives_back and any(
            lowest.generation <= result.generation for lowest in _promised(documents, result)
        )
    if not monitor.stopping():
        note_imports(vault, results, monitor)
    return results


def _leave_out_expired(vault: Vault, disk: Disk, member: Membership, monitor: Monitor) -> None:
    """Leave out points that have expired: an old disk does not bring them back (RET-4)."""
    expired = read_kept(vault.view, member.machine, Tally()).expired
    if not any(manifest.point in expired for manifest, _ in disk.manifests):
        return
    disk.manifests = [(m, s) for m, s in disk.manifests if m.point not in expired]
    disk.sets = [(d, s) for d, s in disk.sets if d.point not in expired]
    needed = {need.archive.name for m, _ in disk.manifests for need in load(disk, m, Tally())}
    disk.welcome = needed if disk.welcome is None else needed.intersection(disk.welcome)
    monitor.notice(f"{disk.name}: a point on it has expired in this vault, and is not brought back")


def _promised(documents: Iterable[SetDocument], result: ImportResult) -> list[SetDisk]:
    """Return the entries of the set documents for this disk, even if it was given up since.

    Each entry names the lowest inventory of the disk that is acceptable.
    """
    label = result.disk.label
    return [
        disk
        for document in documents
        for disk in document.disks
        if (document.set, disk.number, disk.disk) == (label.set, label.number, label.disk)
    ]


def _check_generation(vault: Vault, result: ImportResult, monitor: Monitor) -> None:
    """Report a disk in an older state than at its last closing, or with another inventory.

    Such a disk lacks the objects that its machine wrote before that closing.
    """
    closed = result.disk.closed
    for lowest in _promised(set_documents(vault, result.member, Tally()), result):
        if result.generation < lowest.generation:
            detail = f"generation {result.generation}; its set was finished with {lowest.generation}"
            find(monitor, "disk-older", result.disk.name, detail)
        elif (
            closed is not None
            and result.generation == lowest.generation
            and closed.digest != lowest.inventory
        ):
            detail = f"another inventory of generation {lowest.generation} than its set document names"
            find(monitor, "disk-forked", result.disk.name, detail)


def _import_all(
    vault: Vault, disks: Sequence[tuple[Disk, Membership]], monitor: Monitor
) -> list[ImportResult]:
    results = [
        ImportResult(disk, member, disk.closed.inventory.generation if disk.closed else 0)
        for disk, member in disks
    ]
    known = members(vault, Tally())
    for result in results:
        _leave_out_expired(vault, result.disk, result.member, monitor)
        leave_out(vault, result, known, monitor)
    before, there = sweeps.seen(vault), stocks(vault, monitor)
    todo = []
    for result in results:
        if _done_before(vault, result, there[result.member.key_id], monitor):
            result.unchanged = result.whole = True
        else:
            todo.append(result)
    if not todo:
        return results
    job = ImportJob(
        vault=vault.id,
        job=os.urandom(16).hex(),
        role="authority",
        started=vault.now(),
        disks=tuple(job_disk(result.disk) for result in todo),
    )
    with job_locks.held(vault, job.job):
        sweeps.wait(vault, vault.sign(layout.job_prefix(job.job), 1, job), monitor)
        if sweeps.seen(vault) != before:  # a sweep may have deleted archives that were there
            there = stocks(vault, monitor)
        work = ImportState(
            vault, there, there[todo[0].member.key_id].there, len(todo)
        )  # the same for every key

        def import_one(number: int) -> None:
            _import_disk(work, todo[number], monitor)
            if not monitor.stopping():
                vault.sign(layout.job_prefix(job.job), 2 + number, make_receipt(vault, job, todo[number]))

        side_by_side(len(todo), import_one, range(len(todo)))
        register(vault, monitor)
    return results


def _import_disk(work: ImportState, result: ImportResult, monitor: Monitor) -> None:
    vault, disk, recorder = work.vault, result.disk, Recorder(monitor)
    check_holdings(disk, recorder)
    reading = threading.Lock()  # a disk is read at one place at a time

    def take(need: Need) -> None:
        if not monitor.stopping():
            take_archive(work, result, need, reading, recorder)

    needed = needed_of(disk, recorder, result)
    side_by_side(work.takers, take, needed)
    work.sign_replacements()
    if monitor.stopping():
        return
    _take_objects(vault, result, recorder)
    _remember_disk(vault, result, recorder)
    for manifest, signed in disk.manifests:
        if not _well_formed(disk, manifest):
            continue  # a finding already; no machine of ours writes such a list, and it would be one at every look
        prefix = layout.manifest_prefix(manifest.machine)
        put(result, vault, layout.numbered(prefix, manifest.sequence, signed.digest), signed.data, recorder)
    for document, signed in disk.sets:
        number = next((m.sequence for m, s in disk.manifests if s.digest == document.manifest), 0)
        prefix = layout.set_prefix(document.machine)
        put(result, vault, layout.numbered(prefix, number, signed.digest), signed.data, recorder)
    _check_generation(vault, result, recorder)
    of_this_disk = [*disk.findings, *recorder.findings]
    _check_arrived(work, result, of_this_disk, recorder)
    result.findings = [*disk.findings, *recorder.findings]
    met = {
        f"{place}/{layout.archive_name(need.archive.name)}"
        for place in (disk.name, "vault")
        for need in needed
        if work.has(need, result.member.key_id)
    } | result.healed
    result.whole = disk.closed is not None and all(f.subject in met for f in of_this_disk)


def _well_formed(disk: Disk, manifest: Manifest) -> bool:
    """Return whether a point's need list is well-formed; one that cannot be read counts as such."""
    try:
        load_needs(disk.store, manifest, disk.buckets)
    except FormatError:
        return False
    except (IntegrityError, StoreError, MediaError):
        pass
    return True


def _check_arrived(
    work: ImportState, result: ImportResult, found: Sequence[Finding], monitor: Monitor
) -> None:
    """Report needed archives that are missing although all disks of a finished set were here.

    `found` holds the findings of this disk; they are not repeated. Another importer may have brought archives
    that this stock lacks. So the vault is read again before an archive is reported as missing. An archive is
    in the vault before the inventory of its disk.
    """
    disk, key_id = result.disk, result.member.key_id
    for document, _ in disk.sets:
        if not all(_has_come(work.vault, result.member, document, d) for d in document.disks):
            continue
        for manifest, signed in disk.manifests:
            if signed.digest != document.manifest:
                continue
            lacking = [need for need in load(disk, manifest, monitor) if not work.has(need, key_id)]
            there = stocks(work.vault, Tally())[key_id] if lacking else work.stocks[key_id]
            for need in lacking:
                name = layout.archive_name(need.archive.name)
                known = any(f.subject.endswith(name) for f in found)
                if there.lacking(need) is not None and not known:
                    find(
                        monitor,
                        "object-missing",
                        name,
                        "needed by the point, and no disk of its set has brought it whole",
                    )


def _has_come(vault: Vault, member: Membership, document: SetDocument, disk: SetDisk) -> bool:
    """Return whether the vault holds an inventory of this disk.

    A receipt does not do: a disk that is imported beside this one has none yet.
    """
    prefix = layout.received_prefix(document.machine, document.set, disk.number)
    key = bytes.fromhex(member.public_key)
    found = vault.view.look(prefix, Inventory, key, Tally()).facts
    return any(fact.document.generation >= disk.generation for fact in found)


def _take_objects(vault: Vault, result: ImportResult, monitor: Monitor) -> None:
    """Check every object that is no archive against the inventory, and put the objects that a vault keeps."""
    disk = result.disk
    inventory = disk.closed.inventory if disk.closed else None
    tables = {str(held.name): str(held.digest) for held in (inventory.tables if inventory else ())}
    expected = tables | {
        str(held.name): str(held.digest) for held in (inventory.objects if inventory else ())
    }
    if inventory is None:  # the need lists of the manifests: nobody can read a point without them
        expected = {
            layout.need_name(d): d.hex() for m, _ in disk.manifests for d in need_digests(disk.store, m.needs)
        }
    for name, claimed in expected.items():
        if name not in disk.listed and name not in disk.strays:
            continue  # a finding already
        try:
            data = fetch(disk, name, OBJECT_SIZE_MAX, claimed)
            found = digest(data)
            addressed = name in (
                layout.index_name(found),
                layout.need_name(found),
                layout.holdings_name(found),
            )
            if name.startswith("slots/"):
                slots, signed = disk.rules.read_slots(data, name)
                if slots.number >= result.member.slots_from:
                    prefix = layout.slot_prefix(slots.machine)
                    put(result, vault, layout.numbered(prefix, slots.number, signed.digest), data, monitor)
            elif name.startswith("policies/"):
                policy, signed = disk.rules.read_policy(data, name)
                prefix = layout.policy_prefix(policy.machine)
                put(result, vault, layout.numbered(prefix, policy.number, signed.digest), data, monitor)
            elif addressed:
                if name == layout.index_name(found):
                    decode_object(data, name)
                put(result, vault, name, data, monitor)
            elif name.startswith(("indexes/", "needs/", "holdings/")):
                raise IntegrityError("object-damaged", "an object is not the one of its name")
            elif not name.startswith(("requests/", layout.manifest_prefix(disk.label.machine))):
                raise FormatError("NAME-2", "no object of a disk has such a name")
            result.objects[name] = ObjectOutcome("imported", len(data))
        except (FormatError, IntegrityError, VaultError, MediaError, NotFoundError) as error:
            monitor.finding(Finding(code=error.code, subject=f"{disk.name}/{name}", detail=error.what))


def _remember_disk(vault: Vault, result: ImportResult, monitor: Monitor) -> None:
    disk, label = result.disk, result.disk.label
    prefix = layout.received_prefix(label.machine, label.set, label.number)
    data = disk.store.get("label")
    put(result, vault, layout.numbered(prefix, 0, hex_digest(data)), data, monitor)
    if disk.closed is not None:
        number = disk.closed.inventory.generation
        put(result, vault, layout.numbered(prefix, number, disk.closed.digest), disk.closed.data, monitor)


def _done_before(vault: Vault, result: ImportResult, there: Stock, monitor: Monitor) -> bool:
    """Return whether a receipt says that this inventory was imported whole, and the vault still holds all.

    Raises MediaError disk-forked if the vault knows another inventory of the same generation.
    """
    disk, closed = result.disk, result.disk.closed
    if closed is None:
        return False
    label = disk.label
    prefix = layout.received_prefix(label.machine, label.set, label.number)
    key = bytes.fromhex(label.public_key)
    known = vault.view.look(prefix, Inventory, key, monitor).facts
    for fact in known:
        generation = fact.document.generation
        if generation == closed.inventory.generation and fact.signed.digest != closed.digest:
            raise forked(disk.name, generation)
        if generation > closed.inventory.generation:
            detail = f"generation {closed.inventory.generation}; the vault knows {generation}"
            monitor.finding(Finding(code="disk-older", subject=disk.name, detail=detail))
    labels = vault.view.look(prefix, Label, key, monitor).facts
    remembered = {fact.signed.digest for fact in known} | {fact.signed.digest for fact in labels}
    own = {closed.digest, hex_digest(disk.store.get("label"))}
    if not own <= remembered or any(
        there.lacking(need) is not None for need in needed_of(disk, Tally(), result)
    ):
        return False
    if not _has_small(vault, result):
        return False
    return any(r.whole and r.disk.inventory == closed.digest for r in receipts(vault, monitor))


def _has_small(vault: Vault, result: ImportResult) -> bool:
    """Return whether the vault holds all other objects of a disk, and holds them whole.

    This check reads them, because only the sizes of archives are believed.
    """
    disk = result.disk
    documents = ("indexes/", "needs/", "manifests/", "sets/")
    sizes = {name: size for name, size in disk.listed.items() if name.startswith(documents)}
    for name, (size, _) in inventoried(disk).items():
        dropped = name.startswith("slots/") and layout.number_of(name) < result.member.slots_from
        if name.startswith(("holdings/", "policies/", "slots/")) and not dropped:
            sizes[name] = size
    lacking: list[str] = []

    def check(name: str) -> None:
        with damage_aside():
            if layout.is_name_of(name, hex_digest(vault.store.get(name, length=sizes[name] + 1))):
                return
        lacking.append(name)

    side_by_side(PUTS_MAX if isinstance(vault.store, Guarded) else 1, check, sizes)
    return not lacking
