"""One disk of a shipment while it is written: first the label, then objects, then an inventory.

The inventory closes the disk as far as it is written.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from formats import layout
from formats.disks import set_folder
from formats.documents import envelope
from formats.documents.disk import Inventory, Label
from formats.errors import MediaError, NameHeldByOtherError, NotFoundError, damage_aside
from formats.ids import ArchiveName, HexDigest, SetId, digest, hex_digest
from formats.monitor import Monitor
from formats.rules.acceptance import DiskAcceptance
from formats.rules.disk_inventory import DiskContent
from formats.store.contract import Octets
from formats.store.failures import told
from formats.store.local import LocalStore
from formats.tables.archive import FOOTER
from formats.tables.holdings import Holding
from formats.tables.index import ROW
from formats.tables.sections import Section, encode_objects
from importer.outbound.shipment_records import listed
from importer.vault.vault import Vault, put_whole

RESERVE = 4 << 20  # kept for the objects that close the disk, beside the indexes of its archives
INDEXES_MAX = 8 << 20  # bytes of indexes held back for one index object
OPEN_MAX = 4 << 30  # bytes of archives that no inventory lists yet, or an eighth of the disk's

README = """This disk carries a backup from a vault back to the server it is of, made by offseed: folders below offseed/.

All content is encrypted; without its owner's passphrase nothing in it can be read. If you found this disk,
please do not change it. `importer inspect <this disk>` shows which server and which vault it belongs to.

To look at it:        importer inspect <this disk>
To restore from it:   seed restore latest --from <this disk> --target <folder>
                      (of several disks each by a --from of its own; what is newer comes from the vault, by --vault)
