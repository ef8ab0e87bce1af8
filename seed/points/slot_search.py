"""The key slots in some stores, in the order in which a passphrase is tried at them.

Any user with the right to create objects may add forged slots. A guess at each one takes a tenth of a second.
Forged slots never come before the slots of a machine that registered earlier:

1. Slots come first that their own machine signed: its public key stands in a membership or label, and gives its id.
2. Then cheap slots come before dear ones, and the newest slots of each machine before its older ones.
3. Then the machines follow each other by the store's time, the oldest first.
"""

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from formats import layout
from formats.documents import envelope
from formats.documents.disk import Label
from formats.documents.vault import Membership, Slots
from formats.errors import OffseedError, damage_aside, is_damage
from formats.ids import MachineId, machine_id
from formats.keyed.slots import DEFAULT_COST, Slot, slot_from_json
from formats.monitor import Monitor, damage_told

if TYPE_CHECKING:
    from seed.points.layered_store import LayeredStore

AT_ONCE = 16  # requests to a storage service


class FoundSlot(NamedTuple):
    """A key slot.

    Its machine has `rank` slots that are tried earlier, and its first object came at the time `age`.
    """

    machine: MachineId
    where: str
    slot: Slot
    is_signed: bool
    rank: int
    age: float

    @property
    def is_dear(self) -> bool:
        """Whether a guess costs more than at this program's own slots."""
        return self.slot.cost.work > DEFAULT_COST.work

    @property
    def turn(self) -> tuple[bool, bool, int, float]:
        """The place in the order of all slots."""
        return not self.is_signed, self.is_dear, self.rank, self.age


@dataclass(frozen=True)
class _Object:
    """An object with slots, and the store's time of it. `found` is the fault if it could not be read."""

    name: str
    written: float
    found: envelope.Signed | OffseedError

    @property
    def machine(self) -> MachineId:
        return _machine_of(self.name)

    def is_signed_by(self, key: bytes | None) -> bool:
        if key is None or not isinstance(self.found, envelope.Signed):
            return False
        with damage_aside():
            return self.found.verify(Slots, key).machine == self.machine
        return False


def find_slots(
    union: "LayeredStore", wanted: Collection[MachineId] | None, monitor: Monitor
) -> list[FoundSlot]:
    """Return the slots of the `wanted` machines, or of all, in the order of the guesses.

    A damaged object is a finding. Raises StoreError.
    """
    names = [name for name in union.list("slots") if wanted is None or _machine_of(name) in wanted]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        objects = list(pool.map(lambda name: _read(union, name), names))
        machines = sorted({one.machine for one in objects})
        keys = dict(zip(machines, pool.map(lambda machine: _key_of(union, machine), machines), strict=True))
    found: list[FoundSlot] = []
    for machine in machines:
        found += _of_machine([one for one in objects if one.machine == machine], keys[machine], monitor)
    return sorted(found, key=lambda slot: slot.turn)


def _of_machine(objects: Collection[_Object], key: bytes | None, monitor: Monitor) -> Iterator[FoundSlot]:
    """Yield the slots in a machine's objects: the newest signed revision first, then the oldest object."""
    age = min(one.written for one in objects)
    signed = {one.name for one in objects if one.is_signed_by(key)}
    rank = 0
    for one in sorted(objects, key=lambda one: one.name, reverse=True):
        if one.name in signed:
            for slot in _slots_in(one, monitor):
                yield FoundSlot(one.machine, one.name, slot, True, rank, age)
                rank += 1
    for one in sorted(objects, key=lambda one: one.written):
        if one.name not in signed:
            for slot in _slots_in(one, monitor):
                yield FoundSlot(one.machine, one.name, slot, False, rank, one.written)
                rank += 1


def _slots_in(one: _Object, monitor: Monitor) -> Iterator[Slot]:
    with damage_told(monitor, one.name):
        if isinstance(one.found, OffseedError):
            raise one.found
        for slot in one.found.peek(Slots).slots:
            with damage_told(monitor, one.name):
                yield slot_from_json(dict(slot), one.name)


def _read(union: "LayeredStore", name: str) -> _Object:
    """Read an object with slots. Raises StoreError if more is wrong than that object."""
    times = [time for store in union.stores if (time := store.written(name)) is not None]
    written = min((time.timestamp() for time in times), default=0.0)
    try:
        return _Object(name, written, envelope.read(union.get_document(name), name))
    except OffseedError as error:
        if not is_damage(error):
            raise
        return _Object(name, written, error)


def _key_of(union: "LayeredStore", machine: MachineId) -> bytes | None:
    """Return the public key of a machine, from a membership or a label, or None if neither has it.

    The digest of the key is the machine's id.
    """
    for store in union.stores:
        for name, _ in store.list(layout.member_prefix(machine)):
            with damage_aside():
                key = bytes.fromhex(envelope.read(union.get_document(name), name).peek(Membership).public_key)
                if machine_id(key) == machine:
                    return key
        with suppress(OffseedError):  # a vault has none
            data = store.get("label", length=envelope.SIZE_MAX + 1)
            key = bytes.fromhex(envelope.read(data, "label").peek(Label).public_key)
            if machine_id(key) == machine:
                return key
    return None


def _machine_of(name: str) -> MachineId:
    return MachineId(name.split("/")[1])
