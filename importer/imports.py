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
from formats.documents.disk import Inventory, SetDisk
from formats.documents.job import Job, JobDisk, Receipt
from formats.documents.manifest import Manifest
from formats.documents.vault import Membership
from formats.errors import (
    FormatError,
    IntegrityError,
    MediaError,
    NameHeldByOtherError,
    NotFoundError,
    StoreError,
    VaultError,
)
from formats.ids import ArchiveName, HexDigest, MachineId, digest, fingerprint
from formats.monitor import Finding, Monitor, Recorder, Tally
from formats.store.contract import Octets
from formats.tables.archive import ARCHIVE_SIZE_MAX, METADATA_CLASS, parse
from formats.tables.holdings import Holding
from formats.tables.sections import OBJECT_SIZE_MAX
from importer.intake import Disk, check_holdings, fetch, fetch_archive
from importer.points import load_needs, need_digests, set_documents, sets
from importer.vault import Vault


@dataclass
class Imported:
    """How the import of one disk ended. `whole`: the vault holds everything this disk can give it; `finished`: the
    export that it is of has ended: before that its machine may need the disk again."""

    disk: Disk
    member: Membership
    generation: int = 0
    unchanged: bool = False
    whole: bool = False
    finished: bool = False
    copied: int = 0
    copied_bytes: int = 0
    already: int = 0
    announced: int = 0
    not_needed: int = 0
    findings: list[Finding] = field(default_factory=list)


@dataclass
class _Work:
    """What the import of several disks shares: what the vault holds, and the one buffer archives are read into."""

    vault: Vault
    held: dict[str, int]
    buffer: memoryview


def accept(
    vault: Vault, disk: Disk, known: Mapping[MachineId, Membership], *, further: MachineId | None = None
) -> Membership:
    """The member whose disk this is. `further` is a machine of which a set is accepted though it was replaced.

    Raises VaultError vault-foreign, machine-unknown, machine-revoked, machine-replaced.
    """
    disk.rules.check_vault(vault.id, vault.name)
    machine = disk.label.machine
    member = known.get(machine)
    announced = machine == further
    if member is not None and member.status == "replaced" and not announced:
        announced = any(document.set == disk.label.set for document in sets(vault, member, Tally()))
    command = f"importer machines accept {fingerprint(machine)} --vault {vault.store.address} --from {disk.path.parent.parent}"
    return disk.rules.check_member(member, command, announced=announced)


def import_disks(vault: Vault, disks: Sequence[tuple[Disk, Membership]], monitor: Monitor) -> list[Imported]:
    """Import `disks`, each accepted before. Raises MediaError disk-forked, StoreError."""
    results = _import_all(vault, disks, monitor)
    for result in results:
        result.finished = any(
            lowest.generation <= result.generation for lowest in _promised(vault, result, Tally())
        )
    return results


def _promised(vault: Vault, result: Imported, monitor: Monitor) -> list[SetDisk]:
    """What the set documents in the vault say of this disk, though it was given up since: its lowest inventory that is
    acceptable."""
    label = result.disk.label
    return [
        disk
        for document in set_documents(vault, result.member, monitor)
        for disk in document.disks
        if (document.set, disk.number, disk.disk) == (label.set, label.number, label.disk)
    ]


def _check_generation(vault: Vault, result: Imported, monitor: Monitor) -> None:
    """A disk as it was before its machine closed it for the last time lacks what was written then."""
    closed = result.disk.closed
    for lowest in _promised(vault, result, monitor):
        if result.generation < lowest.generation:
            detail = f"generation {result.generation}; its set was finished with {lowest.generation}"
            _find(monitor, "disk-older", result.disk.name, detail)
        elif (
            closed is not None
            and result.generation == lowest.generation
            and closed.digest != lowest.inventory
        ):
            detail = f"another inventory of generation {lowest.generation} than its set document names"
            _find(monitor, "disk-forked", result.disk.name, detail)


