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
from collections.abc import Iterable, Sequence

from formats import layout
from formats.documents.disk import Inventory, Label, SetDisk, SetDocument
from formats.documents.job import ImportJob
from formats.documents.vault import Membership
from formats.ids import hex_digest
from formats.monitor import Finding, Monitor, Recorder, Tally
from formats.rules.acceptance import forked
from formats.rules.replacements import Stock
from formats.tables.needs import Need
from importer.intake.acceptance import leave_out_abandoned, leave_out_expired
from importer.intake.archive_copy import ImportState, find, load, needed_of, side_by_side, take_archive
from importer.intake.custody_log import note_imports
from importer.intake.import_result import ImportResult, job_disk, make_receipt
from importer.intake.intake import Disk, check_holdings
from importer.intake.small_objects import has_small_objects, remember_disk, take_objects, take_points
from importer.vault import job_locks, sweeps
from importer.vault.losses import Losses
from importer.vault.points import given_up, set_documents, stocks
from importer.vault.receipts import receipts
from importer.vault.registers import register
from importer.vault.vault import Vault, members


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
        leave_out_expired(vault, result.disk, result.member, monitor)
        leave_out_abandoned(vault, result, known, monitor)
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
    take_objects(vault, result, recorder)
    remember_disk(vault, result, recorder)
    take_points(vault, result, recorder)
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
    if not has_small_objects(vault, result):
        return False
    return any(r.whole and r.disk.inventory == closed.digest for r in receipts(vault, monitor))
