"""The slots that a passphrase opens; added slots of a stranger delay no other user."""

import secrets
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from formats import layout
from formats.documents import envelope
from formats.documents.codec import Document
from formats.documents.vault import SLOTS_MAX, Membership, Slots
from formats.errors import PassphraseError
from formats.ids import HexDigest, MachineId, VaultId, fingerprint, hex_digest, machine_id
from formats.keyed.keys import MasterKey
from formats.keyed.slots import (
    DEFAULT_COST,
    KdfCost,
    Slot,
    make_slot,
    open_slot,
    slot_to_json,
)
from formats.monitor import Tally
from seed.points import machine_keys as machines
from seed.points.layered_store import LayeredStore
from tests.memory_store import MemoryStore
from tests.vectors.keyed import LOW_COST, PASSPHRASE

OWN, OTHER = MachineId("b" * 32), MachineId("f" * 32)
MASTER = MasterKey(bytes(range(32)))
DEAREST = KdfCost(memory_kib=256 << 10, time=4, lanes=1)


def slot(passphrase: str = PASSPHRASE, master: MasterKey = MASTER, cost: KdfCost = LOW_COST) -> Slot:
    """Return a slot that claims a cost above the least, so that no test derives it."""
    return replace(make_slot(passphrase, master, LOW_COST), cost=cost)


def put(store: MemoryStore, machine: MachineId, number: int, *slots: Slot) -> None:
    document = Slots(
        number=number,
        vault=VaultId("0" * 32),
        machine=machine,
        key_id=MASTER.key_id.hex(),
        slots=tuple(map(slot_to_json, slots)),
        keep_from=1,
    )
    data = envelope.sign(document, Ed25519PrivateKey.generate())
    store.put_new(layout.numbered(layout.slot_prefix(machine), number, hex_digest(data)), data)


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[Slot]:
    """Return the slots that a passphrase is tried at; slots of high cost never open."""
    found: list[Slot] = []

    def open_(slot: Slot, passphrase: str) -> object:
        found.append(slot)
        if slot.cost.work > DEFAULT_COST.work:
            raise PassphraseError("passphrase-wrong", "it does not open")
        return open_slot(slot, passphrase)

    monkeypatch.setattr(machines, "open_slot", open_)
    return found


def test_dear_slots_of_others_are_not_tried_once_ones_own_is_open(tried: list[Slot]) -> None:
    store = MemoryStore()
    put(store, OTHER, 1, *(slot(secrets.token_hex(16), cost=DEAREST) for _ in range(SLOTS_MAX)))
    put(store, OWN, 1, slot())
    (opened,) = machines.unlock(LayeredStore([store]), PASSPHRASE, None, Tally())
    assert (opened.machine, opened.master) == (OWN, MASTER)
    assert {s.cost for s in tried} == {LOW_COST}


def test_many_slots_of_others_are_not_tried_before_ones_own(tried: list[Slot]) -> None:
    """Try the newest slots of both machines first, in turn."""
    store = MemoryStore()
    foreign = slot("quite another passphrase")
    for number in range(1, 9):
        put(store, OTHER, number, *[foreign] * SLOTS_MAX)
    put(store, OWN, 1, slot())
    assert [m.machine for m in machines.unlock(LayeredStore([store]), PASSPHRASE, None, Tally())] == [OWN]
    assert len(tried) <= SLOTS_MAX + 3


def test_one_passphrase_opens_all_machines_that_have_it(tried: list[Slot]) -> None:
    store = MemoryStore()
    other = MasterKey(bytes(32))
    put(store, OWN, 1, slot())
    put(store, OTHER, 1, *[slot("quite another passphrase")] * 3, slot(master=other))
    opened = machines.unlock(LayeredStore([store]), PASSPHRASE, None, Tally())
    assert {m.machine: m.master for m in opened} == {OWN: MASTER, OTHER: other}


def test_a_slot_that_breaks_the_rules_spoils_no_other(tried: list[Slot]) -> None:
    """Skip the broken slot without a finding if another slot opens."""
    store, heard = MemoryStore(), Tally()
    put(store, OTHER, 1, slot(cost=KdfCost(memory_kib=1, time=1, lanes=1)), slot())
    put(store, OWN, 1, slot())
    assert len(machines.unlock(LayeredStore([store]), PASSPHRASE, None, heard)) == 2
    assert heard.findings == []


def test_where_nothing_opens_it_is_told_why(tried: list[Slot]) -> None:
    store, heard = MemoryStore(), Tally()
    put(store, OWN, 1, slot(cost=KdfCost(memory_kib=1, time=1, lanes=1)))
    put(store, OTHER, 1, slot("quite another passphrase"))
    with pytest.raises(PassphraseError) as caught:
        machines.unlock(LayeredStore([store]), PASSPHRASE, None, heard)
    assert caught.value.code == "passphrase-wrong"
    assert [f.code for f in heard.findings] == ["SLOT-2"]


