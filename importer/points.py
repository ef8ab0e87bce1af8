"""Recovery points as the vault sees them: admitted manifests, and whether all they need is there."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from formats import layout
from formats.documents import envelope
from formats.documents.disk import SetDisk, SetDocument
from formats.documents.envelope import Signed
from formats.documents.manifest import Manifest
from formats.documents.vault import Membership
from formats.errors import FormatError, IntegrityError, MediaError, NotFoundError, StoreError
from formats.ids import Digest, MachineId, digest
from formats.monitor import Finding, Monitor
from formats.store.contract import Store
from formats.tables import needs
from formats.tables.needs import Need
from importer.vault import Vault, members


@dataclass(frozen=True)
class Point:
    """`missing` archives of `needed`; a point is complete where none is. Computed, never stored.

    `awaited` are the numbers of the disks of its set that were not received yet, of `disks` in all.
    """

    manifest: Manifest
    signed: Signed
    member: Membership
    needed: int
    missing: int
    awaited: tuple[int, ...] = ()
    disks: int = 0

    @property
    def complete(self) -> bool:
        return self.missing == 0


def load_needs(store: Store, manifest: Manifest) -> list[Need]:
    """The need list of a point from `store`. Raises NotFoundError, FormatError, IntegrityError."""
    where = f"needs of {manifest.point[:8]}"
    return needs.load(Digest(bytes.fromhex(manifest.needs)), lambda d: _fetch_need(store, d), where)


def need_digests(store: Store, manifest: Manifest) -> set[Digest]:
    """The digests of the objects that make up a point's need list, as far as they can be read."""
    reached: set[Digest] = set()

    def fetch(wanted: Digest) -> bytes:
        reached.add(wanted)
        return _fetch_need(store, wanted)

    with suppress(FormatError, IntegrityError, StoreError, MediaError):
        needs.load(Digest(bytes.fromhex(manifest.needs)), fetch, "needs")
    return reached


def _fetch_need(store: Store, wanted: Digest) -> bytes:
    name = layout.need_name(wanted)
    data = store.get(name)
    if digest(data) != wanted:
        raise IntegrityError("object-damaged", "a part of a need list is damaged", subject=name)
    return data


def points(vault: Vault, monitor: Monitor) -> Iterator[Point]:
    """All points of all machines, by machine and sequence."""
    there = dict(vault.store.list("archives"))
    for machine, member in sorted(members(vault, monitor).items(), key=lambda item: item[1].name):
        for manifest, signed in manifests(vault, machine, member, monitor):
            try:
                needed = load_needs(vault.store, manifest)
            except (FormatError, IntegrityError, NotFoundError) as error:
                subject = f"point {manifest.point[:8]}: need list"
                monitor.finding(Finding(code=error.code, subject=subject, detail=error.what))
                archives = manifest.totals.archives
                yield Point(manifest, signed, member, archives, archives)  # which are there, nobody can tell
                continue
            missing = sum(there.get(layout.archive_name(n.archive.name)) != n.archive.size for n in needed)
            awaited, disks = _awaited(vault, member, signed.digest, monitor) if missing else ((), 0)
            yield Point(manifest, signed, member, len(needed), missing, awaited, disks)


def sets(vault: Vault, member: Membership, monitor: Monitor) -> Iterator[SetDocument]:
    """The set documents of one machine that verify."""
    for name, _ in vault.store.list(layout.set_prefix(member.machine)):
        try:
            signed = envelope.read(vault.store.get(name), name)
            yield signed.verify(SetDocument, bytes.fromhex(member.public_key))
        except (FormatError, IntegrityError) as error:
            monitor.finding(Finding(code=error.code, subject=name, detail=error.what))


def _received(vault: Vault, document: SetDocument, disk: SetDisk) -> bool:
    """Whether a disk has come as its set was finished with it, or verified later."""
    prefix = layout.received_prefix(document.set, disk.number)
    return any(layout.number_of(name) >= disk.generation for name, _ in vault.store.list(prefix))


def _awaited(
    vault: Vault, member: Membership, manifest: str, monitor: Monitor
) -> tuple[tuple[int, ...], int]:
    """The disks of a point's set that the vault has not seen, and how many the set has."""
    for document in sets(vault, member, monitor):
        if document.manifest == manifest:
            awaited = [disk.number for disk in document.disks if not _received(vault, document, disk)]
            return tuple(awaited), len(document.disks)
    return (), 0


def manifests(
    vault: Vault, machine: MachineId, member: Membership, monitor: Monitor
) -> Iterator[tuple[Manifest, Signed]]:
    """The manifests of one machine that verify, by sequence."""
    for name, _ in vault.store.list(layout.manifest_prefix(machine)):
        try:
            signed = envelope.read(vault.store.get(name), name)
            yield signed.verify(Manifest, bytes.fromhex(member.public_key)), signed
        except (FormatError, IntegrityError) as error:
            monitor.finding(Finding(code=error.code, subject=name, detail=error.what))
