"""The command `python -m tests`: the static checks, and every test of the fast part on all processors.

`--static` stops after the static checks. `--nightly` does everything, for about an hour: every crash point, every cell
of the damage matrix and soaks. It adds two journeys in containers, ten times the examples, the year and fuzzing.
Fuzzing needs the extra `fuzz`. `--mutants` shows that the fast part notices faults. All else goes to pytest.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests import effort

ROOT = Path(__file__).parent.parent
PYTHON = (sys.executable, "-m")
Command = tuple[str, ...]

STATIC: tuple[Command, ...] = (
    (*PYTHON, "ruff", "check", "."),
    (*PYTHON, "ruff", "format", "--check", "."),
    *((*PYTHON, "mypy", "--platform", platform) for platform in ("linux", "win32", "darwin")),
)

# Tests of one file share the objects that they build, so they stay together. They mostly wait for disks.
PROCESSES = 3 * (os.cpu_count() or 1)
PARALLEL: Command = (*PYTHON, "pytest", "-n", str(PROCESSES), "--dist", "loadfile", "--no-loadscope-reorder")
IN_CONTAINERS = ("tests/journeys/test_main_job.py", "tests/journeys/test_backup.py")
CONTAINERS = {"OFFSEED_VAULT": "azblob"}

# The programs of the night: `python -m` explains each of them. The lanes run side by side.
NIGHT: tuple[tuple[Command, ...], ...] = (
    (("tests.retention.year",),),
    (
        ("tests.damage",),
        ("tests.damage.model", "--minutes", "3"),
        ("tests.damage.rot",),
        ("tests.journeys.soak", "--kills", "3", "--calls", "5"),
        ("tests.fuzz", "--minutes", "5"),
    ),
)


def main() -> int:
    """Return the exit code of the first command that fails, 0 if none does."""
    words = sys.argv[1:]
    if code := _all(STATIC):
        return code
    if words == ["--static"]:
        return 0
    if words == ["--mutants"]:
        from tests.mutants.run import main as try_mutants

        return try_mutants()
    if words == ["--nightly"]:
        return _nightly()
    if words:
        return _run((*PYTHON, "pytest", *words))
    return _run(PARALLEL)


def _nightly() -> int:
    """Run everything, also after a failure, and return how many commands failed."""
    failed = [
        _run(PARALLEL, **{effort.VARIABLE: "1"}),
        _run((*PARALLEL, *IN_CONTAINERS), **CONTAINERS),
    ]
    with ThreadPoolExecutor(len(NIGHT)) as pool:
        for codes in pool.map(_lane, NIGHT):
            failed += codes
    print(f"{len(failed)} commands of the night, {sum(map(bool, failed))} failed", flush=True)
    return sum(map(bool, failed))


def _lane(programs: Sequence[Command]) -> list[int]:
    return [_run((*PYTHON, *words)) for words in programs]


def _all(commands: Sequence[Command]) -> int:
    return next((code for code in map(_run, commands) if code), 0)


def _run(command: Command, **environment: str) -> int:
    shown = " ".join((*(f"{name}={value}" for name, value in environment.items()), *command[1:]))
    print("$", shown, flush=True)
    began = time.monotonic()
    code = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=False).returncode
    print(f"# {shown}: {time.monotonic() - began:.0f} s, exit {code}", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
