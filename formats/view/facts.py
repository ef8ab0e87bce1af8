"""The values of the view: facts, the look at a prefix, the pins of a home, the registered documents."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from formats import layout
from formats.documents import envelope
from formats.documents.codec import Document
from formats.documents.register import Register, RegisterEntry

D = TypeVar("D", bound=Document)


@dataclass(frozen=True)
class Fact(Generic[D]):
    """A document that verified, under its name; `from_copy` if its own object is damaged or gone."""

    name: str
    document: D
    signed: envelope.Signed
    from_copy: bool = False


@dataclass(frozen=True)
class Look(Generic[D]):
    """All names below one prefix, by their classes; the facts in the order of their names."""

    facts: tuple[Fact[D], ...] = ()
    unreadable: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()

    @property
    def newest(self) -> Fact[D] | None:
        """The fact of the highest number, None if there is none."""
        return max(self.facts, key=lambda fact: layout.number_of(fact.name), default=None)

    @property
    def next_number(self) -> int:
        """The number after the highest that a fact has or had; a stranger's number counts for nothing."""
        names = (*(fact.name for fact in self.facts), *self.unreadable)
        return max(map(layout.number_of, names), default=0) + 1

    @property
    def hidden(self) -> str | None:
        """The name of an unreadable document that is newer than every fact, None if there is none.

        Nothing older takes its place: a machine that was revoked would come back.
        """
        last = max(self.unreadable, key=layout.number_of, default=None)
        known = layout.number_of(self.newest.name) if self.newest else -1
        return last if last is not None and layout.number_of(last) > known else None

    @property
    def holding(self) -> D | None:
        """The document of the highest number; None if there is none, or if a newer one cannot be read."""
        return self.newest.document if self.newest is not None and self.hidden is None else None

    @property
    def damaged(self) -> tuple[str, ...]:
        return (*self.unreadable, *self.candidates)


class State(Enum):
    """The reasons for which an object is no fact."""

    GONE = "nothing is there"
    DAMAGED = "its bytes are not those of its name"
    STRANGE = "its bytes are those of its name, and the key did not sign them"


@dataclass(frozen=True)
class Pin:
    """The last register of a subject that this home has signed or seen, and the key id of its machine."""

    number: int
    digest: str
    key_id: str | None


@dataclass(frozen=True)
class Registrations:
    """The entries of all registers of a subject, by name.

    Not `whole` where one of them cannot be read. `forgotten` are those that were accepted as lost.
    """

    entries: Mapping[str, RegisterEntry]
    facts: tuple[Fact[Register], ...]
    last: Fact[Register] | None
    whole: bool
    key_id: str | None
    forgotten: tuple[RegisterEntry, ...] = ()
