"""The choice of chunk sizes: by the amount, within the bounds of readers, and few chunks for a large source."""

import pytest

from formats.keyed.chunking import USUAL
from seed.backup.chunk_sizes import MEANS, TIB, chunking_for


@pytest.mark.parametrize("size", [0, 1, 255 << 30])
def test_a_small_source_is_cut_as_ever(size: int) -> None:
    assert chunking_for(size) == USUAL


@pytest.mark.parametrize(("least", "mean"), MEANS)
def test_from_each_amount_on_chunks_are_larger(least: int, mean: int) -> None:
    assert chunking_for(least).mean_size == mean
    assert chunking_for(least - 1).mean_size < mean


@pytest.mark.parametrize("size", [0, *(least for least, _ in MEANS), 100 * TIB])
def test_readers_take_every_choice(size: int) -> None:
    chunking_for(size).check("choice")


def test_a_hundred_terabytes_are_thirty_million_chunks() -> None:
    assert 100 * 10**12 / chunking_for(100 * 10**12).mean_size < 30_000_000