def _import_all(vault: Vault, disks: Sequence[tuple[Disk, Membership]], monitor: Monitor) -> list[Imported]:
    results = [
        Imported(disk, member, disk.closed.inventory.generation if disk.closed else 0)
        for disk, member in disks
    ]
    held = dict(vault.store.list("archives"))
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
    _remember_disk(vault, disk, recorder)
    for manifest, signed in disk.manifests:
        prefix = layout.manifest_prefix(manifest.machine)
        _put(vault, layout.numbered(prefix, manifest.sequence, signed.digest), signed.data, recorder)
    for document, signed in disk.sets:
        number = next((m.sequence for m, s in disk.manifests if s.digest == document.manifest), 0)
        prefix = layout.set_prefix(document.machine)
        _put(vault, layout.numbered(prefix, number, signed.digest), signed.data, recorder)
    _check_arrived(work, disk, recorder)
    _check_generation(vault, result, recorder)
    result.findings = [*disk.findings, *recorder.findings]
    result.whole = not result.findings and disk.closed is not None


def _put(vault: Vault, name: str, data: Octets, monitor: Monitor) -> None:
    """Put an object; where the vault holds another under its name, the vault's is damaged: a finding."""
    try:
        vault.store.put_new(name, data)
    except NameHeldByOtherError:
        _find(monitor, "object-damaged", f"vault/{name}", "the vault holds other bytes under this name")


def _find(monitor: Monitor, code: str, subject: str, detail: str) -> None:
    monitor.finding(Finding(code=code, subject=subject, detail=detail))


def _check_arrived(work: _Work, disk: Disk, monitor: Monitor) -> None:
    """A finished set all of whose disks were here must have brought all that its point needs."""
    for document, _ in disk.sets:
        prefixes = [layout.received_prefix(document.set, d.number) for d in document.disks]
        if not all(any(True for _ in work.vault.store.list(prefix)) for prefix in prefixes):
            continue
        for manifest, signed in disk.manifests:
            if signed.digest != document.manifest:
                continue
            for need in _load(disk, manifest, monitor):
                name = layout.archive_name(need.name)
                known = any(f.subject.endswith(name) for f in disk.findings)
                if work.held.get(name) != need.size and not known:
                    _find(monitor, "object-missing", name, "needed by the point, on none of the set's disks")


def _load(disk: Disk, manifest: Manifest, monitor: Monitor) -> list[Holding]:
    """The archives that a manifest needs; none, and a finding, where its need list cannot be read."""
    try:
        return [need.archive for need in load_needs(disk.store, manifest)]
    except (FormatError, IntegrityError, StoreError, MediaError) as error:
        _find(monitor, error.code, f"{disk.name}: need list", error.what)
        return []


def _needed(disk: Disk, monitor: Monitor, result: Imported) -> list[Holding]:
    """The archives of this disk that a manifest on it needs; in an open set, all that the inventory lists."""
    if not disk.manifests:
        return list(disk.archives.values())
    wanted: dict[ArchiveName, Holding] = {}
    for manifest, _ in disk.manifests:
        needed = {archive.name: archive for archive in _load(disk, manifest, monitor)}
        wanted |= needed or disk.archives  # without its need list, all that there is
    result.not_needed = len(disk.archives.keys() - wanted.keys())
    return [
        h
        for name, h in sorted(wanted.items())
        if name in disk.archives or layout.archive_name(name) in disk.listed
    ]


