"""The handles that a part of the program may hold follow the system's limit, and a lack has its own error."""

import errno
import os
import sys
from collections.abc import Iterator

import pytest

from formats.errors import StoreError, is_damage
from formats.store.failures import meaning
from seed.source.handles import LEAST, share

if sys.platform == "win32":
    pytest.skip("Windows has no such limit", allow_module_level=True)
import resource


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize(("allowed", "held"), [(1024, 128), (512, 64), (64, 8), (16, LEAST)])
def test_a_share_shrinks_with_the_limit(allowed: int, held: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    assert share(128) == held


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_a_lack_of_handles_is_no_damage(number: int) -> None:
    """Refuse to take a lack of handles for damage of a medium: whole archives would be given up."""
    error = meaning(OSError(number, os.strerror(number)), "archives/00")
    assert isinstance(error, StoreError)
    assert (error.code, is_damage(error)) == ("handles-short", False)
