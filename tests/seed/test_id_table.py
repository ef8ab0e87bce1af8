"""The table of ids answers as a dict would, however often its levels merged, and stays as small as it promises."""

import hashlib
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seed.tables import id_table
from seed.tables.id_table import IdTable

# Some ids begin alike, in their first bits or in all of their first half.
KEYS = [
    *(hashlib.blake2b(n.to_bytes(8, "little"), digest_size=32).digest() for n in range(200)),
    *(bytes(8) + bytes([n]) * 24 for n in range(40)),
    *(bytes([n]) + b"\xff" * 31 for n in range(40)),
    b"\xff" * 32,
]
numbers = st.integers(0, 2**64 - 1)
keys = st.sampled_from(KEYS)
puts = st.tuples(st.just("put"), keys, numbers)
put_alls = st.tuples(st.just("put_all"), st.lists(keys, max_size=90), numbers)
finds = st.tuples(st.just("find"), st.lists(keys, max_size=90), st.just(0))


@pytest.fixture(autouse=True)
def small_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(id_table, "NEW_MAX", 8)
    monkeypatch.setattr(id_table, "RANGE", 2)


@given(st.lists(st.one_of(puts, put_alls, finds), max_size=60))
def test_it_is_a_dict_that_forgets_nothing(steps: list[tuple[str, object, int]]) -> None:
    table, model = IdTable(numbered=True), defaultdict[bytes, list[int]](list)
    for what, said, number in steps:
        if what == "put":
            assert isinstance(said, bytes)
            table.put(said, number)
            model[said].append(number)
        elif what == "put_all":
            assert isinstance(said, list)
            values = np.arange(len(said), dtype=np.uint64)
            table.put_all(said, values)
            for key, value in zip(said, values.tolist(), strict=True):
                model[key].append(value)
        else:
            assert isinstance(said, list)
            found = table.find(said)
            assert [n is not None for n in found] == [key in model for key in said]
            assert all(n is None or n in model[key] for n, key in zip(found, said, strict=True))
    for key in KEYS:
        assert (table.get(key) in model[key]) if key in model else (table.get(key) is None)
        assert (key in table) == (key in model)
        assert set(table.find_all(key)) <= set(model.get(key, []))


@given(st.lists(st.lists(keys, max_size=50), max_size=12))
def test_numbers_put_together_are_all_kept_in_their_order(groups: list[list[bytes]]) -> None:
    table, model, at = IdTable(numbered=True), defaultdict[bytes, list[int]](list), 0
    for group in groups:
        table.put_all(group, np.arange(at, at + len(group), dtype=np.uint64))
        for key in group:
            model[key].append(at)
            at += 1
    assert {key: table.find_all(key) for key in KEYS} == {key: model.get(key, []) for key in KEYS}
    assert len(table) == at


def test_what_is_put_after_a_search_is_at_hand() -> None:
    table = IdTable(numbered=True)
    for start in range(0, 200, 5):
        batch = KEYS[start : start + 5]
        assert table.find(batch) == [None] * 5
        for number, key in enumerate(batch):
            table.put(key, number)
        assert [table.get_new(key) for key in batch] == list(range(5))


@given(st.lists(st.lists(keys, max_size=50), max_size=12), st.integers(16, 70))
def test_rows_are_put_as_their_ids_would_be(groups: list[list[bytes]], size: int) -> None:
    table, model = IdTable(), set[bytes]()
    for group in groups:
        table.put_rows(b"".join((key + bytes(size))[:size] for key in group), size)
        model.update(group)
        assert [key in table for key in KEYS] == [key in model for key in KEYS]
    assert [found is not None for found in table.find(KEYS)] == [key in model for key in KEYS]


def test_sixteen_bytes_an_id_and_eight_for_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    count = 200_000
    keys = [hashlib.blake2b(n.to_bytes(8, "little"), digest_size=16).digest() for n in range(count)]
    for numbered, most in ((False, 16.2), (True, 24.2)):
        table = IdTable(numbered=numbered)
        table.put_all(keys, np.arange(count, dtype=np.uint64) if numbered else None)
        assert table.size / count < most
        assert table.find(keys[:1000]) == (list(range(1000)) if numbered else [0] * 1000)
