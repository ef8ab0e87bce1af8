"""How figures read: none says more than is so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.words import percent, size


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (0, "0%"),
        (1, "100%"),
        (0.5, "50.0%"),
        (0.9996, "99.9%"),
        (0.0004, "0.1%"),
        (1 - 1e-15, "99.9%"),
        (1.2, "120.0%"),
    ],
)
def test_a_share_reads_as_all_or_nothing_only_where_it_is(share: float, shown: str) -> None:
    assert percent(share) == shown


@given(part=st.integers(0, 10**9), rest=st.integers(0, 10**9))
def test_what_is_less_than_all_never_reads_as_all(part: int, rest: int) -> None:
    if part + rest:
        shown = float(percent(part / (part + rest)).removesuffix("%"))
        assert (shown == 100) == (rest == 0)
        assert (shown == 0) == (part == 0)


@given(count=st.integers(0, 2**63))
def test_a_size_has_less_than_1024_of_its_unit(count: int) -> None:
    number, unit = size(count).split()
    assert unit == "TiB" or float(number) < 1024
    assert (float(number) == 0) == (count == 0)


def test_sizes_read_as_people_say_them() -> None:
    assert [size(n) for n in (0, 1023, 1024, 2**20 - 1, 2**20, 2**30 - 1, 2**40 - 1, 2**40)] == [
        "0 B", "1023 B", "1.0 KiB", "1.0 MiB", "1.0 MiB", "1.0 GiB", "1.00 TiB", "1.00 TiB",
    ]  # fmt: skip
