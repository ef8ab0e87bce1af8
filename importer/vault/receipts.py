"""The receipts of a vault: the proof that disks came."""

from collections.abc import Iterable, Iterator
from functools import cache

from formats import layout
from formats.documents import envelope
from formats.documents.disk import Inventory, SetDisk, SetDocument
from formats.documents.job import Receipt
from formats.errors import damage_aside
from formats.ids import MachineId, SetId
from formats.monitor import Monitor, Tally
from formats.rules.completeness import Came
from importer.vault.vault import Vault


def receipts(vault: Vault, monitor: Monitor) -> list[Receipt]:
    """Return all receipts of the vault that verify."""
    return vault.view.documents("jobs", Receipt, monitor)


def came_to(vault: Vault) -> Came:
    """Return a function that tells which disks the vault has received.

    It believes the receipts. Where one is lost, it believes the registers, which list the inventories of received disks.
    The function raises StoreError.
    """
    newest = cache(lambda: generations(receipts(vault, Tally())))

    def came(document: SetDocument, disk: SetDisk) -> bool:
        if newest().get((document.machine, document.set, disk.number), -1) >= disk.generation:
            return True
        prefix = layout.received_prefix(document.machine, document.set, disk.number)
        names = vault.view.registered(document.machine, Tally()).entries
        return any(
            name.startswith(f"{prefix}/") and layout.number_of(name) >= disk.generation for name in names
        )

    return came


def generations(found: Iterable[Receipt]) -> dict[tuple[MachineId, SetId, int], int]:
    """Return the newest generation of each disk with a receipt; 0 if its inventory could not be read."""
    newest: dict[tuple[MachineId, SetId, int], int] = {}
    for receipt in found:
        disk = receipt.disk
        key = (disk.machine, disk.set, disk.number)
        newest[key] = max(newest.get(key, 0), disk.generation)
    return newest


def inventories(vault: Vault, found: Iterable[Receipt]) -> Iterator[Inventory]:
    """Yield the inventories of the disks with receipts, as far as the vault has them whole.

    Raises StoreError.
    """
    named = {
        layout.numbered(
            layout.received_prefix(r.disk.machine, r.disk.set, r.disk.number),
            r.disk.generation,
            r.disk.inventory,
        ): r.disk.inventory
        for r in found
    }
    for name, digest in named.items():
        with damage_aside():
            signed = envelope.read(vault.store.get(name, length=envelope.SIZE_MAX + 1), name)
            if signed.digest == digest:
                yield signed.peek(Inventory)
