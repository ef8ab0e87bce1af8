"""The runner of the mutants: it proves that the fast tests notice every fault of the list.

Each fault goes into a copy of the tree, and pytest runs there on the tests that must notice it. A fault counts as
caught if a test *fails*, which is exit code 1: an error while tests are collected, or in a fixture, is none. Two
facts are proved first, once a run. The same tests pass in a copy without a fault. And a journey's `seed` and
`importer` run the code of the copy.
"""

import compileall
import os
import py_compile
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.fault import Fault, StaleError
from tests.mutants.faults import FAULTS

ROOT = Path(__file__).parent.parent.parent
AT_ONCE = 2
PATIENCE = 3600.0  # seconds, for a test that a fault keeps from ending
FAILED = 1  # pytest's exit code for: tests ran, and some failed
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not nightly")

PROBE = Fault(
    name="probe",
    file="formats/shell/running.py",
    line="    consoles.clear()",
    changed="    sys.exit(77)",
    breaks="Both commands end at once, with an exit code that no other fault gives.",
    caught_by=(),
)
PROBING = """
import sys
from pathlib import Path
from tests.journeys.stage import Stage
for program in ("seed", "importer"):
    Stage(Path(sys.argv[1])).run(program, "--version", code=77)
"""


class UnfitError(Exception):
    """A reason why this machine or this tree can prove nothing."""


@dataclass(frozen=True)
class Ended:
    """The exit code and the whole output of a process."""

    code: int
    output: str

    def lines(self, word: str) -> list[str]:
        """Return the node ids that pytest's summary lists under `word`."""
        return re.findall(rf"^{word} (\S+::.+?)(?: - .*)?$", self.output, re.MULTILINE)


