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
    ChunkingParameters,
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
    master, parameters = open_slot(SLOT, GOLDEN["passphrase"])
    assert master == MASTER
    assert parameters == ChunkingParameters(**GOLDEN["chunking"])
    assert slot_to_json(SLOT) == GOLDEN["slot"]


@pytest.mark.parametrize(
    "text", [PASSPHRASE + "\n", PASSPHRASE + "\r\n", "cinq petits bateaux d\u2019\u00e9t\u00e9"]
)
def test_another_spelling_of_the_passphrase_opens(text: str) -> None:
    assert open_slot(SLOT, text)[0] == MASTER


@pytest.mark.parametrize(
    "text", ["", " ", PASSPHRASE + " ", PASSPHRASE.upper(), "cinq petits bateaux d\u2019ete"]
)
def test_another_passphrase_does_not(text: str) -> None:
    assert outcome(GOLDEN["slot"], text) == WRONG


sizes = st.lists(st.integers(4 << 10, 16 << 20), min_size=3, max_size=3).map(sorted)
bundles = st.tuples(st.integers(4 << 10, 4 << 20), st.integers(0, 4 << 20)).map(sorted)


@settings(max_examples=examples(25))
@given(
    raw=st.binary(min_size=32, max_size=32),
    passphrase=st.text("\u00e9e\u0301 xyz\r\n", max_size=30),
    cuts=sizes,
    bundle=bundles,
)
def test_opens_what_was_made(raw: bytes, passphrase: str, cuts: list[int], bundle: list[int]) -> None:
    parameters = ChunkingParameters(
        min_size=cuts[0], mean_size=cuts[1], max_size=cuts[2], small_file_max=bundle[0], bundle_size=bundle[1]
    )
    slot = make_slot(passphrase, MasterKey(raw), parameters, LOW_COST)
    again = slot_from_json(json.loads(encode_json(slot_to_json(slot))), "slot")
    assert again == slot
    assert open_slot(again, passphrase) == (MasterKey(raw), parameters)


def test_default_cost_and_parameters() -> None:
    slot = make_slot("a passphrase", MASTER, ChunkingParameters())
    assert slot.cost == KdfCost(memory_kib=65536, time=3, lanes=4)
    assert open_slot(slot, "a passphrase") == (MASTER, ChunkingParameters())


def test_salt_and_nonce_are_drawn_anew() -> None:
    one, two = (make_slot("p", MASTER, ChunkingParameters(), LOW_COST) for _ in range(2))
    assert one.salt != two.salt
    assert one.sealed[:24] != two.sealed[:24]
    assert one.key_id == two.key_id


def test_the_sealed_part_has_one_length() -> None:
    small = ChunkingParameters(
        min_size=4096, mean_size=4096, max_size=4096, bundle_size=4096, small_file_max=0
    )
    large = ChunkingParameters(
        min_size=16 << 20, mean_size=16 << 20, max_size=16 << 20, bundle_size=4 << 20, small_file_max=4 << 20
    )
    lengths = {len(make_slot("p", MASTER, p, LOW_COST).sealed) for p in (small, large)}
    assert lengths == {slots.PAYLOAD_SIZE + 40}


BYTES = ["salt", "key_id", "commitment", "sealed"]
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
        make_slot(PASSPHRASE, MASTER, ChunkingParameters(), KdfCost(**by_hand))


BAD_CHUNKING = [
    {"min_size": (4 << 10) - 1},
    {"max_size": (16 << 20) + 1},
    {"min_size": 2 << 20},
    {"mean_size": 8 << 20},
    {"bundle_size": (4 << 20) + 1},
    {"bundle_size": 4095, "small_file_max": 0},
    {"small_file_max": (1 << 20) + 1},
    {"small_file_max": -1},
]


@pytest.mark.parametrize("members", BAD_CHUNKING)
def test_parameters_out_of_bounds_are_not_written(members: dict[str, int]) -> None:
    with pytest.raises(FormatError) as caught:
        make_slot("p", MASTER, ChunkingParameters(**members), LOW_COST)
    assert caught.value.code == "SLOT-3"


# From here on the writer knows the passphrase: the content inside the seal is wrong.


def sealed_by_insider(payload: bytes) -> Json:
    cipher = slots._cipher(SLOT, PASSPHRASE)
    return slot_to_json(
        replace(SLOT, sealed=cipher.seal(payload.ljust(slots.PAYLOAD_SIZE), slots._aad(SLOT)))
    )


def payload(**members: Json) -> dict[str, Json]:
    return {"master": MASTER.raw.hex(), "chunking": GOLDEN["chunking"], **members}


@pytest.mark.parametrize("members", BAD_CHUNKING)
def test_parameters_out_of_bounds_are_not_read(members: dict[str, int]) -> None:
    defaults = {"min_size": 256 << 10, "mean_size": 512 << 10, "max_size": 2 << 20}
    bundle = {"bundle_size": 1 << 20, "small_file_max": 256 << 10}
    chunking: dict[str, Json] = {**defaults, **bundle, **members}
    assert outcome(sealed_by_insider(encode_json(payload(chunking=chunking)))) == (FormatError, "SLOT-3")


@pytest.mark.parametrize("name", sorted(GOLDEN["chunking"]))
def test_a_missing_or_mistyped_parameter_is_refused(name: str) -> None:
    rest = {key: value for key, value in GOLDEN["chunking"].items() if key != name}
    for chunking in (rest, {**rest, name: "1"}, {**rest, name: True}, {**rest, name: None}):
        assert outcome(sealed_by_insider(encode_json(payload(chunking=chunking)))) == (FormatError, "SLOT-3")


@pytest.mark.parametrize(
    ("content", "anchor"),
    [
        (b"", "DOC-1"),
        (b"\xff", "DOC-1"),
        (b'{"master":1.5}', "DOC-1"),
        (b'{"master":1,"master":1}', "DOC-1"),
        (b"[]", "SLOT-3"),
        (b"{}", "SLOT-3"),
        (encode_json(payload(extra=1)), "SLOT-3"),
        (encode_json(payload(chunking=[])), "SLOT-3"),
        (encode_json(payload(chunking={**GOLDEN["chunking"], "x": 1})), "SLOT-3"),
        (encode_json(payload(master="00" * 31)), "SLOT-3"),
        (encode_json(payload(master="AB" * 32)), "SLOT-3"),
        (encode_json(payload(master=None)), "SLOT-3"),
    ],
)
def test_a_malformed_sealed_part_is_refused(content: bytes, anchor: str) -> None:
    assert outcome(sealed_by_insider(content)) == (FormatError, anchor)


FORGERIES: list[Callable[[Slot], Slot]] = [
    lambda slot: replace(slot, key_id=KeyId(bytes(16))),
    lambda slot: replace(slot, commitment=bytes(32)),
    lambda slot: replace(slot, key_id=MasterKey(bytes(32)).key_id),
]


@pytest.mark.parametrize("forge", FORGERIES)
def test_a_key_other_than_the_slot_names_is_refused(forge: Callable[[Slot], Slot]) -> None:
    forged = forge(SLOT)
    cipher = slots._cipher(SLOT, PASSPHRASE)
    content = encode_json(payload()).ljust(slots.PAYLOAD_SIZE)
    forged = replace(forged, sealed=cipher.seal(content, slots._aad(forged)))
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