"""


class OutboundDisk:
    """The writer of one disk, for one thread at a time.

    `held` are the archives on the disk. `full` tells that an archive had no room on it.
    """

    def __init__(self, vault: Vault, label: Label, path: Path, monitor: Monitor) -> None:
        self.path = path
        self.label = label
        self.held: dict[ArchiveName, Holding] = {}
        self.full = False
        self.written = 0  # bytes of archives, by this run
        self._vault = vault
        self._monitor = monitor
        self._folder = set_folder(path, layout.disk_folder(label.set, label.number))
        self._sections: list[Section] = []
        self._held_bytes = 0
        self._open = 0
        self._closed: tuple[Inventory, HexDigest] | None = None  # None if an object was put since
        self.store = LocalStore.open(str(self._folder), writer=label.disk)

    @property
    def number(self) -> int:
        return self.label.number

    def is_at(self, subject: str) -> bool:
        """Return whether the subject of an error is this disk, or something on it."""
        return any(
            subject == at or subject.startswith(at + os.sep) for at in (str(self.path), self.store.address)
        )

    def begin(self, signed: bytes, known: Iterable[Holding]) -> None:
        """Put the label, and take up the archives of the point that earlier runs wrote.

        `known` are the archives of the point. Archives that an inventory lists count as listed; the others
        are read again. Raises MediaError, StoreError.
        """
        wanted = {layout.archive_name(holding.name): holding for holding in known}
        self.store.sweep()
        self.put("label", signed)
        rules = DiskAcceptance(self.label.set, self.label.number, str(self._folder))
        rules.read_label(signed)
        names = [name for name, _ in self.store.list("inventories")]
        closed = rules.read_inventories(((name, self.store.get(name)) for name in names), self._monitor)
        inventoried = {h.name: h for h in listed(self.store, closed.inventory)} if closed is not None else {}
        for name, size in list(self.store.list("archives")):
            holding = wanted.get(name)
            if (
                holding is not None
                and holding.size == size
                and (inventoried.get(holding.name) == holding or self._is_whole(name, size))
            ):
                self.held[holding.name] = holding
            else:  # torn, or no part of the point
                self.store.delete(name)
        self._held_bytes = sum(holding.size for holding in self.held.values())
        if closed is not None and self.held == inventoried:
            self._closed = closed.inventory, closed.digest
        self._put_readme()

    def has_room(self, holding: Holding) -> bool:
        """Return whether the disk has room for an archive. Raises MediaError, StoreError."""
        indexes = ROW.size * (sum(s.archive.records for s in self._sections) + holding.records)
        return self.store.free_bytes() >= holding.size + indexes + RESERVE

    def write(self, holding: Holding, data: memoryview) -> None:
        """Put a whole archive. Raises MediaError, StoreError.

        Every few gigabytes an inventory closes the disk, in case the run is killed.
        """
        self.put(layout.archive_name(holding.name), data)
        self.held[holding.name] = holding
        self.written += holding.size
        self._open += holding.size
        end = holding.size - FOOTER.size
        self._sections.append(Section(holding, bytes(data[end - holding.records * ROW.size : end])))
        if sum(len(s.index) for s in self._sections) > INDEXES_MAX:
            self._put_indexes()
        self._held_bytes += holding.size
        if self._open > max(OPEN_MAX, self._held_bytes // 8):
            self.close()

    def put(self, name: str, data: Octets) -> None:
        """Put an object; one that is whole already is not written again. Raises MediaError, StoreError."""
        if not self.store.lies_at(str(self._folder)):
            raise MediaError(
                "disk-missing", f"disk {self.number} is no longer there", subject=str(self.path),
                hint="attach it again and run the same command; it goes on from the written data",
            )  # fmt: skip
        try:
            new = self.store.put_new(name, data)
        except NameHeldByOtherError:  # torn, on a medium that does not keep its promises
            self.store.delete(name)
            new = self.store.put_new(name, data)
        if new:
            self._closed = None
            self._monitor.progress(stored=len(data))

    def close(self) -> tuple[Inventory, HexDigest]:
        """Close the disk by the next inventory, and return it with its digest. Raises MediaError, StoreError.

        The vault keeps the inventory as well.
        """
        if self._closed is not None:
            return self._closed
        self._put_indexes()
        content = DiskContent.of([*self.held.values()], self.store)
        for name, data in content.tables:
            self.put(name, data)
            put_whole(self._vault, name, data)
        prefix = layout.shipment_prefix(self.label.set, self.number)
        used = max((layout.number_of(name) for name, _ in self.store.list("inventories")), default=0)
        known = self._vault.view.look(prefix, Inventory, self._vault.key, self._monitor)
        generation = max(used + 1, known.next_number)
        label = self.label, hex_digest(self.store.get("label"))
        inventory = content.inventory(label, generation, self._vault.now())
        signed = self._vault.signed(inventory)
        self._vault.store.put_new(layout.numbered(prefix, generation, hex_digest(signed)), signed)
        self.put(layout.numbered("inventories", generation, hex_digest(signed)), signed)
        self._open = 0
        self._closed = inventory, hex_digest(signed)
        return self._closed

    def _put_indexes(self) -> None:
        """Put index objects, so that a reader need not read the ends of all archives."""
        for data in encode_objects(self._sections):
            self.put(layout.index_name(digest(data)), data)
        self._sections = []

    def _is_whole(self, name: str, size: int) -> bool:
        with damage_aside():
            data = self.store.get(name)
            self._monitor.progress(kept=size)
            return name == layout.archive_name(digest(data))
        return False

    def _put_readme(self) -> None:
        readme = self.path / layout.DISK_README
        with told(str(readme)), suppress(FileExistsError), open(readme, "x", encoding="utf-8") as file:
            file.write(README)


def label_at(path: Path, disk_set: SetId, number: int) -> bytes | None:
    """Return the unread label in the disk's folder of that set and number, or None.

    Raises MediaError, StoreError.
    """
    folder = set_folder(path, layout.disk_folder(disk_set, number))
    with LocalStore.open(str(folder), read_only=True) as store:
        try:
            return store.get("label", length=envelope.SIZE_MAX + 1)
        except NotFoundError:
            return None
