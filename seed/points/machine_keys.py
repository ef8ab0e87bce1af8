"""The machines with a key at hand: this home's, those it replaced, or those that a passphrase opens."""

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING

from formats import layout
from formats.documents import envelope
from formats.documents.manifest import Manifest
from formats.documents.vault import ALL_COUNT, SLOTS_MAX, Counted, Membership, Slots
from formats.errors import PassphraseError, UsageError, VaultError, damage_aside
from formats.ids import MachineId, PointId, VaultId, parse_fingerprint
from formats.keyed.keys import MasterKey
from formats.keyed.passphrase import readings
from formats.keyed.root import open_root
from formats.keyed.slots import Slot, open_slot, slot_from_json
from formats.monitor import Monitor, Tally, damage_told
from formats.rules.retention import read_kept
from formats.store.contract import Store
from formats.untrusted import Json
from formats.view.view import View
from formats.words import counted as counted_words
from formats.words import moment
from seed.points.slot_search import find_slots

if TYPE_CHECKING:
    from seed.home.home import Identity
    from seed.points.layered_store import LayeredStore

FINGERPRINT = re.compile("[0-9a-f]{32}")
MACHINES_MANY = 16
GUESSES_FURTHER = 64  # some seconds of guesses, after one machine is open
ONE_ALONE = "--machine FINGERPRINT tries those of one machine alone"


@dataclass(frozen=True)
class Machine:
    """A machine with its key at hand.

    `counted` tells which of its manifests count. `expired` holds the points that have expired, by the
    addresses of the vaults that say so.
    """

    machine: MachineId
    master: MasterKey
    counted: Counted = ALL_COUNT
    expired: Mapping[str, Collection[PointId]] = field(default_factory=dict)


def own_machines(identity: "Identity", stores: Iterable[Store], monitor: Monitor) -> list[Machine]:
    """Return this machine, and those that it replaced.

    Their points are its own history, as far as a vault among `stores` lets them count.
    """
    stores = list(stores)
    return [
        _judged(machine, identity.master, identity.vault, identity.authority, stores, monitor)
        for machine in (identity.machine, *identity.replaced)
    ]


def _judged(
    machine: MachineId,
    master: MasterKey,
    vault: VaultId,
    authority: str,
    stores: Sequence[Store],
    monitor: Monitor,
) -> Machine:
    """Return a machine with its authority's decisions on it and its points, as far as a store tells."""
    views = [View(store, bytes.fromhex(authority), vault, own=(machine,)) for store in stores]
    counted = _counted(machine, views, monitor)  # the first to look, for it reports
    kept = ((view.store.address, read_kept(view, machine, Tally()).expired) for view in views)
    return Machine(machine, master, counted, {address: points for address, points in kept if points})


def _counted(machine: MachineId, views: Iterable[View], monitor: Monitor) -> Counted:
    """Return the manifests that count, by the first store that says how the machine ended.

    Only the authority of this vault can end it. Disks hold no such decision: if all stores are disks, all
    manifests count.
    """
    for view in views:
        found = view.newest(layout.member_prefix(machine), Membership, view.authority, monitor)
        if found is not None and found.status != "active":
            return Counted(found)
    return ALL_COUNT


def membership(identity: "Identity", machine: MachineId, store: Store, monitor: Monitor) -> Membership | None:
    """Return the statement of this vault's authority about a machine, if `store` is that vault."""
    prefix = layout.member_prefix(machine)
    return identity.view(store).newest(prefix, Membership, identity.authority_key, monitor)


