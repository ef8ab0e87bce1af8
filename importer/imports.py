"""Import: from a shipped disk into the vault. Need-driven, idempotent, in any order, without keys.

The order of writes is the safety argument:

    the job                                names the inventories: pins what they bring from now on
    archives that a manifest needs         each read once into memory, hashed, and *those bytes* put
    index objects, need lists, slots       small objects, content-addressed
    label and inventory                    what this disk was
    the manifests                          from here on the points exist in the vault
    the set documents
    the receipt                            how it ended; it alone says that a disk may be erased
"""

import mmap
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from formats import layout
from formats.documents import envelope
from formats.documents.acceptance import forked
from formats.documents.disk import Inventory
from formats.documents.job import Job, JobDisk, Receipt
from formats.documents.vault import Membership
from formats.errors import FormatError, IntegrityError, MediaError, NotFoundError, StoreError, VaultError
from formats.ids import ArchiveName, HexDigest, MachineId, fingerprint
from formats.monitor import Finding, Monitor, Recorder
from formats.tables.archive import ARCHIVE_SIZE_MAX, parse
from formats.tables.holdings import Holding
from formats.tables.sections import OBJECT_SIZE_MAX
from importer.intake import Disk, check_holdings, fetch, fetch_archive
from importer.points import load_needs
from importer.vault import Vault


@dataclass
class Imported:
    """How the import of one disk ended. `whole`: the vault holds everything this disk can give it."""

    disk: Disk
    member: Membership
    generation: int = 0
    unchanged: bool = False
    whole: bool = False
    copied: int = 0
    copied_bytes: int = 0
    already: int = 0
    not_needed: int = 0
    findings: list[Finding] = field(default_factory=list)


@dataclass
class _Work:
    """What the import of several disks shares: what the vault holds, and the one buffer archives are read into."""

    vault: Vault
    held: set[str]
    buffer: memoryview


def accept(vault: Vault, disk: Disk, known: Mapping[MachineId, Membership]) -> Membership:
    """The member whose disk this is. Raises VaultError vault-foreign, machine-unknown, machine-revoked."""
    disk.rules.check_vault(vault.id, vault.name)
    machine = disk.label.machine
    command = (
        f"importer machines accept {fingerprint(machine)} --vault {vault.store.address} --from {disk.path}"
    )
    return disk.rules.check_member(known.get(machine), command)


def import_disks(vault: Vault, disks: Sequence[tuple[Disk, Membership]], monitor: Monitor) -> list[Imported]:
    """Import `disks`, each accepted before. Raises MediaError disk-forked, StoreError."""
    results = [
        Imported(disk, member, disk.closed.inventory.generation if disk.closed else 0)
        for disk, member in disks
    ]
    held = {name for name, _ in vault.store.list("archives")}
    todo = []
    for result in results:
        if _done_before(vault, result, held, monitor):
            result.unchanged = result.whole = True
        else:
            todo.append(result)
    if not todo:
        return results
    job = Job(
        vault=vault.id,
        job=secrets.token_hex(16),
        role="authority",
        started=int(time.time()),
        disks=tuple(_job_disk(result.disk) for result in todo),
    )
    vault.sign(layout.job_prefix(job.job), 1, job)
    work = _Work(vault, held, memoryview(mmap.mmap(-1, ARCHIVE_SIZE_MAX)))
    for number, result in enumerate(todo):
        _import_disk(work, result, monitor)
        if not monitor.stopping():
            vault.sign(layout.job_prefix(job.job), 2 + number, _receipt(vault, job, result))
    return results


def _import_disk(work: _Work, result: Imported, monitor: Monitor) -> None:
    vault, disk, recorder = work.vault, result.disk, Recorder(monitor)
    check_holdings(disk, recorder)
    for holding in _needed(disk, recorder, result):
        if monitor.stopping():
            return
        _take_archive(work, result, holding, recorder)
    _take_objects(vault, disk, recorder)
    _remember_disk(vault, disk)
    for manifest, signed in disk.manifests:
        prefix = layout.manifest_prefix(manifest.machine)
        vault.store.put_new(layout.numbered(prefix, manifest.sequence, signed.digest), signed.data)
    for document, signed in disk.sets:
        number = next((m.sequence for m, s in disk.manifests if s.digest == document.manifest), 0)
        prefix = layout.set_prefix(document.machine)
        vault.store.put_new(layout.numbered(prefix, number, signed.digest), signed.data)
    result.findings = [*disk.findings, *recorder.findings]
    result.whole = not result.findings and disk.closed is not None


def _needed(disk: Disk, monitor: Monitor, result: Imported) -> list[Holding]:
    """The archives of this disk that a manifest on it needs; in an open set, all that the inventory lists."""
    if not disk.manifests:
        return list(disk.archives.values())
    wanted: dict[ArchiveName, Holding] = {}
    for manifest, _ in disk.manifests:
        try:
            wanted |= {need.archive.name: need.archive for need in load_needs(disk.store, manifest)}
        except (FormatError, IntegrityError, StoreError, MediaError) as error:
            monitor.finding(Finding(code=error.code, subject=f"{disk.name}: need list", detail=error.what))
            wanted |= disk.archives
    result.not_needed = len(disk.archives.keys() - wanted.keys())
    return [
        h
        for name, h in sorted(wanted.items())
        if name in disk.archives or layout.archive_name(name) in disk.listed
    ]


