"""The shipments of a vault to machines, by its own papers.

The papers are the labels and inventories of the disks, and the set document that finishes a shipment.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from formats import layout
from formats.documents.disk import Inventory, Label, SetDisk, SetDocument
from formats.errors import UsageError, damage_aside
from formats.ids import HexDigest, SetId, hex_digest, random_id
from formats.monitor import Finding, Monitor, Tally
from formats.rules.completeness import read_table
from formats.rules.disk_inventory import DiskContent
from formats.store.contract import Store
from formats.tables.holdings import Holding
from formats.view.facts import Fact
from formats.words import numbered
from importer.vault.points import VaultPoint
from importer.vault.vault import Vault


@dataclass
class OutgoingShipment:
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


def outgoing(vault: Vault, monitor: Monitor) -> list[OutgoingShipment]:
    """Return all shipments, by the time at which they began. Raises StoreError."""
    found: dict[SetId, OutgoingShipment] = {}
    damaged = set[str]()
    for kind in (Label, Inventory, SetDocument):
        look = vault.view.look(layout.SHIPMENTS, kind, vault.key, Tally())
        damaged |= set(look.damaged)
        for fact in look.facts:
            _take(found, fact)
    for name in sorted(damaged):
        monitor.finding(
            Finding(code="object-damaged", subject=name, detail="its bytes are not those of its name")
        )
    return sorted((one for one in found.values() if one.labels), key=lambda one: one.begun)


def _take(found: dict[SetId, OutgoingShipment], fact: Fact[Any]) -> None:
    document, signed = fact.document, fact.signed
    one = found.setdefault(document.set, OutgoingShipment(document.set))
    if isinstance(document, Label):
        one.labels.setdefault(document.number, (document, signed.data))
    elif isinstance(document, Inventory):
        newest = one.inventories.get(document.number)
        if newest is None or newest[0].generation < document.generation:
            one.inventories[document.number] = document, signed.digest
    else:
        one.finished = document, signed.data


def of_point(vault: Vault, point: VaultPoint, monitor: Monitor, *, again: bool) -> OutgoingShipment:
    """Return the newest shipment of a point, or a new one if there is none or `again` asks for it."""
    wanted = (point.manifest.machine, point.manifest.point)
    found = [
        one
        for one in outgoing(vault, monitor)
        if any((label.machine, label.point) == wanted for label, _ in one.labels.values())
    ]
    return OutgoingShipment(SetId(random_id())) if again or not found else found[-1]


def next_disk(vault: Vault, point: VaultPoint, shipment: OutgoingShipment) -> int:
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
            created=vault.now(),
            authority=vault.descriptor.authority,
            point=point.manifest.point,
        )
        signed = vault.signed(label)
        prefix = layout.shipment_prefix(shipment.set, number)
        name = layout.numbered(prefix, 0, hex_digest(signed))
        vault.store.put_new(name, signed)
        look = vault.view.look(prefix, Label, vault.key, Tally())  # anybody may have put junk there
        if name == min(fact.name for fact in look.facts):
            shipment.labels[number] = label, signed
            return number


def give_up(vault: Vault, shipment: OutgoingShipment, number: int) -> None:
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
    generation = vault.view.look(prefix, Inventory, vault.key, Tally()).next_number
    inventory = DiskContent().inventory((label, hex_digest(signed)), generation, vault.now())
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
