"""The sizes that users write."""

import pytest

from formats.errors import UsageError
from seed.cli.notations import parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("1000000", 10**6), ("4TB", 4 * 10**12), ("1.5 TiB", 3 << 39), ("800m", 800 * 10**6), ("0", 0)],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1", "1xB", "1iB", "1e9", "1.GB", 400 * "9" + "TB"])
def test_sizes_that_are_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_size(text)
    assert caught.value.hint
