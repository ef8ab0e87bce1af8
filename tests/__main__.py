"""`python -m tests`: ruff, mypy for three platforms and the import graph, then every test on all processors, then some of
the journeys once more with their vaults in containers. `--static`: the first part. What else is given goes to pytest."""

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


def main() -> int:
    """The exit code of the first command that fails, 0 where none does."""
    commands = (
        [*STATIC] if "--static" in sys.argv else [*STATIC, (*PYTHON, "pytest", *(sys.argv[1:] or PARALLEL))]
    )
    for command in commands:
        if code := _run(command):
            return code
    return (
        _run((*PYTHON, "pytest", *PARALLEL, *IN_CONTAINERS), OFFSEED_VAULT="azblob")
        if not sys.argv[1:]
        else 0
    )


def _run(command: tuple[str, ...], **environment: str) -> int:
    print("$", *(f"{name}={value}" for name, value in environment.items()), *command[1:], flush=True)
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=False).returncode


sys.exit(main())