def _take_archive(work: _Work, result: Imported, holding: Holding, monitor: Monitor) -> None:
    name = layout.archive_name(holding.name)
    if name in work.held:
        result.already += 1
        return
    try:
        data = fetch_archive(result.disk, holding, work.buffer)
        parsed = parse(data, name)
        if parsed.index_digest != holding.index_digest or parsed.key_id.hex() != result.member.key_id:
            raise IntegrityError("object-damaged", "the archive is not the one that is needed", subject=name)
    except (FormatError, IntegrityError, StoreError, MediaError) as error:
        if error.code != "not-found":  # what is listed and not there is a finding already
            monitor.finding(Finding(code=error.code, subject=f"{result.disk.name}/{name}", detail=error.what))
        return
    work.vault.store.put_new(name, data)
    work.held.add(name)
    result.copied += 1
    result.copied_bytes += len(data)
    monitor.progress(done=len(data), stored=len(data), files=1)


def _take_objects(vault: Vault, disk: Disk, monitor: Monitor) -> None:
    """Read every object that is no archive against the inventory, and put those that a vault keeps."""
    inventory = disk.closed.inventory if disk.closed else None
    expected = {str(held.name): str(held.digest) for held in (inventory.objects if inventory else ())}
    for name in disk.listed:
        kept = name.startswith(("indexes/", "needs/", "slots/"))
        if not kept and name not in expected:
            continue
        named = None if name.startswith("slots/") else name.rpartition("/")[2]  # what addresses itself
        try:
            data = fetch(disk, name, OBJECT_SIZE_MAX, expected.get(name, named))
            if name.startswith("slots/"):
                slots, signed = disk.rules.read_slots(data, name)
                prefix = layout.slot_prefix(slots.machine)
                vault.store.put_new(layout.numbered(prefix, slots.number, signed.digest), data)
            elif kept:
                vault.store.put_new(name, data)
        except (FormatError, IntegrityError, VaultError, MediaError, NotFoundError) as error:
            monitor.finding(Finding(code=error.code, subject=f"{disk.name}/{name}", detail=error.what))


def _remember_disk(vault: Vault, disk: Disk) -> None:
    prefix = layout.received_prefix(disk.label.set, disk.label.number)
    label = disk.store.get("label")
    vault.store.put_new(layout.numbered(prefix, 0, envelope.read(label, "label").digest), label)
    if disk.closed is not None:
        name = layout.numbered("inventories", disk.closed.inventory.generation, disk.closed.digest)
        data = disk.store.get(name)
        number = disk.closed.inventory.generation
        vault.store.put_new(layout.numbered(prefix, number, disk.closed.digest), data)


def _done_before(vault: Vault, result: Imported, held: set[str], monitor: Monitor) -> bool:
    """Whether a receipt says that this very inventory was imported whole, and the vault still has it all.

    Raises MediaError disk-forked where the vault knows another inventory of the same generation.
    """
    disk, closed = result.disk, result.disk.closed
    if closed is None:
        return False
    prefix = layout.received_prefix(disk.label.set, disk.label.number)
    for name, _ in vault.store.list(prefix):
        number = layout.number_of(name)
        if number == 0:
            continue
        signed = envelope.read(vault.store.get(name), name)
        known = signed.verify(Inventory, bytes.fromhex(disk.label.public_key))
        if known.generation == closed.inventory.generation and signed.digest != closed.digest:
            raise forked(disk.name, known.generation)
        if known.generation > closed.inventory.generation:
            detail = f"generation {closed.inventory.generation}; the vault knows {known.generation}"
            monitor.finding(Finding(code="disk-older", subject=disk.name, detail=detail))
    if not all(layout.archive_name(h.name) in held for h in _needed(disk, monitor, result)):
        return False
    return any(r.whole and r.disk.inventory == closed.digest for r in receipts(vault, monitor))


def receipts(vault: Vault, monitor: Monitor) -> list[Receipt]:
    """All receipts of the vault that verify."""
    found = []
    for name, _ in vault.store.list("jobs"):
        if layout.number_of(name) < 2:
            continue
        try:
            found.append(envelope.read(vault.store.get(name), name).verify(Receipt, vault.key))
        except (FormatError, IntegrityError) as error:
            monitor.finding(Finding(code=error.code, subject=name, detail=error.what))
    return found


def _receipt(vault: Vault, job: Job, result: Imported) -> Receipt:
    return Receipt(
        vault=vault.id,
        job=job.job,
        role="authority",
        disk=_job_disk(result.disk),
        finished=int(time.time()),
        whole=result.whole,
        copied=result.copied,
        copied_bytes=result.copied_bytes,
        already=result.already,
        not_needed=result.not_needed,
        findings=len(result.findings),
    )


def _job_disk(disk: Disk) -> JobDisk:
    return JobDisk(
        machine=disk.label.machine,
        set=disk.label.set,
        number=disk.label.number,
        generation=disk.closed.inventory.generation if disk.closed else 0,
        inventory=disk.closed.digest if disk.closed else HexDigest("0" * 64),
    )
