"""Extended attributes come back as they were, NULs and all; a torn column gives what is whole."""

from hypothesis import given
from hypothesis import strategies as st

from seed.xattrs import pack, unpack

PAIRS = st.lists(st.tuples(st.binary(min_size=1, max_size=255), st.binary(max_size=4096)), max_size=8)


@given(PAIRS)
def test_round_trip(pairs: list[tuple[bytes, bytes]]) -> None:
    assert unpack(pack(pairs)) == pairs


@given(st.binary(max_size=200))
def test_any_bytes_give_a_list(data: bytes) -> None:
    assert isinstance(unpack(data), list)
