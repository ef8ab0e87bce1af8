"""The content of a disk's inventory, the same for each writer of disks.

The tables lie on the disk before the inventory that lists them does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from formats import layout
from formats.documents.disk import Inventory, Label, ListedObject, SetDisk
from formats.ids import HexDigest, digest, hex_digest
from formats.store.contract import Store
from formats.tables.holdings import Holding, encode_tables

_UNLISTED = ("archives/", "inventories/", "sets/")  # tables list archives; the others come later
_SELF_NAMED = ("indexes/", "needs/", "holdings/")


@dataclass(frozen=True)
class DiskContent:
    """All that an inventory lists: `tables` of archives, as name and bytes, and the other `objects`."""

    archives: int = 0
    archive_bytes: int = 0
    tables: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)
    objects: tuple[ListedObject, ...] = ()

    @classmethod
    def of(cls, archives: Sequence[Holding], store: Store) -> Self:
        """Return the content of a disk with these archives; `store` has its other objects.

        This deletes torn objects, as far as a name is a digest: no document may list them.
        Raises StoreError, MediaError.
        """
        tables = tuple((layout.holdings_name(digest(data)), data) for data in encode_tables(archives))
        current = {name for name, _ in tables}
        objects = []
        for name, size in list(store.list("")):
            if name == "label" or name in current or name.startswith(_UNLISTED):
                continue
            found = hex_digest(store.get(name))
            if name.startswith(_SELF_NAMED) and not layout.is_name_of(name, found):
                store.delete(name)
                continue
            objects.append(ListedObject(name=name, size=size, digest=found))
        return cls(len(archives), sum(a.size for a in archives), tables, tuple(objects))

    def inventory(
        self,
        label: tuple[Label, HexDigest],
        generation: int,
        created: int,
        previous: HexDigest | None = None,
        others: tuple[SetDisk, ...] | None = None,
    ) -> Inventory:
        """Return the inventory that closes the disk of this label, given with its digest."""
        disk, found = label
        return Inventory(
            vault=disk.vault,
            machine=disk.machine,
            set=disk.set,
            number=disk.number,
            disk=disk.disk,
            label=found,
            generation=generation,
            previous=previous,
            created=created,
            archives=self.archives,
            archive_bytes=self.archive_bytes,
            tables=tuple(ListedObject(name=n, size=len(d), digest=hex_digest(d)) for n, d in self.tables),
            objects=self.objects,
            others=others,
        )
