"""Extended attributes come back as they were, with NUL bytes; a torn column gives its whole part."""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seed.source import xattrs
from seed.source.xattrs import KEPT_MAX, TOO_MANY, pack, unpack

PAIRS = st.lists(st.tuples(st.binary(min_size=1, max_size=255), st.binary(max_size=4096)), max_size=8)


@given(PAIRS)
def test_round_trip(pairs: list[tuple[bytes, bytes]]) -> None:
    assert unpack(pack(pairs)) == pairs


@given(st.binary(max_size=200))
def test_any_bytes_give_a_list(data: bytes) -> None:
    assert isinstance(unpack(data), list)


@pytest.fixture
def many() -> Iterator[Path]:
    """Make a file in memory with 12 MB of attributes."""
    if sys.platform != "linux":
        pytest.skip("attributes are read on Linux only")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder) / "many"
        path.write_text("content")
        try:
            for number in range(200):
                os.setxattr(path, f"user.{number:03}", os.urandom(60_000))
        except OSError as error:
            pytest.skip(f"NOT TESTED: no such attributes in memory here: {error}")
        yield path


def test_of_too_many_attributes_those_are_kept_that_fit(many: Path) -> None:
    if sys.platform != "linux":
        raise NotImplementedError
    packed, failure = xattrs.read(os.fsencode(many))
    assert failure == TOO_MANY
    assert KEPT_MAX - 61_000 < len(packed) <= KEPT_MAX
    kept = unpack(packed)
    assert [name for name, _ in kept] == [b"user.%03d" % number for number in range(len(kept))]
    assert kept[-1][1] == os.getxattr(many, kept[-1][0])
    assert xattrs.why(failure) == "it has more extended attributes than the 4 MiB that are kept of one entry"
