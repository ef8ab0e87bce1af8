"""The claims of THREATS.md, each with a test that holds it."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "formats/THREATS.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| \*\*(T\d+)\*\* \| (.+) \| (.+) \|$", re.MULTILINE)
CLAIMS = {number: (claim, tests) for number, claim, tests in ROW.findall(TEXT)}


def named(tests: str) -> list[tuple[str, str]]:
    """Return the tests of a claim, each by file and function."""
    return [
        (file, function) for file, _, function in (t.partition("::") for t in re.findall(r"`([^`]+)`", tests))
    ]


def test_the_claims_are_numbered_without_a_gap() -> None:
    assert [*CLAIMS] == [f"T{number}" for number in range(1, len(CLAIMS) + 1)]
    assert len(CLAIMS) > 20


@pytest.mark.parametrize("number", CLAIMS)
def test_a_claim_is_held_by_tests_that_there_are(number: str) -> None:
    _, tests = CLAIMS[number]
    found = named(tests)
    assert found, "a claim without a test"
    for file, function in found:
        path = ROOT / "tests" / file
        assert path.exists(), file
        assert f"def {function}(" in path.read_text(encoding="utf-8"), f"{file}::{function}"


def test_every_attack_on_a_disk_is_listed() -> None:
    if sys.platform != "linux":
        return
    from tests.hostile import test_disks

    listed = re.findall(r"^\| ([a-z][^|]+?) \| `([A-Za-z0-9-]+)` \|$", TEXT, re.MULTILINE)
    assert dict(listed) == {name: attack.code for name, attack in test_disks.ATTACKS.items()}