def check_active(identity: "Identity", store: Store, monitor: Monitor) -> None:
    """Raise VaultError if the vault takes nothing more from this machine.

    The error is machine-replaced if the vault knows another machine in its place, else machine-revoked.
    """
    found = membership(identity, identity.machine, store, monitor)
    if found is not None and found.status == "revoked":
        raise VaultError(
            "machine-revoked",
            f"this machine was revoked {moment(found.since)}, and the vault takes nothing more from it",
            subject=identity.name,
            hint="ask the operator for the reason, and for a new credential to back up again. Then register into another home "
            "(SEED_HOME) with a new passphrase: others may know the old key. Its data in the vault can still be restored",
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


def unlock(union: "LayeredStore", passphrase: str, name: str | None, monitor: Monitor) -> list[Machine]:
    """Return the machines that the passphrase opens; with `name`, only those of that name or fingerprint.

    Once one machine is open, the others get a limited number of guesses, and a notice counts the slots not
    tried. Raises PassphraseError passphrase-wrong, slot-missing; UsageError point-unknown; StoreError.
    """
    wanted = _machines_wanted(union, name) if name is not None else None
    unheard = Tally()
    slots = find_slots(union, wanted, unheard)
    if (count := len({found.machine for found in slots})) > MACHINES_MANY:
        monitor.notice(f"{count} machines have key slots here, and each may take a guess; {ONE_ALONE}")
    first_dear = next((found for found in slots if found.is_dear), None)
    opened: dict[MachineId, Machine] = {}
    further, rank_max, untried = GUESSES_FURTHER, math.inf, 0
    for found in slots:
        if found.machine in opened:
            continue
        if opened and (further == 0 or (wanted is None and (found.is_dear or found.rank > rank_max))):
            untried += 1
            continue
        further -= bool(opened)
        if found is first_dear:
            monitor.notice(f"dearer key slots than usual are tried; {ONE_ALONE}")
        with damage_told(unheard, found.where):
            if (master := _opened(found.slot, passphrase)) is not None:
                opened[found.machine] = _machine(union, found.machine, master, monitor)
                rank_max = min(rank_max, found.rank + SLOTS_MAX)
    if untried:
        monitor.notice(f"{counted_words(untried, 'key slot')} of other machines were not tried; {ONE_ALONE}")
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


def _opened(slot: Slot, passphrase: str) -> MasterKey | None:
    for reading in readings(passphrase):
        with suppress(PassphraseError):
            return open_slot(slot, reading)
    return None


def _machine(union: "LayeredStore", machine: MachineId, master: MasterKey, monitor: Monitor) -> Machine:
    """Return a machine after its key was opened.

    The authority that may have ended it is the one that its own points name inside the seal: anybody may put
    the description of another authority into a vault.
    """
    for name in union.list(layout.manifest_prefix(machine)):
        with damage_aside():
            manifest = envelope.read(union.get_document(name), name).peek(Manifest)
            root = open_root(master, manifest, name)
            return _judged(machine, master, manifest.vault, root.authority, union.stores, monitor)
    return Machine(machine, master)


def open_slots(slots: Slots, passphrase: str, where: str) -> MasterKey | None:
    """Return the key in the slot that the passphrase opens; None if it opens none.

    Raises FormatError, IntegrityError.
    """
    found = opened_by(slots, passphrase, where)
    return found[1] if found is not None else None


def opened_by(slots: Slots, passphrase: str, where: str) -> tuple[Mapping[str, Json], MasterKey] | None:
    """Return the slot that the passphrase opens, and its key. Raises as `open_slots`."""
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


def _machines_wanted(union: "LayeredStore", name: str) -> set[MachineId]:
    """Return the machine of that fingerprint, else all of that name. Raises UsageError point-unknown."""
    if FINGERPRINT.fullmatch(machine := parse_fingerprint(name)):
        return {machine}
    return _machines_named(union, name)


def _machines_named(union: "LayeredStore", name: str) -> set[MachineId]:
    found = set()
    for object_name in union.list("manifests"):
        with damage_aside():
            manifest = envelope.read(union.get_document(object_name), object_name).peek(Manifest)
            if manifest.machine_name == name:
                found.add(manifest.machine)
    if not found:
        raise UsageError(
            "point-unknown", "no machine of this name has points here", subject=name,
            hint="see `seed points` for the machines that have points here",
        )  # fmt: skip
    return found
