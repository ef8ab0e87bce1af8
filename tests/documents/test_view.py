"""The verified view: every name is in one of four classes, and only verified documents decide anything."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from formats import layout
from formats.documents import envelope
from formats.documents.codec import Document
from formats.documents.envelope import SIZE_MAX
from formats.documents.register import Register, RegisterEntry
from formats.documents.vault import Descriptor, Membership
from formats.errors import FormatError
from formats.ids import MachineId, hex_digest
from formats.monitor import Tally
from formats.view.facts import Look, Pin
from formats.view.view import View
from tests.memory_store import MemoryStore
from tests.vectors.documents import AUTHORITY, AUTHORITY_KEY, LABEL, MACHINE, VAULT, samples

OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
_DESCRIPTOR, _MEMBERSHIP = samples()["descriptor"], samples()["membership"]
assert isinstance(_DESCRIPTOR, Descriptor)
assert isinstance(_MEMBERSHIP, Membership)
DESCRIPTOR: Descriptor = _DESCRIPTOR
MEMBERSHIP: Membership = _MEMBERSHIP
MEMBERS = layout.member_prefix(MACHINE)


def put(
    store: MemoryStore, number: int, *, by: Ed25519PrivateKey = AUTHORITY_KEY, named: int | None = None
) -> str:
    """Put a revision signed by `by`, under its own number or the number `named`."""
    return put_document(store, replace(MEMBERSHIP, number=number), number if named is None else named, by)


def put_document(
    store: MemoryStore, document: Document, number: int, by: Ed25519PrivateKey = AUTHORITY_KEY
) -> str:
    data = envelope.sign(document, by)
    name = layout.numbered(MEMBERS, number, hex_digest(data))
    store.put_new(name, data)
    return name


def register(
    store: MemoryStore,
    names: Iterable[str],
    number: int = 1,
    previous: str | None = None,
    forgotten: Iterable[str] = (),
) -> str:
    document = Register(
        number=number,
        vault=VAULT,
        subject=MACHINE,
        role="authority",
        created=1,
        previous=previous,
        forgotten=tuple(forgotten),
        entries=tuple(RegisterEntry(name=name, key_id=MEMBERSHIP.key_id) for name in names),
    )
    data = envelope.sign(document, AUTHORITY_KEY)
    name = layout.numbered(layout.register_prefix(MACHINE), number, hex_digest(data))
    store.put_new(name, data)
    return name


def spoil(store: MemoryStore, name: str) -> None:
    data = store.objects[name]
    store.objects[name] = data[:50] + bytes([data[50] ^ 1]) + data[51:]


def look(
    store: MemoryStore, tally: Tally | None = None, pins: dict[str, Pin] | None = None
) -> Look[Membership]:
    return View(store, AUTHORITY, VAULT, pins).look(MEMBERS, Membership, AUTHORITY, tally or Tally())


def newest(store: MemoryStore, pins: dict[str, Pin] | None = None) -> int | None:
    view = View(store, AUTHORITY, VAULT, pins)
    found = view.newest(MEMBERS, Membership, AUTHORITY, Tally())
    return found.number if found is not None else None


def test_of_nothing_there_is_no_newest() -> None:
    assert look(MemoryStore()) == Look()
    assert newest(MemoryStore()) is None
    assert look(MemoryStore()).next_number == 1


@pytest.mark.parametrize("order", [(1,), (1, 2, 3), (3, 1, 2), (2, 10, 9)])
def test_the_highest_holds_by_number_and_not_by_time_or_text(order: tuple[int, ...]) -> None:
    store = MemoryStore()
    for number in order:
        put(store, number)
    assert newest(store) == max(order)
    assert look(store).next_number == max(order) + 1


def test_of_two_with_one_number_the_first_by_name_holds_for_everybody() -> None:
    twins = [replace(MEMBERSHIP, since=since) for since in (1, 2)]
    found = []
    for order in (twins, twins[::-1]):
        store = MemoryStore()
        for twin in order:
            put_document(store, twin, twin.number)
        fact = look(store).newest
        assert fact is not None
        found.append(fact.signed.digest)
    assert found[0] == found[1] == min(hex_digest(envelope.sign(twin, AUTHORITY_KEY)) for twin in twins)


@pytest.mark.parametrize("size", [0, 64 << 10, SIZE_MAX])
def test_a_stranger_has_no_influence_and_one_line(size: int) -> None:
    store, tally = MemoryStore(), Tally()
    put(store, 1)
    forged = [put(store, number, by=OTHER_KEY) for number in (2, 9_999_999_999)]
    junk = b"x" * (size + 1)
    forged.append(layout.numbered(MEMBERS, 3, hex_digest(junk)))
    store.put_new(forged[-1], junk)
    found = look(store, tally)
    assert set(found.strangers) == set(forged)
    assert (found.unreadable, found.candidates, found.next_number) == ((), (), 2)
    assert newest(store) == 1
    assert tally.findings == []
    assert len(tally.notices) == 1


def test_a_strangers_document_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    for number in range(1, 40):
        data = envelope.sign(replace(MEMBERSHIP, number=number, counted=bytes(600_000 + number)), OTHER_KEY)
        store.put_new(layout.numbered(MEMBERS, number, hex_digest(data)), data)
    reads: list[int] = []
    get = store.get

    def counted(name: str, start: int = 0, length: int | None = None) -> bytes:
        data = get(name, start, length)
        reads.append(len(data))
        return data

    def refused(*_: object) -> envelope.Signed:
        raise AssertionError("a stranger's document was parsed")

    monkeypatch.setattr(store, "get", counted)
    monkeypatch.setattr(envelope, "read", refused)
    assert len(look(store).strangers) == 39
    assert max(reads) <= 4 << 10


@pytest.mark.parametrize("lie", ["kind", "number", "vault"])
def test_what_another_statement_signed_is_a_strangers(lie: str) -> None:
    """Count a genuine document of another kind, number or vault as a stranger's.

    The other vault belongs to the same operator.
    """
    store = MemoryStore()
    put(store, 1)
    if lie == "kind":
        name = put_document(store, LABEL, 5)
    elif lie == "number":
        name = put(store, 2, named=9)
    else:
        name = put_document(store, replace(MEMBERSHIP, number=5, vault=type(VAULT)("9" * 32)), 5)
    assert look(store).strangers == (name,)
    assert newest(store) == 1


def test_what_nobody_saw_and_is_damaged_may_have_been_one() -> None:
    store, tally = MemoryStore(), Tally()
    put(store, 1)
    name = put(store, 2)
    spoil(store, name)
    found = look(store, tally)
    assert (found.candidates, found.unreadable, found.hidden) == ((name,), (), None)
    assert [(f.code, f.subject) for f in tally.findings] == [("object-damaged", name)]
    assert newest(store) == 1


@pytest.mark.parametrize("how", ["damaged", "gone", "forged"])
def test_nothing_older_takes_the_place_of_one_that_was_there(how: str) -> None:
    """Let no older document take the place of a lost one.

    Otherwise a revoked machine would be active again, and a removed passphrase would open.
    """
    store, tally = MemoryStore(), Tally()
    names = [put(store, number) for number in (1, 2)]
    register(store, names)
    assert newest(store) == 2
    if how == "damaged":
        spoil(store, names[1])
    else:
        del store.objects[names[1]]
    if how == "forged":
        put(store, 2, by=OTHER_KEY)
    found = look(store, tally)
    assert (found.unreadable, found.hidden) == ((names[1],), names[1])
    assert found.next_number == 3, "its number is not given again"
    assert newest(store) is None
    assert ("object-lost", names[1]) in [(f.code, f.subject) for f in tally.findings]


def test_an_older_one_that_was_there_hides_nothing() -> None:
    store = MemoryStore()
    names = [put(store, number) for number in (1, 2)]
    register(store, names)
    del store.objects[names[0]]
    assert look(store).unreadable == (names[0],)
    assert newest(store) == 2


@pytest.mark.parametrize("how", ["damaged", "gone"])
def test_the_copy_is_read_in_place_of_a_damaged_one(how: str) -> None:
    store = MemoryStore()
    names = [put(store, number) for number in (1, 2)]
    register(store, names)
    for name in names:
        store.put_new(layout.copy_name(name), store.get(name))
    if how == "damaged":
        spoil(store, names[1])
    else:
        del store.objects[names[1]]
    found = look(store)
    assert [(f.name, f.from_copy) for f in found.facts] == [(names[0], False), (names[1], True)]
    assert newest(store) == 2


def test_a_squatted_copy_is_nobodys() -> None:
    store = MemoryStore()
    name = put(store, 1)
    store.put_new(layout.copy_name(name), b"squatted")
    store.put_new(layout.copy_name(layout.numbered(MEMBERS, 7, hex_digest(b"7"))), b"squatted")
    found = look(store)
    assert [fact.name for fact in found.facts] == [name]
    assert newest(store) == 1


def test_a_register_that_is_gone_is_noticed() -> None:
    store = MemoryStore()
    names = [put(store, number) for number in (1, 2)]
    first = register(store, names[:1])
    last = register(store, names[1:], 2, first)
    view = View(store, AUTHORITY, VAULT)
    assert view.registered(MACHINE, Tally()).whole
    del store.objects[first]
    assert not View(store, AUTHORITY, VAULT).registered(MACHINE, Tally()).whole, "the next one names it"
    pins: dict[str, Pin] = {MACHINE: Pin(2, hex_digest(store.get(last)), MEMBERSHIP.key_id)}
    del store.objects[last]
    assert View(store, AUTHORITY, VAULT).registered(MACHINE, Tally()).whole, "nobody can tell"
    found = View(store, AUTHORITY, VAULT, pins).registered(MACHINE, Tally())
    assert (found.whole, found.key_id) == (False, MEMBERSHIP.key_id), "but for the home, which has signed it"


def test_for_what_the_operator_accepts_as_lost_nobody_waits() -> None:
    store = MemoryStore()
    names = [put(store, number) for number in (1, 2)]
    first = register(store, names)
    del store.objects[names[1]]
    assert [entry.name for entry in View(store, AUTHORITY, VAULT).lost(MACHINE)] == [names[1]]
    register(store, (), 2, first, forgotten=names[1:])
    assert newest(store) == 1
    assert View(store, AUTHORITY, VAULT).lost(MACHINE) == []


def test_a_register_itself_may_be_accepted_as_lost() -> None:
    store = MemoryStore()
    names = [put(store, number) for number in (1, 2)]
    first = register(store, names[:1])
    register(store, names[1:], 2, first)
    del store.objects[first]
    assert [entry.name for entry in View(store, AUTHORITY, VAULT).lost(MACHINE)] == [first]
    register(store, (), 3, first, forgotten=[first])
    assert View(store, AUTHORITY, VAULT).registered(MACHINE, Tally()).whole


def test_what_is_excused_may_be_gone() -> None:
    store = MemoryStore()
    names = [put(store, number) for number in (1, 2)]
    register(store, names)
    del store.objects[names[1]]
    view = View(store, AUTHORITY, VAULT)
    found = view.look(MEMBERS, Membership, AUTHORITY, Tally(), lambda entry: entry.name == names[1])
    assert found.unreadable == ()


def test_a_document_is_verified_once(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    name = put(store, 1)
    view = View(store, AUTHORITY, VAULT)
    assert len(view.look(MEMBERS, Membership, AUTHORITY, Tally()).facts) == 1
    monkeypatch.setattr(envelope, "read", None)
    assert len(view.look(MEMBERS, Membership, AUTHORITY, Tally()).facts) == 1
    monkeypatch.undo()
    del store.objects[name]
    assert view.look(MEMBERS, Membership, AUTHORITY, Tally()).facts == (), "and no longer where it is gone"


def test_a_store_that_is_away_is_no_damage() -> None:
    class Away(MemoryStore):
        def get(self, name: str, start: int = 0, length: int | None = None) -> bytes:
            raise FormatError("DOC-1", "in the test, damage") if name.endswith("9") else OSError("away")

    store = Away("away")
    put(store, 1)
    with pytest.raises(OSError, match="away"):
        look(store)


def test_a_genuine_document_of_another_is_a_stranger_below_a_machines_name() -> None:
    """Count another machine's genuine document as a stranger's: anybody may copy a signed document."""
    store, other = MemoryStore(), MachineId("77" * 16)
    put(store, 1)
    data = envelope.sign(replace(MEMBERSHIP, number=2, machine=other, status="revoked"), AUTHORITY_KEY)
    name = layout.numbered(MEMBERS, 2, hex_digest(data))
    store.put_new(name, data)
    assert look(store).strangers == (name,)
    assert newest(store) == 1


@pytest.mark.parametrize("own", [None, (MACHINE,), (MachineId("77" * 16),), ()])
def test_a_machine_hears_of_damage_below_its_own_names_alone(own: tuple[MachineId, ...] | None) -> None:
    store, told = MemoryStore(), Tally()
    spoil(store, put(store, 1))
    view = View(store, AUTHORITY, VAULT, own=own)
    found = view.look(MEMBERS, Membership, AUTHORITY, told)
    assert len(found.candidates) == 1
    hears = own is None or MACHINE in own
    assert (len(told.findings), len(told.notices)) == ((1, 0) if hears else (0, 1))
