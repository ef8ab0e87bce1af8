"""The list of mutants fits the tree as it is, and its runner takes only a failed test as proof."""

import ast
from pathlib import Path

import pytest

from tests.mutants.fault import Fault, StaleError
from tests.mutants.faults import FAULTS
from tests.mutants.run import PROBE, ROOT, Ended, unproved, verdict

TEXTS = {
    path: (ROOT / path).read_text(encoding="utf-8") for path in {fault.file for fault in (*FAULTS, PROBE)}
}
CATCHERS = sorted({test for fault in FAULTS for test in fault.caught_by})
Named = ast.FunctionDef | ast.ClassDef


def test_there_are_twenty_of_different_names() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 20
    assert all(fault.name.replace("-", "").isalnum() and fault.breaks.endswith(".") for fault in FAULTS)


@pytest.mark.parametrize("fault", [*FAULTS, PROBE], ids=lambda fault: fault.name)
def test_a_fault_changes_one_line_of_a_module_of_ours(fault: Fault) -> None:
    assert fault.file.split("/")[0] in ("formats", "seed", "importer")
    before, after = TEXTS[fault.file].split("\n"), fault.changed_text(TEXTS[fault.file]).split("\n")
    assert len(before) == len(after)
    changed = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
    assert changed == [(fault.line, fault.changed)]
    compile("\n".join(after), fault.file, "exec")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_has_a_test_that_is_to_notice_it(fault: Fault) -> None:
    assert fault.caught_by


@pytest.mark.parametrize("test", CATCHERS)
def test_what_notices_a_fault_is_in_the_fast_part(test: str) -> None:
    path, *names = test.partition("[")[0].split("::")
    module = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert "nightly" not in marks_of(module.body), path
    inside: list[ast.stmt] = module.body
    for name in names:
        found = [node for node in inside if isinstance(node, Named) and node.name == name]
        assert len(found) == 1, f"{path} has {len(found)} times {name}"
        assert not any("nightly" in ast.unparse(mark) for mark in found[0].decorator_list), test
        inside = found[0].body


def marks_of(body: list[ast.stmt]) -> str:
    """Return the marks that a module gives to all its tests."""
    given = [node for node in body if isinstance(node, ast.Assign) and "pytestmark" in ast.unparse(node)]
    return "\n".join(map(ast.unparse, given))


FAULT = Fault(
    name="a fault", file="a.py", line="    one = 1", changed="    one = 2", breaks="It.", caught_by=("t.py",)
)


@pytest.mark.parametrize("text", ["", "one = 1\n", "if x:\n    one = 1\n    one = 1\n"])
def test_a_line_that_is_not_there_exactly_once_is_stale(text: str) -> None:
    with pytest.raises(StaleError, match=r"a fault.*a\.py"):
        FAULT.changed_text(text)


def test_a_fault_is_written_into_a_copy(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_bytes("def f() -> None:\n    one = 1\n    # ä\n".encode())
    FAULT.apply(tmp_path)
    assert path.read_bytes() == "def f() -> None:\n    one = 2\n    # ä\n".encode()


SUMMARY = "=== short test summary info ===\n"


@pytest.mark.parametrize(
    ("code", "output", "caught"),
    [
        (1, SUMMARY + "FAILED t.py::test_it[a - b] - assert 1 == 2\n1 failed", True),
        (1, SUMMARY + "FAILED t.py::test_it\n1 failed", True),
        (0, "3 passed", False),
        (1, SUMMARY + "ERROR t.py::test_it - a fixture fails\n1 error", False),
        (2, SUMMARY + "ERROR t.py - SyntaxError\n1 error", False),
        (3, "INTERNALERROR>", False),
        (4, "ERROR: not found", False),
        (5, "no tests ran", False),
    ],
)
def test_nothing_but_a_test_that_failed_catches_a_fault(code: int, output: str, caught: bool) -> None:
    is_caught, told = verdict(Ended(code, output))
    assert is_caught is caught
    assert not caught or told.startswith("t.py::test_it")


@pytest.mark.parametrize(
    ("code", "output", "proves"),
    [
        (0, "PASSED t.py::test_it[1]\n", True),
        (0, "PASSED other.py::test_it\n", False),
        (0, "SKIPPED [1] tests/facilities.py:100: NOT TESTED\n", False),
        (1, "PASSED t.py::test_it\nFAILED t.py::test_other\n", False),
    ],
)
def test_a_run_without_faults_must_pass_and_not_skip(code: int, output: str, proves: bool) -> None:
    assert bool(unproved([FAULT], Ended(code, output))) is not proves
