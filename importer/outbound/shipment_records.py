"""The shipments of a vault to machines, by its own papers.

The papers are the labels and inventories of the disks, and the set document that finishes a shipment.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from formats import layout
from formats.documents import envelope
from formats.documents.disk import Inventory, Label, SetDisk, SetDocument
from formats.documents.envelope import Signed
from formats.errors import UsageError, damage_aside
from formats.ids import HexDigest, SetId, hex_digest, random_id
from formats.monitor import Monitor, damage_told
from formats.rules.completeness import read_table
from formats.store.contract import Store
from formats.tables.holdings import Holding
from formats.words import numbered
from importer.vault.points import Point
from importer.vault.vault import Vault


@dataclass
class Outgoing:
    """One shipment: by disk number its labels, and the newest inventories with their digests.

    `finished` is the set document that finished it.
    """

    set: SetId
    labels: dict[int, tuple[Label, bytes]] = field(default_factory=dict)
    inventories: dict[int, tuple[Inventory, HexDigest]] = field(default_factory=dict)
    finished: tuple[SetDocument, bytes] | None = None

    @property
    def begun(self) -> int:
        """The time at which its first disk was begun."""
        return min(label.created for label, _ in self.labels.values())

    def closed(self) -> list[SetDisk]:
        """Return its disks that an inventory closes, in order, without those that were given up."""
        closed = [item for _, item in sorted(self.inventories.items()) if item[0].archives]
        return [set_disk(inventory, found) for inventory, found in closed]


def outgoing(vault: Vault, monitor: Monitor) -> list[Outgoing]:
    """Return all shipments, by the time at which they began. Raises StoreError."""
    found: dict[SetId, Outgoing] = {}
    for name in sorted(name for name, _ in vault.store.list(layout.SHIPMENTS)):
        with damage_told(monitor, name):
            signed = envelope.read(vault.store.get(name, length=envelope.SIZE_MAX + 1), name)
            _take(found, signed, vault.key)
    return sorted((one for one in found.values() if one.labels), key=lambda one: one.begun)


def _take(found: dict[SetId, Outgoing], signed: Signed, key: bytes) -> None:
    kind = signed.envelope.payloadType
    if kind == Label.payload_type():
        label = signed.verify(Label, key)
        found.setdefault(label.set, Outgoing(label.set)).labels.setdefault(label.number, (label, signed.data))
    elif kind == Inventory.payload_type():
        inventory = signed.verify(Inventory, key)
        newest = found.setdefault(inventory.set, Outgoing(inventory.set)).inventories
        if inventory.number not in newest or newest[inventory.number][0].generation < inventory.generation:
            newest[inventory.number] = inventory, signed.digest
    else:
        document = signed.verify(SetDocument, key)
        found.setdefault(document.set, Outgoing(document.set)).finished = document, signed.data


def of_point(vault: Vault, point: Point, monitor: Monitor, *, again: bool) -> Outgoing:
    """Return the newest shipment of a point, or a new one if there is none or `again` asks for it."""
    wanted = (point.manifest.machine, point.manifest.point)
    found = [
        one
        for one in outgoing(vault, monitor)
        if any((label.machine, label.point) == wanted for label, _ in one.labels.values())
    ]
    return Outgoing(SetId(random_id())) if again or not found else found[-1]


def next_disk(vault: Vault, point: Point, shipment: Outgoing) -> int:
    """Put the label of a further disk into the vault, and return its number.

    The label takes the number. If another station takes it at the same time, the lower name has it. The other
    station takes the next.
    """
    number = max(shipment.labels, default=0)
    while True:
        number += 1
        label = Label(
            vault=vault.id,
            vault_name=vault.name,
            machine=point.manifest.machine,
            machine_name=point.member.name,
            public_key=point.member.public_key,
            set=shipment.set,
            number=number,
            disk=random_id(),
            created=int(time.time()),
            authority=vault.descriptor.authority,
            point=point.manifest.point,
        )
        signed = vault.signed(label)
        prefix = layout.shipment_prefix(shipment.set, number)
        name = layout.numbered(prefix, 0, hex_digest(signed))
        vault.store.put_new(name, signed)
        if name == min(other for other, _ in vault.store.list(prefix) if layout.number_of(other) == 0):
            shipment.labels[number] = label, signed
            return number


def give_up(vault: Vault, shipment: Outgoing, number: int) -> None:
    """Record that no archive of the shipment lies on a disk any more. Raises UsageError.

    An inventory that lists nothing says so; only the vault has it. The error tells that the shipment has no
    such disk.
    """
    if number not in shipment.labels:
        raise UsageError(
            "usage", "the shipment has no disk of this number", subject=str(number),
            hint=f"it has {numbered('disk', sorted(shipment.labels))}",
        )  # fmt: skip
    label, signed = shipment.labels[number]
    prefix = layout.shipment_prefix(shipment.set, number)
    generation = max((layout.number_of(name) for name, _ in vault.store.list(prefix)), default=0) + 1
    inventory = Inventory(
        vault=label.vault,
        machine=label.machine,
        set=label.set,
        number=number,
        disk=label.disk,
        label=hex_digest(signed),
        generation=generation,
        created=int(time.time()),
        archives=0,
        archive_bytes=0,
        tables=(),
        objects=(),
    )
    data = vault.signed(inventory)
    vault.store.put_new(layout.numbered(prefix, generation, hex_digest(data)), data)
    shipment.inventories[number] = inventory, hex_digest(data)


def set_disk(inventory: Inventory, found: HexDigest) -> SetDisk:
    """Return a disk's entry of a set document, by the inventory that closes the disk and its digest."""
    return SetDisk(
        number=inventory.number,
        disk=inventory.disk,
        label=inventory.label,
        generation=inventory.generation,
        inventory=found,
    )


def listed(store: Store, inventory: Inventory) -> Iterator[Holding]:
    """Yield the archives that an inventory lists, as far as `store` has its tables."""
    for table in inventory.tables:
        with damage_aside():
            yield from read_table(store, table)
