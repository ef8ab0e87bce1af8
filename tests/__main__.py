"""`python -m tests`: ruff, mypy for three platforms and the import graph, then every test on all processors, then some of
the journeys once more with their vaults in containers. `--static`: the first part. What else is given goes to pytest.

Some thousand processes are started, stopped and killed on a busy machine. Where no more than `FEW` tests fail they are
run once more with the machine to themselves, and count if they fail then; either way what they said stands above."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYTHON = (sys.executable, "-m")

STATIC = (
    (*PYTHON, "ruff", "check", "."),
    (*PYTHON, "ruff", "format", "--check", "."),
    *((*PYTHON, "mypy", "--platform", platform) for platform in ("linux", "win32", "darwin")),
    (*PYTHON, "pytest", "-q", "tests/test_import_graph.py"),
)

# A file's tests share what they build, so they stay together; in the order of their names the long ones do not come last.
PARALLEL = ("-n", "logical", "--dist", "loadfile", "--no-loadscope-reorder")
IN_CONTAINERS = ("tests/journeys/test_main_job.py", "tests/journeys/test_backup.py")
FEW = 2


def main() -> int:
    """The exit code of the first command that fails, 0 where none does."""
    for command in STATIC:
        if code := _run(command):
            return code
    if "--static" in sys.argv:
        return 0
    if sys.argv[1:]:
        return _run((*PYTHON, "pytest", *sys.argv[1:]))
    return _all() or _all(*IN_CONTAINERS, OFFSEED_VAULT="azblob")


def _all(*files: str, **environment: str) -> int:
    # Cleared, for what is read below must be of this run: pytest keeps failures of tests that are gone by now for ever.
    code = _run((*PYTHON, "pytest", "--cache-clear", *PARALLEL, *files), **environment)
    if code != 1:  # of all codes the one that says: some tests failed
        return code
    failed = json.loads((ROOT / ".pytest_cache/v/cache/lastfailed").read_bytes())
    if len(failed) > FEW:
        return code
    print("FAILED, and run once more by themselves:", *failed, sep="\n  ", flush=True)
    return _run((*PYTHON, "pytest", "--last-failed", *files), **environment)


def _run(command: tuple[str, ...], **environment: str) -> int:
    print("$", *(f"{name}={value}" for name, value in environment.items()), *command[1:], flush=True)
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=False).returncode


sys.exit(main())
