"""The importer's documents about its work: the job that pins, the receipt that ends it, and the validation."""

from formats.documents.codec import (
    Document,
    Record,
    choice,
    flag,
    hexed,
    integer,
    many,
    member,
    nested,
    optional,
    text,
)
from formats.documents.disk import DISKS_MAX
from formats.ids import HexDigest, MachineId, SetId, VaultId


class JobDisk(Record):
    machine: MachineId = member(hexed(16))
    set: SetId = member(hexed(16))
    number: int = member(integer(1, DISKS_MAX))
    generation: int = member(integer(0))
    inventory: HexDigest = member(hexed(32))


class ImportJob(Document):
    """One run of import over some disks.

    It is put before the first archive, and pins the archives that they bring.
    """

    kind = "job"
    vault: VaultId = member(hexed(16))
    job: str = member(hexed(16))
    role: str = member(choice("authority", "station"))
    started: int = member(integer())
    disks: tuple[JobDisk, ...] = member(many(nested(JobDisk), DISKS_MAX))


class Receipt(Document):
    """The result of the import of one disk.

    `whole`: the vault holds everything that this inventory lists and needs.
    """

    kind = "receipt"
    vault: VaultId = member(hexed(16))
    job: str = member(hexed(16))
    role: str = member(choice("authority", "station"))
    disk: JobDisk = member(nested(JobDisk))
    finished: int = member(integer())
    whole: bool = member(flag())
    copied: int = member(integer())
    copied_bytes: int = member(integer())
    already: int = member(integer())
    not_needed: int = member(integer())
    findings: int = member(integer())


class Validation(Document):
    """Run `number` of reading everything that a vault holds.

    The next run starts `after` this name, if there is one.
    """

    kind = "validation"
    number: int = member(integer(1))
    vault: VaultId = member(hexed(16))
    role: str = member(choice("authority", "station"))
    started: int = member(integer())
    finished: int = member(integer())
    objects: int = member(integer())
    bytes: int = member(integer())
    damaged: int = member(integer())
    sampled: bool = member(flag())
    after: str | None = member(optional(text(200)), default=None)
