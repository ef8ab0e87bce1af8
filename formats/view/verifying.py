"""The verification of documents: each is a fact only if its bytes, its signer and its members agree with its name.

A signature alone does not suffice. Somebody may have copied a genuine document to another name or vault.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from formats import layout
from formats.documents import envelope
from formats.documents.codec import Document
from formats.errors import FormatError, IntegrityError, NotFoundError, OffseedError, is_damage
from formats.ids import VaultId, hex_digest
from formats.store.contract import Guarded, Store
from formats.view.facts import Fact, State

D = TypeVar("D", bound=Document)

_TAIL = 4 << 10  # bytes at the end of an envelope, where its signatures lie
_MANY = 8  # documents that are read at once
_SMALL = 64 << 10  # a smaller document is read without a look at its end
SUBJECTS = ("machine", "key_id", "set", "job", "subject")  # the members that a name's folders repeat
# The member that the number in a name repeats, unless it is `number`; a label's name repeats none.
NUMBERS = {"manifest": "sequence", "inventory": "generation", "label": ""}


class Verifier:
    """The reader of one vault's documents. It verifies a document only once."""

    def __init__(self, store: Store, authority: bytes, vault: VaultId, since: int) -> None:
        """Take `authority` and `vault`, known independently of the store.

        A document that the authority signed before `since` is a stranger's.
        """
        self._store = store
        self._authority = authority
        self._vault = vault
        self._since = since
        self._known: dict[tuple[str, type[Document], bytes], Fact[Any]] = {}
        self._strange: set[tuple[str, type[Document], bytes]] = set()

    def forget(self, name: str) -> None:
        """Read a document anew when it is next requested."""
        self._known = {at: fact for at, fact in self._known.items() if at[0] != name}
        self._strange = {at for at in self._strange if at[0] != name}

    def facts(
        self, wanted: Sequence[tuple[str, int]], kind: type[D], key: bytes
    ) -> Iterable[tuple[str, Fact[D] | State]]:
        """Return each name with its fact or state; behind a network, read several at once."""

        def fact(item: tuple[str, int]) -> tuple[str, Fact[D] | State]:
            return item[0], self.fact(*item, kind, key)

        if len(wanted) < _MANY or not isinstance(self._store, Guarded):
            return map(fact, wanted)
        from concurrent.futures import ThreadPoolExecutor  # takes long to load

        with ThreadPoolExecutor(_MANY, thread_name_prefix="view") as pool:
            return list(pool.map(fact, wanted))

    def fact(self, name: str, size: int, kind: type[D], key: bytes) -> Fact[D] | State:
        at = (name, kind, key)
        if at in self._known:
            return self._known[at]
        if at in self._strange:
            return State.STRANGE
        found = self._read(name, name, size, kind, key)
        if not isinstance(found, Fact) and layout.is_copied(name):
            other = layout.copy_name(name)
            copy = self._read(name, other, self._store.head(other) or 0, kind, key)
            if isinstance(copy, Fact):
                found = replace(copy, from_copy=True)
            elif found is State.GONE:
                found = copy
        if isinstance(found, Fact):
            self._known[at] = found
        elif found is State.STRANGE:
            self._strange.add(at)
        return found

    def _read(self, name: str, place: str, size: int, kind: type[D], key: bytes) -> Fact[D] | State:
        """Return the document of that name from one of its places.

        A stranger's document is not parsed if its end shows already that it is a stranger's.
        """
        if not size:
            return State.GONE
        if size > envelope.SIZE_MAX:
            return State.STRANGE
        try:
            if size > _SMALL and not _is_signed_by(self._store.get(place, size - _TAIL, _TAIL), kind, key):
                return State.STRANGE
            data = self._store.get(place, length=envelope.SIZE_MAX + 1)
        except NotFoundError:
            return State.GONE
        except OffseedError as error:
            if not is_damage(error) and error.code != "denied":
                raise
            return State.DAMAGED
        if not layout.is_name_of(name, hex_digest(data)):
            return State.DAMAGED
        try:
            if not _is_signed_by(data[-_TAIL:], kind, key):
                return State.STRANGE
            signed = envelope.read(data, name)
            document = signed.verify(kind, key)
        except (FormatError, IntegrityError):
            return State.STRANGE
        number = getattr(document, NUMBERS.get(kind.kind, "number"), None)
        if (
            getattr(document, "vault", None) != self._vault
            or number not in (None, layout.number_of(name))
            or not _is_named(name, document)
            or (key == self._authority and _time_of(document) < self._since)
        ):
            return State.STRANGE
        return Fact(name, document, signed)


def _is_named(name: str, document: Document) -> bool:
    """Return whether the machine, set, job or key in a name is the document's own.

    Somebody may have copied the genuine document of another machine there.
    """
    folders = name.split("/")[1:-1]
    known = {getattr(document, member, None) for member in SUBJECTS}
    return name.startswith(f"{layout.REPLACEMENTS.partition('/')[0]}/") or all(
        folder.partition("-")[0] in known for folder in folders
    )


def _time_of(document: Document) -> int:
    """Return the time at which a document of the authority was signed, as it says itself."""
    return max(
        int(getattr(document, name, 0)) for name in ("created", "since", "issued", "started", "finished")
    )


def _is_signed_by(tail: bytes, kind: type[Document], key: bytes) -> bool:
    """Return whether the end of an envelope names this kind and this key. It proves no signature."""
    return kind.payload_type().encode() in tail and envelope.key_name(key).encode() in tail
