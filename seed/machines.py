"""The machines whose keys are at hand: this home's own and those whose place it took, or what a passphrase opens."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from formats import layout
from formats.documents import envelope
from formats.documents.manifest import Manifest
from formats.documents.revisions import newest
from formats.documents.vault import ALL_COUNT, SLOTS_MAX, Counted, Descriptor, Membership, Slots
from formats.errors import (
    PassphraseError,
    UsageError,
    VaultError,
    damage_aside,
)
from formats.ids import MachineId
from formats.keyed.keys import MasterKey
from formats.keyed.passphrase import readings
from formats.keyed.slots import DEFAULT_COST, ChunkingParameters, Slot, open_slot, slot_from_json
from formats.monitor import Monitor, Tally, damage_told
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
    authority = identity.authority_key
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
    wanted = _machines_named(union, name) if name is not None else None
    unheard = Tally()
    opened: dict[MachineId, Machine] = {}
    slots = sorted(_slots(union, wanted, unheard), key=_Found.turn)
    last = (True, len(slots))
    first_dear = next((found for found in slots if found.dear), None)
    for found in slots:
        if found.turn() > last and wanted is None:
            break
        if found is first_dear:
            monitor.notice(
                "dearer key slots than usual are tried; with --machine NAME those of one machine alone"
            )
        if found.machine in opened:
            continue
        with damage_told(unheard, found.where):
            if (master := _opened(found.slot, passphrase)) is not None:
                counted = _counted_here(union.stores, found.machine, monitor)
                opened[found.machine] = Machine(found.machine, master, counted)
                last = min(last, (found.dear, found.rank + SLOTS_MAX))
    for finding in unheard.findings if not opened or wanted is not None else ():
        monitor.finding(finding)
    if opened:
        return list(opened.values())
    where = ", ".join(s.address for s in union.stores)
    if not slots:
        raise PassphraseError(
            "slot-missing",
            "there is no key slot to be opened here",
            subject=where,
            hint="the disk was written with --no-slot-on-disks, or holds another machine's data: add the vault "
            "by --vault, or use the home of the machine",
        )
    raise passphrase_wrong(where)


class _Found(NamedTuple):
    """A key slot, in which object it was found, and the how manyth of its machine it is."""

    machine: MachineId
    where: str
    slot: Slot
    rank: int

    @property
    def dear(self) -> bool:
        """Whether it takes more to try than this program's own slots do."""
        return self.slot.cost.work > DEFAULT_COST.work

    def turn(self) -> tuple[bool, int]:
        """When it is tried: no machine's slots are behind those of another that has brought in many, or dear ones."""
        return self.dear, self.rank


def _opened(slot: Slot, passphrase: str) -> MasterKey | None:
    for reading in readings(passphrase):
        with suppress(PassphraseError):
            return open_slot(slot, reading)[0]
    return None


def _slots(union: "Union", wanted: Collection[MachineId] | None, monitor: Monitor) -> Iterator[_Found]:
    """The slots of the `wanted` machines, the newest of each first. What is damaged is a finding."""
    ranks: Counter[MachineId] = Counter()
    for name in sorted(union.list("slots"), reverse=True):
        machine = MachineId(name.split("/")[1])
        if wanted is not None and machine not in wanted:
            continue
        with damage_told(monitor, name):
            for slot in envelope.read(union.get_document(name), name).peek(Slots).slots:
                with damage_told(monitor, name):
                    yield _Found(machine, name, slot_from_json(dict(slot), name), ranks[machine])
                    ranks[machine] += 1


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
