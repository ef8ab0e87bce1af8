"""The modules that a command loads before its work: none that this work does not need.

The modules are counted, because their number is the same on a busy machine. `python -m tests.benchmarks.start`
measures their cost.
"""

import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("NOT TESTED: the stage of the commands is for Linux", allow_module_level=True)

from tests.benchmarks.start import set_up
from tests.commands import cold
from tests.journeys.stage import Stage

# At its end, the process writes the names of the modules that it has loaded beyond those of any Python.
TELLING = """
import atexit, os, sys
bare = {*sys.modules}
def tell():
    with open(os.environ["LOADED"], "w") as file:
        file.writelines(f"{name}\\n" for name in sorted({*sys.modules} - bare))
atexit.register(tell)
"""

NEVER = ("pydantic", "rich", "azure", "pandas", "pyarrow")
HEAVY = (*NEVER, "numpy", "cryptography.x509", "asyncio", "ssl", "email")
KEYED = ("formats.keyed", "cryptography.hazmat.primitives.ciphers", "cryptography.hazmat.primitives.kdf")

VAULT = ("--vault", "{vault}")
# For each command line: the modules that it must not load, and the most modules that it may load.
# The limit is a tenth above the first count, for other versions of Python load more (`python -X importtime`).
STARTS: dict[tuple[str, ...], tuple[tuple[str, ...], int]] = {
    ("importer", "--help"): ((*HEAVY, *KEYED, "cryptography"), 155),
    ("importer", "points", *VAULT): ((*HEAVY, *KEYED), 230),
    ("importer", "status", *VAULT): ((*HEAVY, *KEYED), 240),
    ("importer", "import", "{disk}", *VAULT): ((*HEAVY, *KEYED), 310),
    ("importer", "validate", *VAULT): ((*HEAVY, *KEYED), 300),
    ("seed", "--help"): ((*HEAVY, *KEYED, "cryptography"), 155),
    ("seed", "points"): ((*HEAVY, "filelock"), 275),
    ("seed", "points", *VAULT): ((*HEAVY, "filelock"), 275),
    ("seed", "status"): (HEAVY, 320),
    ("seed", "jobs"): ((*HEAVY, "filelock"), 245),
    ("seed", "backup"): (NEVER, 540),
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Return a stage with commands that report their loaded modules."""
    stage = set_up(tmp_path_factory.mktemp("start"))
    stage.command = cold(TELLING)
    return stage


def loaded(stage: Stage, words: tuple[str, ...], file: Path) -> set[str]:
    """Return the modules that a real command has loaded when it ends."""
    filled = [word.format(vault=stage.at, disk=stage.disk) for word in words]
    stage.run(*filled, LOADED=file)
    return {*file.read_text().split()}


def among(found: set[str], names: tuple[str, ...]) -> set[str]:
    return {name for name in found if any(f"{name}.".startswith(f"{unwanted}.") for unwanted in names)}


@pytest.mark.parametrize("words", STARTS, ids=" ".join)
def test_a_command_loads_what_its_work_needs(words: tuple[str, ...], told: Stage, tmp_path: Path) -> None:
    unwanted, most = STARTS[words]
    found = loaded(told, words, tmp_path / "loaded")
    assert f"{words[0]}.cli.app" in found
    assert not among(found, unwanted)
    assert len(found) <= most


@pytest.mark.parametrize(
    ("words", "module"), [(("importer", "points", *VAULT), "imports"), (("seed", "points"), "reading")]
)
def test_a_command_imports_no_other_command(
    words: tuple[str, ...], module: str, told: Stage, tmp_path: Path
) -> None:
    package = f"{words[0]}.cli"
    found = among(loaded(told, words, tmp_path / "loaded"), (package,))
    here = {package, *(f"{package}.{name}" for name in ("app", "commands", module))}
    shared = {"importer.cli.wants", "seed.cli.detaching", "seed.cli.opening"}  # no commands
    assert found - shared == here


def test_the_test_sees_what_is_loaded(told: Stage, tmp_path: Path) -> None:
    """Load from tables for the list of a point: this command loads the modules that the tests above forbid."""
    found = loaded(told, ("seed", "ls", "latest"), tmp_path / "loaded")
    assert "numpy" in found
    assert among(found, KEYED)
