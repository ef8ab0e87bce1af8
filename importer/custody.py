"""Where the disks of a vault were, and when: what their own papers say, what their machines have told, and what was seen here."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from formats import layout
from formats.codes import Code
from formats.custody import Chain, DiskKey, add, dated
from formats.documents import envelope
from formats.documents.acceptance import DiskAcceptance, folder_identity
from formats.documents.custody import Custody
from formats.documents.disk import Inventory
from formats.documents.vault import Membership
from formats.errors import FormatError, IntegrityError, MediaError, UsageError, VaultError
from formats.ids import HexDigest, MachineId, SetId, fingerprint
from formats.monitor import Finding, Monitor, Tally
from importer.points import sets
from importer.receipts import Imported
from importer.vault import Vault, members


def disk_key(vault: Vault, member: Membership, disk_set: SetId, number: int) -> DiskKey:
    keys = {"machine": bytes.fromhex(member.public_key), "authority": vault.key}
    return DiskKey(vault.id, member.machine, disk_set, number, keys)


@dataclass(frozen=True)
class Notes:
    """What whoever books a disk in says of it."""

    at: int
    carrier: str | None = None
    tracking: str | None = None
    note: str | None = None


def receive(
    vault: Vault, member: Membership, disk_set: SetId, number: int, notes: Notes, monitor: Monitor
) -> tuple[Custody, bool]:
    """Book a disk in; one that was booked in before stays as it was. Returns the step, and whether it is new. Raises StoreError."""
    disk = disk_key(vault, member, disk_set, number)
    draft = replace(
        _draft(disk, "received"), at=notes.at, carrier=notes.carrier, tracking=notes.tracking, note=notes.note
    )
    before = len(Chain.read(vault.store, disk, Tally()).steps)
    chain = _add(vault, disk, monitor, lambda c: draft if c.newest("received") is None else None)
    return chain.newest("received") or draft, len(chain.steps) > before


def note_imports(vault: Vault, results: Sequence[Imported], monitor: Monitor) -> None:
    """Tell of each disk that it came, how its import ended, and whether it may be erased; nothing twice. Raises StoreError."""
    for result in results:
        label, closed = result.disk.label, result.disk.closed
        disk = disk_key(vault, result.member, label.set, label.number)
        draft = replace(
            _draft(disk, "imported"),
            generation=result.generation,
            inventory=closed.digest if closed else None,
            whole=result.whole,
        )
        erasable = result.whole and result.finished
        _add(vault, disk, monitor, partial(_next, imported=draft, erasable=erasable))


def note_erasable(vault: Vault, member: Membership, disk_set: SetId, number: int, monitor: Monitor) -> None:
    """Tell of a disk that came earlier that it may be erased now, for its set has been finished since. Raises StoreError."""
    disk = disk_key(vault, member, disk_set, number)

    def lacking(chain: Chain) -> Custody | None:
        came = chain.newest("imported")
        if came is None or not came.whole:
            return None
        return _next(chain, replace(came, at=int(time.time()), noted=int(time.time())), erasable=True)

    _add(vault, disk, monitor, lacking)


def _next(chain: Chain, imported: Custody, *, erasable: bool) -> Custody | None:
    """What is still to be told of an import, in order."""
    if chain.newest("received") is None:
        return replace(imported, event="received", whole=False)
    before = chain.newest("imported")
    if before is None or (before.inventory, before.whole) != (imported.inventory, imported.whole):
        return imported
    told = chain.newest("erasable")
    if erasable and (told is None or told.inventory != imported.inventory):
        return replace(imported, event="erasable")
    return None


def _draft(disk: DiskKey, event: str) -> Custody:
    now = int(time.time())
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
    """What was told of each disk of a machine, by set and number. Raises StoreError."""
    folders = {name.split("/")[2] for name, _ in vault.store.list(f"custody/{member.machine}")}
    disks = [identity for folder in sorted(folders) if (identity := folder_identity(folder)) is not None]
    return {disk: Chain.read(vault.store, disk_key(vault, member, *disk), monitor).steps for disk in disks}


def papers(vault: Vault, member: Membership, disk_set: SetId, number: int, monitor: Monitor) -> list[str]:
    """What the disk's own label and inventories say, as far as they came: a chain too, for each names the one before."""
    prefix = layout.received_prefix(member.machine, disk_set, number)
    rules = DiskAcceptance(disk_set, number, prefix)
    found: list[tuple[Inventory, HexDigest]] = []
    told: list[str] = []
    for name, _ in vault.store.list(prefix):
        try:
            data = vault.store.get(name)
            if layout.number_of(name) == 0:
                told.append(dated(rules.read_label(data).created, "label written"))
            else:
                signed = envelope.read(data, name)
                found.append((signed.verify(Inventory, bytes.fromhex(member.public_key)), signed.digest))
        except (FormatError, IntegrityError, MediaError) as error:
            monitor.finding(Finding(code="custody-broken", subject=name, detail=error.what))
    by_generation = {inventory.generation: digest for inventory, digest in found}
    for inventory, _ in found:
        before = by_generation.get(inventory.generation - 1, inventory.previous)
        if before != inventory.previous:
            detail = f"generation {inventory.generation} does not follow the one before it"
            monitor.finding(Finding(code="custody-broken", subject=prefix, detail=detail))
        event = "closed" if inventory.verified is None else "verified"
        told.append(dated(inventory.created, event))
    return told


# Which disk a code means.


def find(vault: Vault, code: Code, monitor: Monitor) -> tuple[Membership, SetId]:
    """The machine and the set of the disk that a label's code names. Raises VaultError machine-unknown, UsageError disk-unknown."""
    known = members(vault, monitor)
    if code.machine is not None:
        member = known.get(code.machine)
        if member is None:
            raise VaultError(
                "machine-unknown",
                f"the machine with fingerprint {fingerprint(code.machine)} is not registered with this vault",
                subject=code.set[:8],
                hint="is the parcel for another vault? Its slip names it; `importer machines list` shows who is registered here",
            )
        return member, SetId(code.set)
    matches = {
        (machine, disk_set): known[machine]
        for machine, disk_set in _sets_known(vault, known.values())
        if machine in known and disk_set.startswith(code.set)
    }
    if len(matches) != 1:
        what = "several disk sets begin so" if matches else "this vault knows no disk set that begins so"
        raise UsageError(
            "disk-unknown", what, subject=code.set,
            hint="scan the whole code of the label, or type more of the set; a set that was never announced is known by its "
            "whole code only",
        )  # fmt: skip
    ((_, disk_set),) = matches
    return matches[next(iter(matches))], disk_set


def _sets_known(vault: Vault, known: Iterable[Membership]) -> Iterator[tuple[MachineId, SetId]]:
    """Every set that was announced, of which a disk came, or of which anything was told."""
    for member in known:
        yield from ((member.machine, document.set) for document in sets(vault, member, Tally()))
    for prefix in ("disks", "custody"):
        for name, _ in vault.store.list(prefix):
            _, machine, folder, *_ = (*name.split("/"), "", "")
            if (identity := folder_identity(folder)) is not None:
                yield MachineId(machine), identity[0]