# Forged slots, by attackers that may create objects


def keyed(
    age: int, *slots: Slot, store: MemoryStore, key: Ed25519PrivateKey | None = None, number: int = 1
) -> MachineId:
    """Add a machine with slots that it signs, and return its id.

    A document of any signer names it in the membership list. Both documents have this age.
    """
    key = key or Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    machine = machine_id(public)
    member = Membership(
        number=1, vault=VaultId("0" * 32), machine=machine, key_id=MASTER.key_id.hex(), name="web1",
        public_key=public.hex(), request=HexDigest("0" * 64), status="active", since=1, accepted_by="operator",
        slots_from=1,
    )  # fmt: skip
    put_signed(store, age, layout.member_prefix(machine), 1, member, Ed25519PrivateKey.generate())
    document = Slots(
        number=number, vault=VaultId("0" * 32), machine=machine, key_id=MASTER.key_id.hex(),
        slots=tuple(map(slot_to_json, slots)), keep_from=1,
    )  # fmt: skip
    put_signed(store, age, layout.slot_prefix(machine), number, document, key)
    return machine


def put_signed(
    store: MemoryStore, age: int, prefix: str, number: int, document: Document, key: Ed25519PrivateKey
) -> None:
    data = envelope.sign(document, key)
    name = layout.numbered(prefix, number, hex_digest(data))
    store.put_new(name, data)
    store.times[name] = age


FORGED = slot("quite another passphrase")


def test_slots_of_machines_that_nobody_knows_come_last(tried: list[Slot]) -> None:
    store = MemoryStore()
    for _ in range(400):
        put(store, MachineId(secrets.token_hex(16)), 1, *[FORGED] * SLOTS_MAX)
    own = keyed(10, slot(), store=store)
    heard = Tally()
    assert [m.machine for m in machines.unlock(LayeredStore([store]), PASSPHRASE, None, heard)] == [own]
    assert len(tried) <= 1 + machines.GUESSES_FURTHER
    assert any("401 machines" in notice for notice in heard.notices)
    left = 400 * SLOTS_MAX - (len(tried) - 1)
    assert any(
        f"{left:,} key slots" in notice and "--machine FINGERPRINT" in notice for notice in heard.notices
    )


def test_forged_machines_come_after_those_that_were_there_before(tried: list[Slot]) -> None:
    """Try the forged machines last: they sign their slots and have a document, so only the store's time differs."""
    store = MemoryStore()
    for _ in range(200):
        keyed(20, FORGED, store=store)
    own = keyed(10, slot(), store=store)
    for _ in range(200):
        keyed(20, FORGED, store=store)
    assert [m.machine for m in machines.unlock(LayeredStore([store]), PASSPHRASE, None, Tally())] == [own]
    assert len(tried) <= 1 + machines.GUESSES_FURTHER


def test_forged_slots_in_a_machines_own_folder_come_after_those_that_it_signed(tried: list[Slot]) -> None:
    store, key = MemoryStore(), Ed25519PrivateKey.generate()
    own = keyed(10, slot(), store=store, key=key)
    for number in range(2, 402):
        put(store, own, number, *[FORGED] * SLOTS_MAX)
    assert [m.machine for m in machines.unlock(LayeredStore([store]), PASSPHRASE, None, Tally())] == [own]
    assert len(tried) == 1


def test_without_its_membership_a_machines_oldest_slots_come_first(tried: list[Slot]) -> None:
    store = MemoryStore()
    own = keyed(10, slot(), store=store)
    for name in [*store.objects]:
        if name.startswith("machines/"):
            store.delete(name)
    for number in range(2, 40):
        put(store, own, number, *[FORGED] * SLOTS_MAX)
    for name in store.objects:
        store.times.setdefault(name, 20)
    assert [m.machine for m in machines.unlock(LayeredStore([store]), PASSPHRASE, None, Tally())] == [own]
    assert len(tried) == 1


def test_a_fingerprint_tries_one_machine_alone(tried: list[Slot]) -> None:
    store = MemoryStore()
    other, own = keyed(1, slot(), store=store), keyed(2, slot(), store=store)
    for typed in (own, fingerprint(own), fingerprint(own).upper()):
        tried.clear()
        assert [m.machine for m in machines.unlock(LayeredStore([store]), PASSPHRASE, typed, Tally())] == [
            own
        ]
        assert len(tried) == 1
    with pytest.raises(PassphraseError):
        machines.unlock(LayeredStore([store]), PASSPHRASE, fingerprint(MachineId("0" * 32)), Tally())
    assert other != own
