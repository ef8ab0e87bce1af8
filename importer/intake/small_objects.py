"""The copying of all objects of a disk that are no archives, each by its digest in the inventory or its name."""

from formats import layout
from formats.documents.manifest import Manifest
from formats.errors import (
    FormatError,
    IntegrityError,
    MediaError,
    NotFoundError,
    StoreError,
    VaultError,
)
from formats.ids import digest, hex_digest
from formats.monitor import Finding, Monitor
from formats.store.checked import is_whole
from formats.store.contract import Guarded
from formats.tables.sections import OBJECT_SIZE_MAX, decode_object
from importer.intake.archive_copy import PUTS_MAX, put, side_by_side
from importer.intake.import_result import ImportResult, ObjectOutcome
from importer.intake.intake import Disk, fetch, inventoried
from importer.vault.points import load_needs, need_digests
from importer.vault.vault import Vault


def take_objects(vault: Vault, result: ImportResult, monitor: Monitor) -> None:
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


def remember_disk(vault: Vault, result: ImportResult, monitor: Monitor) -> None:
    """Put the label and the inventory of a disk."""
    disk, label = result.disk, result.disk.label
    prefix = layout.received_prefix(label.machine, label.set, label.number)
    data = disk.store.get("label")
    put(result, vault, layout.numbered(prefix, 0, hex_digest(data)), data, monitor)
    if disk.closed is not None:
        number = disk.closed.inventory.generation
        put(result, vault, layout.numbered(prefix, number, disk.closed.digest), disk.closed.data, monitor)


def take_points(vault: Vault, result: ImportResult, monitor: Monitor) -> None:
    """Put the manifests, from which on the points exist in the vault, and then the set documents."""
    disk = result.disk
    for manifest, signed in disk.manifests:
        if not _well_formed(disk, manifest):
            continue  # a finding already; no machine of ours writes such a list, and it would be one at every look
        prefix = layout.manifest_prefix(manifest.machine)
        put(result, vault, layout.numbered(prefix, manifest.sequence, signed.digest), signed.data, monitor)
    for document, signed in disk.sets:
        number = next((m.sequence for m, s in disk.manifests if s.digest == document.manifest), 0)
        prefix = layout.set_prefix(document.machine)
        put(result, vault, layout.numbered(prefix, number, signed.digest), signed.data, monitor)


def _well_formed(disk: Disk, manifest: Manifest) -> bool:
    """Return whether a point's need list is well-formed; one that cannot be read counts as such."""
    try:
        load_needs(disk.store, manifest, disk.buckets)
    except FormatError:
        return False
    except (IntegrityError, StoreError, MediaError):
        pass
    return True


def has_small_objects(vault: Vault, result: ImportResult) -> bool:
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
        if not is_whole(vault.store, name, sizes[name] + 1):
            lacking.append(name)

    side_by_side(PUTS_MAX if isinstance(vault.store, Guarded) else 1, check, sizes)
    return not lacking
