"""Key slots: round trips, every way a slot can be wrong, and which error says so."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.errors import FormatError, IntegrityError, OffseedError, PassphraseError
from formats.ids import KeyId
from formats.keyed import slots
from formats.keyed.keys import MasterKey
from formats.keyed.slots import (
    KdfCost,
    Slot,
    make_slot,
    open_slot,
    slot_from_json,
    slot_to_json,
)
from formats.untrusted import Json, encode_json
from tests.effort import examples
from tests.vectors.generate import DATA
from tests.vectors.keyed import LOW_COST, MASTER, PASSPHRASE

GOLDEN = json.loads((DATA / "slot.json").read_bytes())
SLOT = slot_from_json(GOLDEN["slot"], "slot")
WRONG = (PassphraseError, "passphrase-wrong")


def outcome(value: Json, passphrase: str = PASSPHRASE) -> tuple[type[OffseedError], str]:
    """Return the error that parsing and opening end in."""
    with pytest.raises(OffseedError) as caught:
        open_slot(slot_from_json(value, "slot"), passphrase)
    assert caught.value.subject.startswith(("slot", "key slot of "))
    assert caught.value.hint
    return type(caught.value), caught.value.code


def changed(**members: Json) -> Json:
    return {**GOLDEN["slot"], **members}


def flipped(name: str) -> Json:
    text = cast(str, GOLDEN["slot"][name])
    return changed(**{name: f"{int(text[0], 16) ^ 1:x}" + text[1:]})


def test_the_golden_slot_opens() -> None:
    assert open_slot(SLOT, GOLDEN["passphrase"]) == MASTER
    assert slot_to_json(SLOT) == GOLDEN["slot"]


@pytest.mark.parametrize(
    "text", [PASSPHRASE + "\n", PASSPHRASE + "\r\n", "cinq petits bateaux d\u2019\u00e9t\u00e9"]
)
def test_another_spelling_of_the_passphrase_opens(text: str) -> None:
    assert open_slot(SLOT, text) == MASTER


@pytest.mark.parametrize(
    "text", ["", " ", PASSPHRASE + " ", PASSPHRASE.upper(), "cinq petits bateaux d\u2019ete"]
)
def test_another_passphrase_does_not(text: str) -> None:
    assert outcome(GOLDEN["slot"], text) == WRONG


@settings(max_examples=examples(25))
@given(
    raw=st.binary(min_size=32, max_size=32),
    passphrase=st.text("\u00e9e\u0301 xyz\r\n", max_size=30),
)
def test_opens_what_was_made(raw: bytes, passphrase: str) -> None:
    slot = make_slot(passphrase, MasterKey(raw), LOW_COST)
    again = slot_from_json(json.loads(encode_json(slot_to_json(slot))), "slot")
    assert again == slot
    assert open_slot(again, passphrase) == MasterKey(raw)


def test_default_cost() -> None:
    slot = make_slot("a passphrase", MASTER)
    assert slot.cost == KdfCost(memory_kib=65536, time=3, lanes=4)
    assert open_slot(slot, "a passphrase") == MASTER


def test_salt_and_nonce_are_drawn_anew() -> None:
    one, two = (make_slot("p", MASTER, LOW_COST) for _ in range(2))
    assert one.salt != two.salt
    assert one.sealed[:24] != two.sealed[:24]
    assert one.key_id == two.key_id


BYTES = ["salt", "key_id", "sealed"]
COSTS = ["memory_kib", "time", "lanes"]


@pytest.mark.parametrize("name", BYTES)
def test_a_flipped_bit_in_a_field_reads_as_a_wrong_passphrase(name: str) -> None:
    assert outcome(flipped(name)) == WRONG


@pytest.mark.parametrize(("name", "value"), [("memory_kib", (19 << 10) + 1), ("time", 2), ("lanes", 2)])
def test_another_cost_reads_as_a_wrong_passphrase(name: str, value: int) -> None:
    assert outcome(changed(**{name: value})) == WRONG


@pytest.mark.parametrize("name", ["kdf", *BYTES, *COSTS])
def test_a_missing_or_mistyped_field_is_refused(name: str) -> None:
    missing = {key: value for key, value in GOLDEN["slot"].items() if key != name}
    assert outcome(missing) == (FormatError, "SLOT-1")
    values: list[Json] = [None, True, [], {}, -1 if name in BYTES else "1", ""]
    for value in values:
        assert outcome(changed(**{name: value})) == (FormatError, "SLOT-1")


@pytest.mark.parametrize("name", BYTES)
def test_a_field_of_another_length_or_spelling_is_refused(name: str) -> None:
    text = cast(str, GOLDEN["slot"][name])
    for value in (
        text[:-1],
        text[:-2],
        text + "0",
        text + "00",
        text[:-1] + "g",
        " " + text[1:],
        "\uff10" + text[1:],
    ):
        assert outcome(changed(**{name: value})) == (FormatError, "SLOT-1")
    assert outcome(changed(**{name: text[:-2] + "AB"})) == (FormatError, "SLOT-1")
    assert outcome(changed(**{name: text[:-1] + "\n"})) == (FormatError, "SLOT-1")


@pytest.mark.parametrize("value", [None, [], "slot", 1, {}])
def test_what_is_no_slot_is_refused(value: Json) -> None:
    assert outcome(value) == (FormatError, "SLOT-1")


def test_an_unknown_member_or_derivation_is_refused() -> None:
    assert outcome(changed(extra=1)) == (FormatError, "SLOT-1")
    assert outcome(changed(kdf="argon2i")) == (FormatError, "SLOT-1")
    assert outcome(changed(kdf="scrypt")) == (FormatError, "SLOT-1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("memory_kib", (19 << 10) - 1),
        ("memory_kib", (256 << 10) + 1),
        ("memory_kib", 1 << 20),
        ("memory_kib", (1 << 63) - 1),
        ("memory_kib", -1),
        ("time", 0),
        ("time", 11),
        ("lanes", 0),
        ("lanes", 17),
    ],
)
def test_a_cost_out_of_bounds_is_refused_before_deriving(
    name: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def derive(**_: object) -> None:
        raise AssertionError("derived")

    monkeypatch.setattr(slots, "Argon2id", derive)
    assert outcome(changed(**{name: value})) == (FormatError, "SLOT-2")
    by_hand = {**{name: getattr(LOW_COST, name) for name in COSTS}, name: value}
    with pytest.raises(FormatError, match="cost"):
        open_slot(replace(SLOT, cost=KdfCost(**by_hand)), PASSPHRASE)
    with pytest.raises(FormatError, match="cost"):
        make_slot(PASSPHRASE, MASTER, KdfCost(**by_hand))


# From here on the writer knows the passphrase.


FORGERIES: list[Callable[[Slot], Slot]] = [
    lambda slot: replace(slot, key_id=KeyId(bytes(16))),
    lambda slot: replace(slot, key_id=MasterKey(bytes(32)).key_id),
]


@pytest.mark.parametrize("forge", FORGERIES)
def test_a_key_other_than_the_slot_names_is_refused(forge: Callable[[Slot], Slot]) -> None:
    forged = forge(SLOT)
    cipher = slots._cipher(SLOT, PASSPHRASE)
    forged = replace(forged, sealed=cipher.seal(MASTER.raw, slots._aad(forged)))
    assert outcome(slot_to_json(forged)) == (IntegrityError, "seal-broken")


def test_no_text_of_a_slot_shows_the_key() -> None:
    assert MASTER.raw.hex() not in repr(SLOT)
    assert MASTER.raw.hex() not in json.dumps(slot_to_json(SLOT))


def test_the_dearest_cost_that_is_taken_is_a_second_or_two() -> None:
    """Bound memory and passes together: a bound on one alone leaves a minute of work."""
    for memory, passes in ((256 << 10, 5), (128 << 10, 9), (110 << 10, 10)):
        assert outcome(changed(memory_kib=memory, time=passes)) == (FormatError, "SLOT-2")
    for memory, passes in ((256 << 10, 4), (128 << 10, 8), (100 << 10, 10)):
        KdfCost(memory_kib=memory, time=passes, lanes=1).check("here")
