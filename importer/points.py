"""Recovery points as the vault sees them: admitted manifests, and whether all they need is there."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from formats import layout
from formats.documents import envelope
from formats.documents.disk import SetDocument
from formats.documents.envelope import Signed
from formats.documents.manifest import Manifest
from formats.documents.vault import Membership
from formats.errors import FormatError, IntegrityError, MediaError, NotFoundError, StoreError
from formats.ids import ArchiveName, Digest, MachineId, digest
from formats.monitor import Finding, Monitor
from formats.standing import Standing, brings, judge, newest_points, newest_sets
from formats.store.contract import Store
from formats.tables import needs
from formats.tables.needs import Need
from importer.vault import Vault, members


@dataclass(frozen=True)
class Point:
    """An admitted manifest, and how its point stands in the vault."""

    manifest: Manifest
    signed: Signed
    member: Membership
    standing: Standing


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
    for machine, member in sorted(members(vault, monitor).items(), key=lambda item: item[1].name):
        yield from points_of(vault, machine, member, monitor)


def points_of(vault: Vault, machine: MachineId, member: Membership, monitor: Monitor) -> Iterator[Point]:
    """All points of one machine, by sequence, each as it was revised last."""
    there = set(vault.store.list("archives"))
    found = newest_points(manifests(vault, machine, member, monitor), lambda item: item[0])
    needed = {signed.digest: _needs(vault, manifest, monitor) for manifest, signed in found}

    def needed_by(document: SetDocument) -> set[ArchiveName]:
        brought = [s.digest for m, s in found if brings(document, m, s.digest)]
        return {need.archive.name for point in brought for need in needed[point] or ()}

    for manifest, signed in found:
        needs_of = needed[signed.digest]
        if needs_of is None:  # which of them are there, nobody can tell
            archives = manifest.totals.archives
            yield Point(manifest, signed, member, Standing(archives, archives))
            continue
        standing = judge(needs_of, there, [vault.store], partial(sets, vault, member, monitor), needed_by)
        yield Point(manifest, signed, member, standing)


def _needs(vault: Vault, manifest: Manifest, monitor: Monitor) -> list[Need] | None:
    """The need list of a point; None, and a finding, where it cannot be read."""
    try:
        return load_needs(vault.store, manifest)
    except (FormatError, IntegrityError, NotFoundError) as error:
        subject = f"point {manifest.point[:8]}: need list"
        monitor.finding(Finding(code=error.code, subject=subject, detail=error.what))
        return None


def sets(vault: Vault, member: Membership, monitor: Monitor) -> list[SetDocument]:
    """The sets of one machine, by documents that verify."""
    return newest_sets(set_documents(vault, member, monitor))


def set_documents(vault: Vault, member: Membership, monitor: Monitor) -> Iterator[SetDocument]:
    """All set documents of one machine that verify, superseded ones too."""
    for name, _ in vault.store.list(layout.set_prefix(member.machine)):
        try:
            signed = envelope.read(vault.store.get(name), name)
            yield signed.verify(SetDocument, bytes.fromhex(member.public_key))
        except (FormatError, IntegrityError) as error:
            monitor.finding(Finding(code=error.code, subject=name, detail=error.what))


def manifests(
    vault: Vault, machine: MachineId, member: Membership, monitor: Monitor
) -> Iterator[tuple[Manifest, Signed]]:
    """The manifests of one machine that verify, by sequence; superseded ones too."""
    for name, _ in vault.store.list(layout.manifest_prefix(machine)):
        try:
            signed = envelope.read(vault.store.get(name), name)
            yield signed.verify(Manifest, bytes.fromhex(member.public_key)), signed
        except (FormatError, IntegrityError) as error:
            monitor.finding(Finding(code=error.code, subject=name, detail=error.what))
