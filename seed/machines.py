"""The machines whose keys are at hand: this home's own and those whose place it took, or what a passphrase opens."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from formats import layout
from formats.documents import envelope
from formats.documents.manifest import Manifest
from formats.documents.revisions import newest
from formats.documents.vault import ALL_COUNT, Counted, Descriptor, Membership, Slots
from formats.errors import (
    PassphraseError,
    UsageError,
    VaultError,
    damage_aside,
)
from formats.ids import MachineId
from formats.keyed.keys import MasterKey
from formats.keyed.passphrase import readings
from formats.keyed.slots import ChunkingParameters, open_slot, slot_from_json
from formats.monitor import Monitor, damage_told
from formats.store.contract import Store
from formats.wire import Json
from formats.words import moment

if TYPE_CHECKING:
    from seed.home import Identity
    from seed.reading import Union


@dataclass(frozen=True)
class Machine:
    """A machine whose key is at hand, and which of its manifests count."""

    machine: MachineId
    master: MasterKey
    counted: Counted = ALL_COUNT


def own_machines(identity: "Identity", stores: Iterable[Store], monitor: Monitor) -> list[Machine]:
    """This machine, and those whose place it took: their points are its own history, as far as a vault among `stores`
    lets them count."""
    stores = list(stores)
    return [
        Machine(machine, identity.master, _counted(machine, identity.authority, stores, monitor))
        for machine in (identity.machine, *identity.replaced)
    ]


def _counted(machine: MachineId, authority: str, stores: Iterable[Store], monitor: Monitor) -> Counted:
    """By the first of the stores whose authority has ended the machine; none has, where they are disks."""
    for store in stores:
        found = newest(store, layout.member_prefix(machine), Membership, bytes.fromhex(authority), monitor)
        if found is not None and found[0].status != "active":
            return Counted(found[0])
    return ALL_COUNT


def membership(identity: "Identity", machine: MachineId, store: Store, monitor: Monitor) -> Membership | None:
    """What the authority of this home's vault says of a machine, where `store` is that vault."""
    authority = bytes.fromhex(identity.authority)
    found = newest(store, layout.member_prefix(machine), Membership, authority, monitor)
    return found[0] if found is not None else None


def check_active(identity: "Identity", store: Store, monitor: Monitor) -> None:
    """Raises VaultError machine-replaced where the vault knows another machine in this one's place, machine-revoked."""
    found = membership(identity, identity.machine, store, monitor)
    if found is not None and found.status == "revoked":
        raise VaultError(
            "machine-revoked",
            f"this machine was revoked {moment(found.since)}, and the vault takes nothing more from it",
            subject=identity.name,
            hint="what the vault had of it can still be restored; to back up again, ask the operator why, and for a credential, "
            "and register into another home (SEED_HOME): under a new passphrase, for its old key may be known to others",
        )
    if found is not None and found.status == "replaced":
        raise VaultError(
            "machine-replaced",
            f"another machine has taken this one's place since {moment(found.since)}, and the vault takes nothing more from "
            "this home",
            subject=identity.name,
            hint="back up by the home that replaced it; if that was a mistake, ask the operator for a credential, and "
            "register into another home (SEED_HOME) with --replace",
        )


def unlock(union: "Union", passphrase: str, name: str | None, monitor: Monitor) -> list[Machine]:
    """The machines whose key slots the passphrase opens; with `name`, only those of that name.

    Raises PassphraseError passphrase-wrong, slot-missing; UsageError point-unknown; StoreError.
    """
    opened: dict[MachineId, Machine] = {}
    tried = False
    wanted = _machines_named(union, name) if name is not None else None
    for object_name in sorted(union.list("slots"), reverse=True):
        machine = MachineId(object_name.split("/")[1])
        if machine in opened or (wanted is not None and machine not in wanted):
            continue
        with damage_told(monitor, object_name):
            slots = envelope.read(union.get_document(object_name), object_name).peek(Slots)
            tried = tried or bool(slots.slots)
            if (found := open_slots(slots, passphrase, object_name)) is not None:
                opened[machine] = Machine(machine, found[0], _counted_here(union.stores, machine, monitor))
    if opened:
        return list(opened.values())
    where = ", ".join(s.address for s in union.stores)
    if not tried:
        raise PassphraseError(
            "slot-missing",
            "there is no key slot to be opened here",
            subject=where,
            hint="the disk was written with --no-slot-on-disks, or holds another machine's data: add the vault "
            "by --vault, or use the home of the machine",
        )
    raise passphrase_wrong(where)


def _counted_here(stores: Iterable[Store], machine: MachineId, monitor: Monitor) -> Counted:
    """By the authorities that the vaults among the stores name. Who puts a false one there can withhold points, as whoever may
    write there can by deleting them, and forge none."""
    for store in stores:
        described = newest(store, "descriptor", Descriptor, None, monitor)
        if described is not None:
            counted = _counted(machine, described[0].authority, [store], monitor)
            if counted.status != "active":
                return counted
    return ALL_COUNT


def open_slots(slots: Slots, passphrase: str, where: str) -> tuple[MasterKey, ChunkingParameters] | None:
    """What lies in the slot that the passphrase opens; None where it opens none. Raises FormatError, IntegrityError."""
    found = opened_by(slots, passphrase, where)
    return found[1] if found is not None else None


def opened_by(
    slots: Slots, passphrase: str, where: str
) -> tuple[Mapping[str, Json], tuple[MasterKey, ChunkingParameters]] | None:
    """The slot that the passphrase opens, and what lies in it. Raises as `open_slots`."""
    for slot, reading in product(slots.slots, readings(passphrase)):
        try:
            return slot, open_slot(slot_from_json(dict(slot), where), reading)
        except PassphraseError:
            continue
    return None


def passphrase_wrong(where: str) -> PassphraseError:
    return PassphraseError(
        "passphrase-wrong",
        "the passphrase opens none of the key slots",
        subject=where,
        hint="check it; nobody can recover it",
    )


def _machines_named(union: "Union", name: str) -> set[MachineId]:
    found = set()
    for object_name in union.list("manifests"):
        with damage_aside():
            manifest = envelope.read(union.get_document(object_name), object_name).peek(Manifest)
            if manifest.machine_name == name:
                found.add(manifest.machine)
    if not found:
        raise UsageError(
            "point-unknown", "no machine of this name has points here", subject=name,
            hint="see `seed points` for the machines whose points are here",
        )  # fmt: skip
    return found
