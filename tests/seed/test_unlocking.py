"""What a passphrase opens, and that nobody who can bring key slots in makes others wait for theirs."""

import secrets
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from formats import layout
from formats.documents import envelope
from formats.documents.vault import SLOTS_MAX, Slots
from formats.errors import PassphraseError
from formats.ids import MachineId, VaultId, hex_digest
from formats.keyed.keys import MasterKey
from formats.keyed.slots import (
    DEFAULT_COST,
    ChunkingParameters,
    KdfCost,
    Slot,
    make_slot,
    open_slot,
    slot_to_json,
)
from formats.monitor import Tally
from formats.store.memory import MemoryStore
from seed import machines
from seed.reading import Union
from tests.vectors.keyed import LOW_COST, PASSPHRASE

OWN, OTHER = MachineId("b" * 32), MachineId("f" * 32)
MASTER = MasterKey(bytes(range(32)))
DEAREST = KdfCost(memory_kib=1 << 20, time=10, lanes=1)


def slot(passphrase: str = PASSPHRASE, master: MasterKey = MASTER, cost: KdfCost = LOW_COST) -> Slot:
    """What costs more than the least is only said to: nobody is to derive it."""
    return replace(make_slot(passphrase, master, ChunkingParameters(), LOW_COST), cost=cost)


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
    """The slots that a passphrase is tried at; the dear ones open for nobody."""
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
    (opened,) = machines.unlock(Union([store]), PASSPHRASE, None, Tally())
    assert (opened.machine, opened.master) == (OWN, MASTER)
    assert {s.cost for s in tried} == {LOW_COST}


def test_many_slots_of_others_are_not_tried_before_ones_own(tried: list[Slot]) -> None:
    """Both machines' newest first, in turn."""
    store = MemoryStore()
    foreign = slot("quite another passphrase")
    for number in range(1, 9):
        put(store, OTHER, number, *[foreign] * SLOTS_MAX)
    put(store, OWN, 1, slot())
    assert [m.machine for m in machines.unlock(Union([store]), PASSPHRASE, None, Tally())] == [OWN]
    assert len(tried) <= SLOTS_MAX + 3


def test_one_passphrase_opens_all_machines_that_have_it(tried: list[Slot]) -> None:
    store = MemoryStore()
    other = MasterKey(bytes(32))
    put(store, OWN, 1, slot())
    put(store, OTHER, 1, *[slot("quite another passphrase")] * 3, slot(master=other))
    opened = machines.unlock(Union([store]), PASSPHRASE, None, Tally())
    assert {m.machine: m.master for m in opened} == {OWN: MASTER, OTHER: other}


def test_a_slot_that_breaks_the_rules_spoils_no_other(tried: list[Slot]) -> None:
    """Nor is it the affair of whoever got in by another."""
    store, heard = MemoryStore(), Tally()
    put(store, OTHER, 1, slot(cost=KdfCost(memory_kib=1, time=1, lanes=1)), slot())
    put(store, OWN, 1, slot())
    assert len(machines.unlock(Union([store]), PASSPHRASE, None, heard)) == 2
    assert heard.findings == []


def test_where_nothing_opens_it_is_told_why(tried: list[Slot]) -> None:
    store, heard = MemoryStore(), Tally()
    put(store, OWN, 1, slot(cost=KdfCost(memory_kib=1, time=1, lanes=1)))
    put(store, OTHER, 1, slot("quite another passphrase"))
    with pytest.raises(PassphraseError) as caught:
        machines.unlock(Union([store]), PASSPHRASE, None, heard)
    assert caught.value.code == "passphrase-wrong"
    assert [f.code for f in heard.findings] == ["SLOT-2"]
