"""Each small file has a known bundle, and a known place in it."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.ids import ChunkId, ContentId
from seed.pipeline.chunks import PendingChunk
from seed.pipeline.known_chunks import KnownChunks
from seed.pipeline.small_file_table import SmallFiles
from seed.tables import id_table


def content(number: int) -> ContentId:
    return ContentId(hashlib.blake2b(number.to_bytes(8, "little"), digest_size=16).digest())


@pytest.fixture(autouse=True)
def small_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(id_table, "NEW_MAX", 16)


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 5), st.integers(0, 2**32 - 1)), max_size=400))
def test_it_is_a_dict(puts: list[tuple[int, int, int]]) -> None:
    table, model = SmallFiles(), dict[int, tuple[PendingChunk, int]]()
    bundles = [PendingChunk(None, 0, None) for _ in range(6)]
    for key, bundle, offset in puts:
        if key not in model:
            model[key] = bundles[bundle], offset
            table.put(content(key), bundles[bundle], offset)
    assert len(table) == len(model)
    assert [table.get(content(key)) for key in range(301)] == [model.get(key) for key in range(301)]
    assert table.find([content(key) for key in range(301)]) == [model.get(key) for key in range(301)]


def test_it_grows_and_forgets_nothing() -> None:
    table, bundle = SmallFiles(), PendingChunk(None, 0, None)
    for number in range(20_000):
        table.put(content(number), bundle, number)
    assert all(table.get(content(n)) == (bundle, n) for n in range(20_000))
    assert table.get(content(20_000)) is None


def test_keys_that_begin_alike_are_told_apart() -> None:
    table, bundle = SmallFiles(), PendingChunk(None, 0, None)
    keys = [ContentId(bytes(8) + bytes([n]) * 8) for n in range(1, 200)]
    for number, key in enumerate(keys):
        table.put(key, bundle, number)
    assert [table.get(key) for key in keys] == [(bundle, n) for n in range(len(keys))]
    assert table.get(ContentId(bytes(16))) is None


def test_what_is_learnt_lies_in_known_bundles_and_the_first_place_stays() -> None:
    table, known = SmallFiles(), KnownChunks()
    held, gone = ChunkId(b"\1" * 32), ChunkId(b"\2" * 32)
    known.add_all([held])
    own = PendingChunk(None, 0, None)
    table.put(content(0), own, 7)
    rows = [(content(n), held if n % 3 else gone, n) for n in range(90)]
    for start in (*range(0, 90, 15), *range(0, 90, 15)):
        table.learn(rows[start : start + 15], known)
    assert table.get(content(0)) == (own, 7)
    assert len(table) == 1 + 60
    for number in range(1, 90):
        place = table.get(content(number))
        assert (place is not None) == bool(number % 3)
        assert place is None or (place[0].id, place[1]) == (held, number)
