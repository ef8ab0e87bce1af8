"""The acceptance of a disk: from which machine it may come, and which parts of it the vault leaves out."""

from collections.abc import Collection, Mapping, Sequence

from formats.documents.vault import Counted, Membership
from formats.errors import damage_aside
from formats.ids import ArchiveName, MachineId, fingerprint
from formats.monitor import Monitor, Tally
from formats.rules.retention import read_kept
from importer.intake.archive_copy import load
from importer.intake.import_result import ImportResult
from importer.intake.intake import Disk
from importer.vault.abandoned import abandoned
from importer.vault.points import load_needs, sets
from importer.vault.points import manifests as counting
from importer.vault.vault import Vault


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


def leave_out_expired(vault: Vault, disk: Disk, member: Membership, monitor: Monitor) -> None:
    """Leave out points that have expired: an old disk does not bring them back (RET-4)."""
    expired = read_kept(vault.view, member.machine, Tally()).expired
    if not any(manifest.point in expired for manifest, _ in disk.manifests):
        return
    disk.manifests = [(m, s) for m, s in disk.manifests if m.point not in expired]
    disk.sets = [(d, s) for d, s in disk.sets if d.point not in expired]
    needed = {need.archive.name for m, _ in disk.manifests for need in load(disk, m, Tally())}
    disk.welcome = needed if disk.welcome is None else needed.intersection(disk.welcome)
    monitor.notice(f"{disk.name}: a point on it has expired in this vault, and is not brought back")


def leave_out_abandoned(
    vault: Vault, result: ImportResult, known: Mapping[MachineId, Membership], monitor: Monitor
) -> None:
    """Take nothing of a set that its machine gave up, and say so.

    A set with a manifest on the disk was finished after all: it is taken.
    """
    disk = result.disk
    if any(manifest.set == disk.label.set for manifest, _ in disk.manifests):
        return
    if disk.label.set in abandoned(vault, result.member, known, Tally()):
        result.abandoned, disk.welcome = True, set()
        monitor.notice(f"{disk.name}: its machine has given up this export, and nothing of it is taken")
