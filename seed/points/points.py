"""The reading of recovery points from a vault, disks, or both, as one union of stores.

Restore trusts the master key alone. A point counts once its sealed root is opened and agrees with the
manifest. A need list counts by the digest in the manifest, an index by the digest in the need list, a chunk
by its seal.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from formats import layout
from formats.disks import check_disk, seed_folders
from formats.documents import envelope
from formats.documents.manifest import Manifest
from formats.errors import MediaError, NotFoundError, VaultError, each
from formats.ids import Digest, HexDigest
from formats.keyed.keys import MasterKey
from formats.keyed.root import PointRoot, open_root
from formats.monitor import Finding, Monitor, damage_told
from formats.rules.completeness import newest_points
from formats.store.contract import Store
from formats.store.local import LocalStore
from formats.tables import needs
from formats.tables.needs import Buckets, Need
from seed.points.layered_store import LayeredStore
from seed.points.machine_keys import Machine


def disk_stores(paths: Iterable[Path]) -> list[Store]:
    """Return the stores of all our folders on the disks.

    Raises MediaError disk-missing, disk-empty, disk-crowded, StoreError.
    """
    return [store for stores in each(_stores_on, paths) for store in stores]


def _stores_on(path: Path) -> list[Store]:
    check_disk(path)
    if not (folders := seed_folders(path)):
        raise MediaError(
            "disk-empty",
            "no seed lies on this disk",
            subject=str(path),
            hint=f"there is no folder {layout.DISK_FOLDER}/<set>-<number>; is the right disk mounted?",
        )
    return [LocalStore.open(str(folder), read_only=True) for folder in folders]


def check_vault(store: Store) -> None:
    """Raise VaultError vault-missing if a store holds neither the description of a vault nor a point."""
    if not any(any(True for _ in store.list(prefix)) for prefix in ("descriptor", "manifests")):
        raise VaultError(
            "vault-missing", "there is no vault at this address", subject=store.address,
            hint="is the share mounted? Check the address",
        )  # fmt: skip


@dataclass(frozen=True)
class Point:
    """A recovery point with its root opened."""

    manifest: Manifest
    digest: HexDigest
    root: PointRoot
    master: MasterKey


def points(union: LayeredStore, machines: Sequence[Machine], monitor: Monitor) -> list[Point]:
    """Return all points of `machines`, by sequence, each in its last revision. Raises StoreError.

    A point that does not open or agree is a finding.
    """
    ordered = newest_points(revisions(union, machines, monitor), lambda p: p.manifest)
    for before, point in pairwise(ordered):
        same = (before.manifest.machine, before.manifest.sequence)
        if same == (point.manifest.machine, point.manifest.sequence):
            detail = (
                f"points {before.manifest.point[:8]} and {point.manifest.point[:8]} have one sequence number"
            )
            monitor.finding(Finding(code="cloned-home", subject=point.manifest.machine_name, detail=detail))
    return ordered


def revisions(union: LayeredStore, machines: Sequence[Machine], monitor: Monitor) -> list[Point]:
    """Return every revision of the points of `machines`, by sequence. Raises as `points`."""
    found: dict[str, Point] = {}
    for machine in machines:
        for name in union.list(layout.manifest_prefix(machine.machine)):
            with damage_told(monitor, name), suppress(NotFoundError):  # one that expired just now
                signed = envelope.read(union.get_document(name), name)
                manifest = signed.peek(Manifest)
                root = open_root(machine.master, manifest, name)
                signed.verify(Manifest, bytes.fromhex(root.public_key))
                if _has_expired(union, machine, manifest, name):
                    continue
                if signed.digest not in machine.counted:
                    counted = machine.counted
                    detail = (
                        f"the vault did not have it when its machine was {counted.status}: it does not count"
                    )
                    monitor.finding(Finding(code=counted.code, subject=name, detail=detail))
                elif manifest.machine == machine.machine:
                    found[signed.digest] = Point(manifest, signed.digest, root, machine.master)
    return sorted(
        found.values(), key=lambda p: (p.manifest.machine_name, p.manifest.sequence, p.manifest.created)
    )


def _has_expired(union: LayeredStore, machine: Machine, manifest: Manifest, name: str) -> bool:
    """Return whether a point has expired wherever its manifest lies: somebody put it into the vault again.

    On a disk it still counts.
    """
    if not any(manifest.point in expired for expired in machine.expired.values()):
        return False
    others = [s for s in union.stores if manifest.point not in machine.expired.get(s.address, ())]
    return not any(store.head(name) for store in others)


def needed_of(union: LayeredStore, point: Point, known: Buckets | None = None) -> list[Need]:
    """Return the need list of a point; buckets that are `known` are not read again.

    Raises IntegrityError, FormatError, StoreError, MediaError.
    """
    root = Digest(bytes.fromhex(point.manifest.needs))
    where = f"needs of {point.manifest.point[:8]}"
    return needs.load(root, lambda d: union.get_checked(layout.need_name(d), d), where, known)
