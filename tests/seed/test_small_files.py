"""Of each small file it is known in which bundle its content lies, and where."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.ids import ContentId
from seed import id_table
from seed.chunking import Unit
from seed.small_files import SmallFiles


def content(number: int) -> ContentId:
    return ContentId(hashlib.blake2b(number.to_bytes(8, "little"), digest_size=16).digest())


@pytest.fixture(autouse=True)
def small_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(id_table, "NEW_MAX", 16)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 5), st.integers(0, 2**32 - 1)), max_size=400))
def test_it_is_a_dict(puts: list[tuple[int, int, int]]) -> None:
    table, model = SmallFiles(), dict[int, tuple[Unit, int]]()
    bundles = [Unit(None, 0, None) for _ in range(6)]
    for key, bundle, offset in puts:
        if key not in model:
            model[key] = bundles[bundle], offset
            table.put(content(key), bundles[bundle], offset)
    assert len(table) == len(model)
    assert [table.get(content(key)) for key in range(301)] == [model.get(key) for key in range(301)]
    assert table.find([content(key) for key in range(301)]) == [model.get(key) for key in range(301)]
