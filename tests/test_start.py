"""What a command loads before it does its work: nothing that this work does not need.

The modules are counted, for they are the same however busy the machine is. `python -m tests.benchmarks.start` measures
what they cost.
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

NEVER = ("pydantic", "rich", "azure", "pandas")
HEAVY = (*NEVER, "pyarrow", "numpy", "cryptography.x509", "asyncio", "ssl", "email")
KEYED = ("formats.keyed", "cryptography.hazmat.primitives.ciphers", "cryptography.hazmat.primitives.kdf")

VAULT = ("--vault", "{vault}")
# Of each command line: what it must not load, and how many modules it may load at most. That is a tenth more than it loaded
# when this was written, for other versions of Python load some more. `python -X importtime` shows what is new.
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
    """A stage whose commands tell what they have loaded."""
    stage = set_up(tmp_path_factory.mktemp("start"))
    stage.command = cold(TELLING)
    return stage


def loaded(stage: Stage, words: tuple[str, ...], file: Path) -> set[str]:
    """The modules that a real command has loaded when it ends."""
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
    """The list of a point is read from tables: what the tests above forbid, this command loads."""
    found = loaded(told, ("seed", "ls", "latest"), tmp_path / "loaded")
    assert {"pyarrow", "numpy"} <= found
    assert among(found, KEYED)
