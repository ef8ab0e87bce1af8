"""The cuts of content: they depend on the content and the key alone, not on reads, buffers or neighbours."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.ids import ChunkId
from formats.keyed.chunking import ChunkingParameters
from formats.keyed.keys import MasterKey
from seed.pipeline.chunking import Cutter
from seed.pipeline.chunks import Buffers, PendingChunk
from tests.effort import examples

PARAMETERS = ChunkingParameters(
    min_size=4 << 10, mean_size=16 << 10, max_size=64 << 10, bundle_size=64 << 10, small_file_max=16 << 10
)
MASTER = MasterKey(bytes(range(32)))
DATA = random.Random(1).randbytes(12 << 20)


def cuts(cutter: Cutter, data: bytes, reads: list[int]) -> list[bytes]:
    """Return the chunks of `data`, read in pieces of the given sizes, repeatedly; each unit is given back at once."""
    at, turn, found = 0, 0, []

    def read(space: memoryview) -> int:
        nonlocal at, turn
        piece = data[at : at + min(len(space), reads[turn % len(reads)])]
        space[: len(piece)] = piece
        at, turn = at + len(piece), turn + 1
        return len(piece)

    for unit in cutter.cut(read, len(data)):
        assert unit.raw is not None
        found.append(bytes(unit.raw))
        unit.named(ChunkId(bytes(32)))
    return found


WHOLE = cuts(Cutter(MASTER, PARAMETERS), DATA, [1 << 30])


def test_chunks_are_the_stream() -> None:
    assert b"".join(WHOLE) == DATA
    assert all(len(c) <= PARAMETERS.max_size for c in WHOLE)
    assert all(len(c) >= PARAMETERS.min_size for c in WHOLE[:-1])


@settings(max_examples=examples(25))
@given(st.lists(st.integers(1 << 10, 5 << 20), min_size=1, max_size=5))
def test_how_it_is_read_makes_no_difference(reads: list[int]) -> None:
    assert cuts(Cutter(MASTER, PARAMETERS), DATA, reads) == WHOLE


@settings(max_examples=examples(25))
@given(st.lists(st.integers(0, 400_000), min_size=1, max_size=30))
def test_what_was_cut_before_makes_no_difference(sizes: list[int]) -> None:
    cutter = Cutter(MASTER, PARAMETERS)
    for size in sizes:
        alone = cuts(Cutter(MASTER, PARAMETERS), DATA[:size], [1 << 30])
        assert cuts(cutter, DATA[:size], [100_000]) == alone


def test_another_key_cuts_elsewhere() -> None:
    other = cuts(Cutter(MasterKey(bytes(32)), PARAMETERS), DATA, [1 << 30])
    assert len(set(other) & set(WHOLE)) < len(WHOLE) // 10


def test_a_change_costs_the_chunks_around_it() -> None:
    changed = cuts(Cutter(MASTER, PARAMETERS), DATA[:5_000_000] + b"new" + DATA[5_000_000:], [1 << 30])
    assert len(set(changed) - set(WHOLE)) <= 3


def test_a_read_error_leaves_the_chunks_before_it_good() -> None:
    cutter = Cutter(MASTER, PARAMETERS)
    left = [DATA[: 8 << 20], None]

    def read(space: memoryview) -> int:
        piece = left.pop(0)
        if piece is None:
            raise OSError(5, "bad sector")
        space[: min(len(piece), len(space))] = piece[: len(space)]
        if len(piece) > len(space):
            left.insert(0, piece[len(space) :])
        return min(len(piece), len(space))

    units: list[PendingChunk] = []
    with pytest.raises(OSError, match="bad sector"):
        units.extend(cutter.cut(read, 8 << 20))
    assert cuts(cutter, DATA[:300_000], [1 << 30]) == cuts(
        Cutter(MASTER, PARAMETERS), DATA[:300_000], [1 << 30]
    )
    assert [bytes(u.raw or b"") for u in units] == WHOLE[: len(units)]


def test_a_buffer_comes_back_only_when_nothing_in_it_is_used() -> None:
    buffers = Buffers(16)
    buffer = buffers.take()
    buffer.uses += 1
    buffer.release()
    assert buffers.take() is not buffer
    buffer.release()
    assert buffers.take() is buffer
