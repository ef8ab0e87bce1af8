"""The verified view of a vault: the facts that its reader may take from the documents in it.

Any writer with the right to create objects can claim a name, a size and a number. The reader brings a key
that it holds independently. Each name below a prefix falls into one of four classes (REV-1):

- a *fact*: the bytes have the digest in the name, and the key signed them, for this vault and under this number;
- *unreadable*: a register of the authority vouches for the name, and its bytes are gone or damaged;
- a *candidate*: damaged, and nothing vouches for it; it may have rotted before anybody saw it;
- a *stranger*: somebody else wrote it. It is counted, and has no influence.

Documents that nothing else can replace lie in the vault twice. The reader uses the copy of a damaged one.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Generic, TypeVar

from formats import layout
from formats.documents import envelope
from formats.documents.codec import Document
from formats.documents.register import Register, RegisterEntry
from formats.errors import FormatError, IntegrityError, NotFoundError, OffseedError, damage_aside, is_damage
from formats.ids import HexDigest, MachineId, VaultId, hex_digest
from formats.monitor import Finding, Monitor, Tally
from formats.store.contract import Guarded, Store
from formats.words import counted

D = TypeVar("D", bound=Document)

_TAIL = 4 << 10  # bytes at the end of an envelope, where its signatures lie
_MANY = 8  # documents that are read at once
_SMALL = 64 << 10  # a smaller document is read without a look at its end
SUBJECTS = ("machine", "key_id", "set", "job", "subject")  # the members that a name's folders repeat
# The member that the number in a name repeats, unless it is `number`; a label's name repeats none.
NUMBERS = {"manifest": "sequence", "inventory": "generation", "label": ""}


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


class _State(Enum):
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


class View:
    """The view of a vault that one command has. It reads a document that it has verified only once."""

    def __init__(
        self,
        store: Store,
        authority: bytes,
        vault: VaultId,
        pins: Mapping[str, Pin] | None = None,
        *,
        own: Collection[MachineId] | None = None,
        since: int = 0,
    ) -> None:
        """Take `authority` and `vault`, known independently of the store, as are `pins`, by subject.

        A machine gives its `own` id. Candidates below other names are for the importer to report; to the
        machine they are a notice. A document that the authority signed before `since` is a stranger's: the vault
        was made again then (SEEN-6).
        """
        self.store = store
        self._own = own
        self._since = since
        self.authority = authority
        self.vault = vault
        self.pins = pins or {}
        self._known: dict[tuple[str, type[Document], bytes], Fact[Any]] = {}
        self._strange: set[tuple[str, type[Document], bytes]] = set()
        self._told: set[str] = set()
        self._registered: dict[str, Registrations] = {}

    def look(
        self,
        prefix: str,
        kind: type[D],
        key: bytes,
        monitor: Monitor,
        excused: Callable[[RegisterEntry], bool] | None = None,
        *,
        least: int = 0,
        most: int | None = None,
    ) -> Look[D]:
        """Return everything below `prefix` as documents of one `kind` that `key` must have signed.

        The numbers go from `least` to `most`. Registered documents that are `excused` may be gone. Damage
        becomes findings, and strangers become one notice a prefix. Raises StoreError.
        """
        listed = self._listed(prefix)
        vouched = self._vouched(prefix, listed, monitor, excused)
        look = self._sorted_out(
            [
                (name, size)
                for name, size in _with(listed, vouched)
                if least <= layout.number_of(name) and (most is None or layout.number_of(name) <= most)
            ],
            vouched,
            kind,
            key,
        )
        self._tell(prefix, look, monitor)
        return look

    def look_at_machines(self, head: str, kind: type[D], monitor: Monitor) -> dict[MachineId, Look[D]]:
        """Return the looks at the authority's documents of all machines, at `head` and the machine's id.

        The names are listed once for all, so the folders of strangers cost little. Machines that only a
        register or this home knows are among them. Raises StoreError.
        """
        listed, registers = _by_subject(self._listed(head)), _by_subject(self._listed(layout.REGISTERS))
        looks, passed, beside = dict[MachineId, Look[D]](), 0, 0
        for subject in sorted((listed.keys() | registers.keys() | self.pins.keys()) - {layout.VAULT}):
            if subject not in self._registered:
                read = self._read_registers(subject, registers.get(subject, {}))
                beside += self._tell_of_damage(layout.register_prefix(subject), read, monitor)
            prefix, names = f"{head}/{subject}", listed.get(subject, {})
            vouched = self._vouched(prefix, names, monitor, None)
            look = self._sorted_out(_with(names, vouched), vouched, kind, self.authority)
            passed += self._tell_of_damage(prefix, look, monitor)
            looks[MachineId(subject)] = look
        self._tell_of_strangers(head, passed, monitor)
        self._tell_of_strangers(layout.REGISTERS, beside, monitor)
        return looks

    def _sorted_out(
        self, wanted: Sequence[tuple[str, int]], vouched: Set[str], kind: type[D], key: bytes
    ) -> Look[D]:
        facts, unreadable, candidates, strangers = list[Fact[D]](), list[str](), list[str](), list[str]()
        for name, found in self._facts(wanted, kind, key):
            if isinstance(found, Fact):
                facts.append(found)
            elif name in vouched:
                unreadable.append(name)
            elif found is _State.DAMAGED:
                candidates.append(name)
            elif found is _State.STRANGE:
                strangers.append(name)
        return Look(tuple(facts), tuple(unreadable), tuple(candidates), tuple(strangers))

    def newest(self, prefix: str, kind: type[D], key: bytes, monitor: Monitor) -> D | None:
        """Return the document of the highest number; None if there is none, or if a newer one cannot be read."""
        return self.look(prefix, kind, key, monitor).holding

    def documents(
        self, prefix: str, kind: type[D], monitor: Monitor, least: int = 0, most: int | None = None
    ) -> list[D]:
        """Return the documents below `prefix` that the authority signed, of numbers from `least` to `most`."""
        look = self.look(prefix, kind, self.authority, monitor, least=least, most=most)
        return [fact.document for fact in look.facts]

    def registered(self, subject: str, monitor: Monitor) -> Registrations:
        """Return the entries in the registers of a machine, or in those of the `vault`.

        They are read once.
        """
        if subject not in self._registered:
            prefix = layout.register_prefix(subject)
            self._tell(prefix, self._read_registers(subject, self._listed(prefix)), monitor)
        return self._registered[subject]

    def _read_registers(self, subject: str, listed: Mapping[str, int]) -> Look[Register]:
        vouched = self._registers(subject, listed)
        found = self._sorted_out(_with(listed, vouched), vouched, Register, self.authority)
        entries: dict[str, RegisterEntry] = {}
        lost: dict[str, RegisterEntry] = {}
        key_id = self.pins[subject].key_id if subject in self.pins else None
        for fact in found.facts:
            if fact.document.subject == subject:
                lost |= {name: entries[name] for name in fact.document.forgotten if name in entries}
                entries = {
                    name: entry for name, entry in entries.items() if name not in fact.document.forgotten
                }
                entries |= {entry.name: entry for entry in fact.document.entries}
        key_id = key_id or next((entry.key_id for entry in entries.values() if entry.key_id), None)
        forgotten = tuple(entry for name, entry in lost.items() if name not in entries)
        whole = not found.unreadable
        self._registered[subject] = Registrations(
            entries, found.facts, found.newest, whole, key_id, forgotten
        )
        return found

    def lost(self, subject: str) -> list[RegisterEntry]:
        """Return the registered documents of a subject that are lost: their bytes lie in neither place.

        The result includes entries for lost registers themselves.
        """
        registers = self.look(layout.register_prefix(subject), Register, self.authority, Tally())
        entries = [
            *self.registered(subject, Tally()).entries.values(),
            *map(RegisterEntry.of, registers.unreadable),
        ]
        return [entry for entry in entries if not self._is_there(entry.name)]

    def forget(self, name: str) -> None:
        """Read a document anew when it is next requested: this command has written or deleted it."""
        self._registered.clear()
        self._known = {at: fact for at, fact in self._known.items() if at[0] != name}
        self._strange = {at for at in self._strange if at[0] != name}

    def _vouched(
        self,
        prefix: str,
        listed: Mapping[str, int],
        monitor: Monitor,
        excused: Callable[[RegisterEntry], bool] | None,
    ) -> Set[str]:
        head, _, subject = prefix.partition("/")
        if head == layout.REGISTERS:
            return self._registers(subject, listed)
        if (of := layout.subject_of(prefix)) is None:
            return frozenset()
        entries = self.registered(of, monitor).entries.values()
        below = (entry for entry in entries if entry.name.startswith(f"{prefix}/"))
        return {entry.name for entry in below if excused is None or not excused(entry)}

    def _registers(self, subject: str, listed: Mapping[str, int]) -> Set[str]:
        """Return the registers that later ones, or this home, vouch for."""
        vouched, forgotten = set[str](), set[str]()
        if (pin := self.pins.get(subject)) is not None:
            prefix = layout.register_prefix(subject)
            vouched.add(layout.numbered(prefix, pin.number, HexDigest(pin.digest)))
        for name, size in _with(listed, ()):
            found = self._fact(name, size, Register, self.authority)
            if isinstance(found, Fact):
                vouched.update(filter(None, (found.document.previous,)))
                forgotten.update(found.document.forgotten)
        return vouched - forgotten

    def _listed(self, prefix: str) -> dict[str, int]:
        """Return the names below a prefix and their sizes; 0 if only a copy has the name."""
        sizes = dict(self.store.list(prefix))
        if layout.is_copied(prefix):
            for name, _ in self.store.list(layout.copy_name(prefix)):
                sizes.setdefault(layout.copied_from(name), 0)
        return sizes

    def _facts(
        self, wanted: Sequence[tuple[str, int]], kind: type[D], key: bytes
    ) -> Iterable[tuple[str, "Fact[D] | _State"]]:
        """Return each name with its fact or state; behind a network, read several at once."""

        def fact(item: tuple[str, int]) -> tuple[str, "Fact[D] | _State"]:
            return item[0], self._fact(*item, kind, key)

        if len(wanted) < _MANY or not isinstance(self.store, Guarded):
            return map(fact, wanted)
        from concurrent.futures import ThreadPoolExecutor  # takes long to load

        with ThreadPoolExecutor(_MANY, thread_name_prefix="view") as pool:
            return list(pool.map(fact, wanted))

    def _fact(self, name: str, size: int, kind: type[D], key: bytes) -> "Fact[D] | _State":
        at = (name, kind, key)
        if at in self._known:
            return self._known[at]
        if at in self._strange:
            return _State.STRANGE
        found = self._read(name, name, size, kind, key)
        if not isinstance(found, Fact) and layout.is_copied(name):
            other = layout.copy_name(name)
            copy = self._read(name, other, self.store.head(other) or 0, kind, key)
            if isinstance(copy, Fact):
                found = replace(copy, from_copy=True)
            elif found is _State.GONE:
                found = copy
        if isinstance(found, Fact):
            self._known[at] = found
        elif found is _State.STRANGE:
            self._strange.add(at)
        return found

    def _read(self, name: str, place: str, size: int, kind: type[D], key: bytes) -> "Fact[D] | _State":
        """Return the document of that name from one of its places.

        A stranger's document is not parsed if its end shows already that it is a stranger's.
        """
        if not size:
            return _State.GONE
        if size > envelope.SIZE_MAX:
            return _State.STRANGE
        try:
            if size > _SMALL and not _is_signed_by(self.store.get(place, size - _TAIL, _TAIL), kind, key):
                return _State.STRANGE
            data = self.store.get(place, length=envelope.SIZE_MAX + 1)
        except NotFoundError:
            return _State.GONE
        except OffseedError as error:
            if not is_damage(error) and error.code != "denied":
                raise
            return _State.DAMAGED
        if not layout.is_name_of(name, hex_digest(data)):
            return _State.DAMAGED
        try:
            if not _is_signed_by(data[-_TAIL:], kind, key):
                return _State.STRANGE
            signed = envelope.read(data, name)
            document = signed.verify(kind, key)
        except (FormatError, IntegrityError):
            return _State.STRANGE
        number = getattr(document, NUMBERS.get(kind.kind, "number"), None)
        if (
            getattr(document, "vault", None) != self.vault
            or number not in (None, layout.number_of(name))
            or not _is_named(name, document)
            or (key == self.authority and _time_of(document) < self._since)
        ):
            return _State.STRANGE
        return Fact(name, document, signed)

    def _is_there(self, name: str) -> bool:
        """Return whether the bytes of a name are in one of its places, signed by anybody."""
        for place in layout.places_of(name):
            with damage_aside():
                if layout.is_name_of(name, hex_digest(self.store.get(place, length=envelope.SIZE_MAX + 1))):
                    return True
        return False

    def _tell(self, prefix: str, look: Look[D], monitor: Monitor) -> None:
        self._tell_of_strangers(prefix, self._tell_of_damage(prefix, look, monitor), monitor)

    def _tell_of_damage(self, prefix: str, look: Look[D], monitor: Monitor) -> int:
        """Make findings of damage that concerns the reader; return how many other objects were passed over."""
        for name in look.unreadable:
            detail = "it was there, and is gone or damaged; nothing older takes its place"
            monitor.finding(Finding(code="object-lost", subject=name, detail=detail))
        told = self._own is None or any(machine in prefix.split("/") for machine in self._own)
        for name in look.candidates if told else ():
            monitor.finding(
                Finding(code="object-damaged", subject=name, detail="its bytes are not those of its name")
            )
        return len(look.strangers) + (0 if told else len(look.candidates))

    def _tell_of_strangers(self, prefix: str, passed: int, monitor: Monitor) -> None:
        if passed and prefix not in self._told:
            self._told.add(prefix)
            count = counted(passed, "object")
            monitor.notice(f"{prefix}: {count} that somebody else put there; passed over")


def _with(listed: Mapping[str, int], vouched: Iterable[str]) -> list[tuple[str, int]]:
    """Return the names that are listed or vouched for, with their sizes; 0 if they are not listed."""
    return sorted((dict.fromkeys(vouched, 0) | dict(listed)).items())


def _by_subject(listed: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Return the names of each subject, which their second part gives."""
    found: dict[str, dict[str, int]] = {}
    for name, size in listed.items():
        found.setdefault(name.split("/")[1], {})[name] = size
    return found


def signed_at(store: Store, name: str) -> envelope.Signed | None:
    """Read a listed document; return None if it is gone by now, because prune may be at work.

    Raises FormatError, IntegrityError, StoreError, MediaError.
    """
    try:
        data = store.get(name, length=envelope.SIZE_MAX + 1)
    except NotFoundError:
        return None
    return envelope.read(data, name)


def put_document(store: Store, name: str, data: bytes) -> None:
    """Put a document, and its copy if nothing else can replace it. Raises the errors of `Store.put_new`."""
    for place in layout.places_of(name):
        store.put_new(place, data)


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
