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
from typing import TypeVar

from formats import layout
from formats.documents.codec import Document
from formats.documents.register import Register, RegisterEntry
from formats.ids import HexDigest, MachineId, VaultId
from formats.monitor import Finding, Monitor, Tally
from formats.store.contract import Store
from formats.view.copies import is_there, listed_twice
from formats.view.facts import Fact, Look, Pin, Registrations, State
from formats.view.verifying import Verifier
from formats.words import counted

D = TypeVar("D", bound=Document)

# The numbers that names have. Kinds that lie below one prefix are told apart by them.
NUMBERS = range(10**10)
NUMBERS_OF = {
    "label": range(1),
    "inventory": range(1, 10**10),
    "job": range(2),
    "receipt": range(2, 10**10),
}


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
        self.authority = authority
        self.vault = vault
        self.pins = pins or {}
        self.since = since
        self._verifier = Verifier(store, authority, vault, since)
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
        number: int | None = None,
    ) -> Look[D]:
        """Return everything below `prefix` as documents of one `kind` that `key` must have signed.

        With `number`, look only at that one. Registered documents that are `excused` may be gone. Damage
        becomes findings, and strangers become one notice a prefix. Raises StoreError.
        """
        listed = listed_twice(self.store, prefix)
        vouched = self._vouched(prefix, listed, monitor, excused)
        wanted = [
            (name, size)
            for name, size in _with(listed, vouched)
            if (found := layout.number_of(name)) in NUMBERS_OF.get(kind.kind, NUMBERS)
            and number in (None, found)
        ]
        look = self._sorted_out(wanted, vouched, kind, key)
        self._tell(prefix, look, monitor)
        return look

    def look_at_machines(self, head: str, kind: type[D], monitor: Monitor) -> dict[MachineId, Look[D]]:
        """Return the looks at the authority's documents of all machines, at `head` and the machine's id.

        The names are listed once for all, so the folders of strangers cost little. Machines that only a
        register or this home knows are among them. Raises StoreError.
        """
        listed, registers = (
            _by_subject(listed_twice(self.store, place)) for place in (head, layout.REGISTERS)
        )
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
        for name, found in self._verifier.facts(wanted, kind, key):
            if isinstance(found, Fact):
                facts.append(found)
            elif name in vouched:
                unreadable.append(name)
            elif found is State.DAMAGED:
                candidates.append(name)
            elif found is State.STRANGE:
                strangers.append(name)
        return Look(tuple(facts), tuple(unreadable), tuple(candidates), tuple(strangers))

    def newest(self, prefix: str, kind: type[D], key: bytes, monitor: Monitor) -> D | None:
        """Return the document of the highest number; None if there is none, or if a newer one cannot be read."""
        return self.look(prefix, kind, key, monitor).holding

    def documents(self, prefix: str, kind: type[D], monitor: Monitor) -> list[D]:
        """Return the documents of a kind below `prefix` that the authority signed."""
        return [fact.document for fact in self.look(prefix, kind, self.authority, monitor).facts]

    def registered(self, subject: str, monitor: Monitor) -> Registrations:
        """Return the entries in the registers of a machine, or in those of the `vault`.

        They are read once.
        """
        if subject not in self._registered:
            prefix = layout.register_prefix(subject)
            self._tell(prefix, self._read_registers(subject, listed_twice(self.store, prefix)), monitor)
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
        return [entry for entry in entries if not is_there(self.store, entry.name)]

    def forget(self, name: str) -> None:
        """Read a document anew when it is next requested: this command has written or deleted it."""
        self._registered.clear()
        self._verifier.forget(name)

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
            found = self._verifier.fact(name, size, Register, self.authority)
            if isinstance(found, Fact):
                vouched.update(filter(None, (found.document.previous,)))
                forgotten.update(found.document.forgotten)
        return vouched - forgotten

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
