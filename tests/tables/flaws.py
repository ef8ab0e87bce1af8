"""Bytes with one flaw each, and the outcome of reading them."""

from collections.abc import Callable, Iterator

import pytest

from formats.errors import OffseedError

Outcome = tuple[type[OffseedError], str]


def outcome(action: Callable[..., object], *arguments: object) -> Outcome:
    """Return class and code of the error that `action(*arguments)` must end in; it names its subject."""
    with pytest.raises(OffseedError) as caught:
        action(*arguments)
    assert caught.value.subject
    return type(caught.value), caught.value.code


def patched(data: bytes, at: int, new: bytes) -> bytes:
    """Return `data` with `new` in place of as many bytes from `at` on; a negative `at` counts from the end."""
    at %= len(data)
    return data[:at] + new + data[at + len(new) :]


def flips(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield every single flipped bit: the number of its byte, and the changed bytes."""
    for bit in range(len(data) * 8):
        yield bit // 8, patched(data, bit // 8, bytes([data[bit // 8] ^ 1 << bit % 8]))
