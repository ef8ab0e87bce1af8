"""The register: the authority's list of the documents that it has verified, so that their loss is noticed."""

from typing import Self

from formats.documents.codec import (
    Document,
    Record,
    choice,
    hexed,
    integer,
    many,
    member,
    nested,
    optional,
    text,
)
from formats.ids import PointId, VaultId

ENTRIES_MAX = 4000


class RegisterEntry(Record):
    """The name of a document, which ends in its digest.

    The entry of a manifest also has its point, and the entry of a membership its key id.
    """

    name: str = member(text(200))
    point: PointId | None = member(optional(hexed(16)), default=None)
    key_id: str | None = member(optional(hexed(16)), default=None)

    @classmethod
    def of(cls, name: str) -> Self:
        """Return the entry of a document of which only the name is known."""
        return cls(name=name)


class Register(Document):
    """Number `number` of the documents that the authority has verified: of one machine, or of the vault itself.

    All registers of a `subject` add up, and each has the name of the one before in `previous`. A document in
    one that is gone or damaged later was lost, unless it is among the `forgotten`: for these the operator has
    ended the wait.
    """

    kind = "register"
    number: int = member(integer(1))
    vault: VaultId = member(hexed(16))
    subject: str = member(text(32))
    role: str = member(choice("authority", "station"))
    created: int = member(integer())
    previous: str | None = member(optional(text(200)), default=None)
    forgotten: tuple[str, ...] = member(many(text(200), ENTRIES_MAX))
    entries: tuple[RegisterEntry, ...] = member(many(nested(RegisterEntry), ENTRIES_MAX))
