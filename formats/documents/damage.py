"""The lacks of a vault, and their repair: the want list and the replacement.

A lost or damaged archive is never written again under its name. Other archives hold its remains, or records
that were made again. A replacement names these archives.
"""

from typing import Self

from formats.documents.codec import (
    Document,
    Record,
    blob,
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
from formats.ids import ArchiveName, Digest, HexDigest, VaultId
from formats.tables.archive import ARCHIVE_SIZE_MAX, ARCHIVE_SIZE_MIN
from formats.tables.holdings import Holding
from formats.tables.index import RECORDS_MAX

REPLACED_MAX = 1000
WANTED_OBJECTS_MAX = 1000


class ArchiveRow(Record):
    """An archive, as a row of a table of archives describes it."""

    name: HexDigest = member(hexed(32))
    index: HexDigest = member(hexed(32))
    size: int = member(integer(ARCHIVE_SIZE_MIN, ARCHIVE_SIZE_MAX))
    records: int = member(integer(1, RECORDS_MAX))
    archive_class: int = member(integer(1, 2))

    @classmethod
    def of(cls, holding: Holding) -> Self:
        return cls(
            name=HexDigest(holding.name.hex()),
            index=HexDigest(holding.index_digest.hex()),
            size=holding.size,
            records=holding.records,
            archive_class=holding.archive_class,
        )

    @property
    def holding(self) -> Holding:
        name, index = ArchiveName(bytes.fromhex(self.name)), Digest(bytes.fromhex(self.index))
        return Holding(name, index, self.size, self.records, self.archive_class)


class Replaced(Record):
    """The records of `archive` that lie in the archive `by` too, under the same ids.

    Their bits are set in `held`.
    """

    archive: ArchiveRow = member(nested(ArchiveRow))
    by: ArchiveRow = member(nested(ArchiveRow))
    held: bytes = member(blob((RECORDS_MAX + 7) // 8))


class Replacement(Document):
    """The archives that hold records of others. A machine may offer one; only the authority's counts.

    `copied` says that the authority copied the records itself. Only then may a healthy archive go because
    others hold its records. Of an offer that it accepted, the authority knows no more than the ids that the
    machine wrote.
    """

    kind = "replacement"
    vault: VaultId = member(hexed(16))
    key_id: str = member(hexed(16))
    role: str = member(choice("authority", "station", "machine"))
    created: int = member(integer())
    copied: bool = member(flag())
    replaced: tuple[Replaced, ...] = member(many(nested(Replaced), REPLACED_MAX))


class Wants(Document):
    """Revision `number` of the list of everything that the vault lacks of the machines with one master key.

    It wants `records` of `archives`, by a need list: `needs` is the digest of its root, and its bits are the
    wanted records. It wants small objects by their names.
    """

    kind = "wants"
    number: int = member(integer(1))
    vault: VaultId = member(hexed(16))
    key_id: str = member(hexed(16))
    role: str = member(choice("authority", "station"))
    created: int = member(integer())
    archives: int = member(integer())
    records: int = member(integer())
    needs: HexDigest | None = member(optional(hexed(32)), default=None)
    objects: tuple[str, ...] = member(many(text(200), WANTED_OBJECTS_MAX))