@dataclass(frozen=True)
class Copy:
    """A copy of the tree, and a folder for the temporary files of processes in it."""

    folder: Path

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    def run(self, *words: str) -> Ended:
        """Run Python in the copy, on the modules of the copy. Raises UnfitError if it does not end."""
        scratch = self.folder / "tmp"
        scratch.mkdir(mode=0o711, exist_ok=True)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        own = {"PYTHONPATH": str(self.tree), "OFFSEED_TREE": str(self.tree), "TMPDIR": str(scratch)}
        log = self.folder / "log"
        with log.open("wb") as output:
            try:
                done = subprocess.run(
                    (sys.executable, *words),
                    cwd=self.tree,
                    env={**inherited, **own, "PYTHONDONTWRITEBYTECODE": "1"},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=PATIENCE,
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                raise UnfitError(f"cannot wait any longer for: {' '.join(words)}") from error
        return Ended(done.returncode, log.read_text(encoding="utf-8", errors="replace"))


def main() -> int:
    """Run all faults, or those that the command line names, and return 0 only if each is caught.

    With `--all` each fault meets the whole fast part instead of the tests that the list names.
    """
    began, busy = time.monotonic(), _children_seconds()
    names = [word for word in sys.argv[1:] if not word.startswith("-")]
    try:
        faults = _chosen(names)
        caught = _prove(faults, whole="--all" in sys.argv)
    except (UnfitError, StaleError) as error:
        print(f"mutants: {error}")
        return 1
    print(
        f"{caught} of {len(faults)} faults were caught, in {time.monotonic() - began:.0f} seconds "
        f"and {_children_seconds() - busy:.0f} seconds of processors"
    )
    return 0 if caught == len(faults) else 1


def verdict(ended: Ended) -> tuple[bool, str]:
    """Return whether a fault was caught, and by which test, or why not."""
    if ended.code == 0:
        return False, "SLIPPED THROUGH: all its tests pass"
    failed = ended.lines("FAILED")
    if ended.code == FAILED and failed:
        return True, failed[0]
    return False, f"NOT CAUGHT: no test failed, but pytest ended with {ended.code}\n{_end(ended)}"


def unproved(faults: Sequence[Fault], ended: Ended) -> list[str]:
    """Return why a run without a fault proves nothing for some of the faults."""
    if ended.code:
        return [f"cannot begin: without any fault pytest ends with {ended.code}\n{_end(ended)}"]
    passed = ended.lines("PASSED")
    return [
        f"cannot try {fault.name}: without it no test of {' '.join(fault.caught_by)} passes (all are skipped?)"
        for fault in faults
        if not any(node == test or node.startswith((f"{test}::", f"{test}["))
                   for test in fault.caught_by for node in passed)
    ]  # fmt: skip


def _prove(faults: Sequence[Fault], *, whole: bool) -> int:
    """Return how many of the faults were caught, each reported in a line. Raises UnfitError, StaleError."""
    for fault in faults:  # check before the long part
        fault.changed_text((ROOT / fault.file).read_text(encoding="utf-8"))
    with _copy_of_tree() as sound:
        _probe(sound)
        tests = () if whole else sorted({test for fault in faults for test in fault.caught_by})
        ended = sound.run(*PYTEST, "-rfEp", "-n", str(AT_ONCE), "--dist", "loadfile", *tests)
        if reasons := unproved(faults, ended):
            raise UnfitError("\n".join(reasons))
        print("without any fault these tests pass", flush=True)

        def attempt(fault: Fault) -> tuple[bool, str]:
            with _copy_of(sound, fault) as copy:
                return verdict(copy.run(*PYTEST, "-rfE", "-x", *(() if whole else fault.caught_by)))

        caught = 0
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for fault, (is_caught, told) in zip(faults, pool.map(attempt, faults), strict=True):
                caught += is_caught
                print(f"{fault.name} -> {told}", flush=True)
    return caught


def _chosen(names: Sequence[str]) -> list[Fault]:
    """Return the faults of these names, or all. Raises UnfitError for an unknown name."""
    known = {fault.name: fault for fault in FAULTS}
    if unknown := [name for name in names if name not in known]:
        raise UnfitError(f"cannot find a fault called {unknown[0]}: there are {', '.join(known)}")
    return [known[name] for name in names] or list(FAULTS)


def _probe(sound: Copy) -> None:
    """Prove that the commands of the journeys run the code of a copy. Raises UnfitError."""
    with _copy_of(sound, PROBE) as copy:
        ended = copy.run("-c", PROBING, str(copy.folder / "stage"))
        if ended.code:
            raise UnfitError(f"cannot reach what the journeys start by a fault in a copy\n{_end(ended)}")


@contextmanager
def _copy_of_tree() -> Iterator[Copy]:
    """Yield a copy of all files that Git knows, with its modules compiled. Raises UnfitError."""
    listed = subprocess.run(("git", "ls-files", "-z"), cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        raise UnfitError(f"cannot list the files of the tree: {listed.stderr.decode().strip()}")
    with _copy() as copy:
        for name in map(os.fsdecode, listed.stdout.split(b"\0")[:-1]):
            if (ROOT / name).is_file():  # a file just deleted is still listed
                (copy.tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, copy.tree / name)
        compileall.compile_dir(copy.tree, quiet=2)
        yield copy


@contextmanager
def _copy_of(sound: Copy, fault: Fault) -> Iterator[Copy]:
    """Yield a further copy, with a fault in it. Raises StaleError."""
    with _copy() as copy:
        shutil.copytree(sound.tree, copy.tree)
        fault.apply(copy.tree)
        py_compile.compile(str(copy.tree / fault.file), doraise=True)  # replaces the code compiled before
        yield copy


@contextmanager
def _copy() -> Iterator[Copy]:
    """Yield an empty folder that other users may pass through: a folder above a source must not change."""
    with tempfile.TemporaryDirectory(prefix="mutant-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        yield Copy(Path(folder))


def _end(ended: Ended) -> str:
    return "\n".join(ended.output.splitlines()[-40:])


def _children_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system
