"""The table of small files answers as a dict would."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from formats.ids import ContentId
from seed.chunking import Unit
from seed.small_files import SmallFiles


def content(number: int) -> ContentId:
    return ContentId(hashlib.blake2b(number.to_bytes(8, "little"), digest_size=16).digest())


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 5), st.integers(0, 2**32 - 1)), max_size=400))
def test_it_is_a_dict(puts: list[tuple[int, int, int]]) -> None:
    table, model = SmallFiles(), dict[int, tuple[Unit, int]]()
    bundles = [Unit(None, 0, None) for _ in range(6)]
    for key, bundle, offset in puts:
        if key not in model:
            model[key] = bundles[bundle], offset
            table.put(content(key), bundles[bundle], offset)
    assert len(table) == len(model)
    for key in range(301):
        assert table.get(content(key)) == model.get(key)


def test_it_grows_and_forgets_nothing() -> None:
    table, bundle = SmallFiles(), Unit(None, 0, None)
    for number in range(20_000):
        table.put(content(number), bundle, number)
    assert all(table.get(content(n)) == (bundle, n) for n in range(20_000))
    assert table.get(content(20_000)) is None


def test_keys_that_begin_alike_are_told_apart() -> None:
    table, bundle = SmallFiles(), Unit(None, 0, None)
    keys = [ContentId(bytes(8) + bytes([n]) * 8) for n in range(1, 200)]
    for number, key in enumerate(keys):
        table.put(key, bundle, number)
    assert [table.get(key) for key in keys] == [(bundle, n) for n in range(len(keys))]
    assert table.get(ContentId(bytes(16))) is None
