"""The documents of a disk: its label, the inventories that close it, the set that it belongs to."""

from formats.documents.codec import (
    Document,
    Record,
    flag,
    hexed,
    integer,
    many,
    member,
    nested,
    optional,
    text,
)
from formats.documents.vault import MACHINE_NAME, VAULT_NAME
from formats.ids import HexDigest, MachineId, PointId, SetId, VaultId

DISKS_MAX = 1000
OBJECTS_MAX = 4000
TAKEN_BACK_DAYS = 30  # for so many days the machine may take back that it gave up a set
TABLES_MAX = 8  # 65,536 archives each: half a million, 32 TiB


class Label(Document):
    """The first object on a disk. It states past facts only, and is never rewritten.

    `authority` is the public key of the vault's authority if the authority wrote the disk, and not the
    machine. Then the disk belongs to a shipment, and carries the recovery `point` to the machine.
    """

    kind = "label"
    vault: VaultId = member(hexed(16))
    vault_name: str = member(text(50, VAULT_NAME))
    machine: MachineId = member(hexed(16))
    machine_name: str = member(text(63, MACHINE_NAME))
    public_key: str = member(hexed(32))
    set: SetId = member(hexed(16))
    number: int = member(integer(1, DISKS_MAX))
    disk: str = member(hexed(16))
    created: int = member(integer())
    authority: str | None = member(optional(hexed(32)), default=None)
    point: PointId | None = member(optional(hexed(16)), default=None)

    @property
    def signer(self) -> bytes:
        """The public key under which the label, the inventories and the set document of the disk are signed."""
        return bytes.fromhex(self.authority or self.public_key)


class ListedObject(Record):
    """One object of a disk that is no archive."""

    name: str = member(text(200))
    size: int = member(integer())
    digest: HexDigest = member(hexed(32))


class SetDisk(Record):
    """One disk of a set, and the lowest acceptable generation of its inventory."""

    number: int = member(integer(1, DISKS_MAX))
    disk: str = member(hexed(16))
    label: HexDigest = member(hexed(32))
    generation: int = member(integer(1))
    inventory: HexDigest = member(hexed(32))


class Verified(Record):
    """The result of reading a disk back on its machine, with keys: objects, their bytes, and opened records.

    `damaged` objects differed from the inventory, or were missing. `cached` says that the system's page cache
    may have answered in place of the medium.
    """

    objects: int = member(integer())
    bytes: int = member(integer())
    records: int = member(integer())
    damaged: int = member(integer())
    cached: bool = member(flag())
    finished: int = member(integer())


class Inventory(Document):
    """Generation `generation` of the list of all objects on a disk; the newest that verifies closes the disk.

    Archives stand in tables of their own (`tables`, see formats/tables/holdings.py), because a disk may hold
    hundreds of thousands. `others` are the set's other disks that were closed before, as far as the writer
    knew. With `verified` it certifies that the disk was read back after the generation before had closed it.
    """

    kind = "inventory"
    vault: VaultId = member(hexed(16))
    machine: MachineId = member(hexed(16))
    set: SetId = member(hexed(16))
    number: int = member(integer(1, DISKS_MAX))
    disk: str = member(hexed(16))
    label: HexDigest = member(hexed(32))
    generation: int = member(integer(1, 1_000_000))
    previous: HexDigest | None = member(optional(hexed(32)), default=None)
    created: int = member(integer())
    archives: int = member(integer())
    archive_bytes: int = member(integer())
    tables: tuple[ListedObject, ...] = member(many(nested(ListedObject), TABLES_MAX))
    objects: tuple[ListedObject, ...] = member(many(nested(ListedObject), OBJECTS_MAX))
    others: tuple[SetDisk, ...] | None = member(optional(many(nested(SetDisk), DISKS_MAX)), default=None)
    verified: Verified | None = member(optional(nested(Verified)), default=None)


class SetDocument(Document):
    """The statement that an export is finished, and the list of its disks. It is put last of all.

    A higher `revision` supersedes it: its machine has given up a disk.
    """

    kind = "set"
    vault: VaultId = member(hexed(16))
    machine: MachineId = member(hexed(16))
    set: SetId = member(hexed(16))
    revision: int = member(integer(1))
    point: PointId = member(hexed(16))
    manifest: HexDigest = member(hexed(32))
    created: int = member(integer())
    disks: tuple[SetDisk, ...] = member(many(nested(SetDisk), DISKS_MAX, rising="number"))


class Abandonment(Document):
    """Revision `number` of whether a machine has `given_up` a set that it did not finish (SWEEP-5).

    Signed by the machine.
    """

    kind = "abandonment"
    number: int = member(integer(1))
    vault: VaultId = member(hexed(16))
    machine: MachineId = member(hexed(16))
    set: SetId = member(hexed(16))
    created: int = member(integer())
    given_up: bool = member(flag())