def _take_archive(work: _Work, result: Imported, holding: Holding, monitor: Monitor) -> None:
    """Put an archive that the vault lacks. What it holds is compared where it came by an announcement, unread so far."""
    name = layout.archive_name(holding.name)
    size = work.held.get(name)
    if size is not None:
        catalog = holding.archive_class == METADATA_CLASS and size == holding.size
        result.announced += catalog
        result.already += 1
        if size != holding.size:
            _find(
                monitor,
                "object-damaged",
                f"vault/{name}",
                f"the vault holds {size} bytes of it, not {holding.size}",
            )
        if size != holding.size or holding.archive_class != METADATA_CLASS:
            return
    try:
        data = fetch_archive(result.disk, holding, work.buffer)
        parsed = parse(data, name)
        if parsed.index_digest != holding.index_digest or parsed.key_id.hex() != result.member.key_id:
            raise IntegrityError("object-damaged", "the archive is not the one that is needed", subject=name)
    except (FormatError, IntegrityError, StoreError, MediaError) as error:
        if error.code != "not-found":  # what is listed and not there is a finding already
            _find(monitor, error.code, f"{result.disk.name}/{name}", error.what)
        return
    if size is not None:
        _put(work.vault, name, data, monitor)
        return
    work.vault.store.put_new(name, data)
    work.held[name] = holding.size
    result.copied += 1
    result.copied_bytes += len(data)
    monitor.progress(done=len(data), stored=len(data), files=1)


def _take_objects(vault: Vault, disk: Disk, monitor: Monitor) -> None:
    """Read every object that is no archive against the inventory, and put those that a vault keeps."""
    inventory = disk.closed.inventory if disk.closed else None
    expected = {str(held.name): str(held.digest) for held in (inventory.objects if inventory else ())}
    if inventory is None:  # what the manifests themselves name, without which they could not be read
        expected = {
            layout.need_name(d): d.hex() for m, _ in disk.manifests for d in need_digests(disk.store, m)
        }
    for name, claimed in expected.items():
        if name not in disk.listed:
            continue  # a finding already
        try:
            data = fetch(disk, name, OBJECT_SIZE_MAX, claimed)
            addressed = name in (layout.index_name(digest(data)), layout.need_name(digest(data)))
            if name.startswith("slots/"):
                slots, signed = disk.rules.read_slots(data, name)
                prefix = layout.slot_prefix(slots.machine)
                _put(vault, layout.numbered(prefix, slots.number, signed.digest), data, monitor)
            elif addressed:
                _put(vault, name, data, monitor)
            elif name.startswith(("indexes/", "needs/")):
                raise IntegrityError("object-damaged", "an object is not the one of its name")
        except (FormatError, IntegrityError, VaultError, MediaError, NotFoundError) as error:
            monitor.finding(Finding(code=error.code, subject=f"{disk.name}/{name}", detail=error.what))


def _remember_disk(vault: Vault, disk: Disk, monitor: Monitor) -> None:
    prefix = layout.received_prefix(disk.label.set, disk.label.number)
    label = disk.store.get("label")
    _put(vault, layout.numbered(prefix, 0, envelope.read(label, "label").digest), label, monitor)
    if disk.closed is not None:
        name = layout.numbered("inventories", disk.closed.inventory.generation, disk.closed.digest)
        data = disk.store.get(name)
        number = disk.closed.inventory.generation
        _put(vault, layout.numbered(prefix, number, disk.closed.digest), data, monitor)


def _done_before(vault: Vault, result: Imported, held: dict[str, int], monitor: Monitor) -> bool:
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
        try:
            signed = envelope.read(vault.store.get(name), name)
            known = signed.verify(Inventory, bytes.fromhex(disk.label.public_key))
        except (FormatError, IntegrityError) as error:
            _find(monitor, error.code, f"vault/{name}", error.what)
            continue
        if known.generation == closed.inventory.generation and signed.digest != closed.digest:
            raise forked(disk.name, known.generation)
        if known.generation > closed.inventory.generation:
            detail = f"generation {closed.inventory.generation}; the vault knows {known.generation}"
            monitor.finding(Finding(code="disk-older", subject=disk.name, detail=detail))
    if any(held.get(layout.archive_name(h.name)) != h.size for h in _needed(disk, Tally(), result)):
        return False
    there = {
        n: s for prefix in ("indexes", "needs", "manifests", "sets") for n, s in vault.store.list(prefix)
    }
    small = {
        n: s for n, s in disk.listed.items() if n.startswith(("indexes/", "needs/", "manifests/", "sets/"))
    }
    if any(there.get(n) != s for n, s in small.items()):
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
