"""Any bytes into any parser give a value or one error of our tree, with a code and a subject; nothing else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.errors import CODES, OffseedError
from tests.effort import examples
from tests.formats.test_spec import RULES
from tests.parsers import PARSERS, TYPED


def altered(whole: bytes) -> st.SearchStrategy[bytes]:
    """Return `whole` with a few bytes exchanged, removed, added or copied from elsewhere in it."""
    place = st.integers(0, len(whole))
    piece = st.binary(max_size=8) | st.builds(lambda a, b: whole[min(a, b) : max(a, b)], place, place)

    def splice(data: bytes, edit: tuple[int, int, bytes]) -> bytes:
        at, length, new = edit
        return data[:at] + new + data[at + length :]

    edits = st.lists(st.tuples(place, st.integers(0, 8), piece), min_size=1, max_size=3)

    def apply(found: list[tuple[int, int, bytes]]) -> bytes:
        data = whole
        for edit in found:
            data = splice(data, edit)
        return data

    return edits.map(apply)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@pytest.mark.parametrize("name", [*PARSERS, *TYPED])
def test_any_bytes_give_a_value_or_one_error(name: str) -> None:
    whole, decode = {**PARSERS, **TYPED}[name]
    decode(whole)

    @settings(max_examples=examples(60))
    @given(
        data=altered(whole) | st.binary(max_size=200) | st.builds(whole.__getitem__, st.slices(len(whole)))
    )
    def check(data: bytes) -> None:
        try:
            decode(data)
        except OffseedError as error:
            assert error.code in CODES or error.code in RULES
            assert error.subject or name in TYPED
            assert error.what

    check()
