"""The shipments of a vault to machines, by its own papers: labels and inventories of their disks, and what finishes them."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from formats import layout
from formats.documents import envelope
from formats.documents.disk import Inventory, Label, SetDisk, SetDocument
from formats.documents.envelope import Signed
from formats.errors import damage_aside
from formats.ids import ArchiveName, HexDigest, SetId, hex_digest
from formats.monitor import Monitor, damage_told
from formats.tables.holdings import TABLE_SIZE_MAX, decode_table
from importer.vault import Vault


@dataclass
class Outgoing:
    """One shipment: by disk number its labels, and the newest inventories with their digests; the document that finished it."""

    set: SetId
    labels: dict[int, tuple[Label, bytes]] = field(default_factory=dict)
    inventories: dict[int, tuple[Inventory, HexDigest]] = field(default_factory=dict)
    finished: SetDocument | None = None

    @property
    def begun(self) -> int:
        """When its first disk was begun."""
        return min(label.created for label, _ in self.labels.values())

    def closed(self) -> list[SetDisk]:
        """Its disks that an inventory closes, in order."""
        return [set_disk(inventory, found) for _, (inventory, found) in sorted(self.inventories.items())]


def outgoing(vault: Vault, monitor: Monitor) -> list[Outgoing]:
    """All shipments, by the time at which they began. Raises StoreError."""
    found: dict[SetId, Outgoing] = {}
    for name, _ in vault.store.list(layout.SHIPMENTS):
        with damage_told(monitor, name):
            signed = envelope.read(vault.store.get(name, length=envelope.SIZE_MAX + 1), name)
            _take(found, signed, vault.key)
    return sorted((one for one in found.values() if one.labels), key=lambda one: one.begun)


def _take(found: dict[SetId, Outgoing], signed: Signed, key: bytes) -> None:
    kind = signed.envelope.payloadType
    if kind == Label.payload_type():
        label = signed.verify(Label, key)
        found.setdefault(label.set, Outgoing(label.set)).labels[label.number] = label, signed.data
    elif kind == Inventory.payload_type():
        inventory = signed.verify(Inventory, key)
        newest = found.setdefault(inventory.set, Outgoing(inventory.set)).inventories
        if inventory.number not in newest or newest[inventory.number][0].generation < inventory.generation:
            newest[inventory.number] = inventory, signed.digest
    else:
        document = signed.verify(SetDocument, key)
        found.setdefault(document.set, Outgoing(document.set)).finished = document


def set_disk(inventory: Inventory, found: HexDigest) -> SetDisk:
    """What a set document says of a disk, by the inventory that closes it and its digest."""
    return SetDisk(
        number=inventory.number,
        disk=inventory.disk,
        label=inventory.label,
        generation=inventory.generation,
        inventory=found,
    )


def listed(vault: Vault, inventory: Inventory) -> Iterator[ArchiveName]:
    """The archives on a disk, by an inventory, as far as the vault has its tables: the others are written again."""
    for table in inventory.tables:
        with damage_aside():
            data = vault.store.get(table.name, length=TABLE_SIZE_MAX + 1)
            if hex_digest(data) == table.digest:
                yield from (holding.name for holding in decode_table(data, table.name))
