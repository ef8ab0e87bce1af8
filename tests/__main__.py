"""`python -m tests`: ruff, mypy for three platforms and the import graph, then every test. `--static`: the first part."""

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


def main() -> int:
    """The exit code of the first command that fails, 0 where none does."""
    commands = [*STATIC] if "--static" in sys.argv else [*STATIC, (*PYTHON, "pytest", *sys.argv[1:])]
    for command in commands:
        print("$", " ".join(command[1:]), flush=True)
        if code := subprocess.run(command, cwd=ROOT, check=False).returncode:
            return code
    return 0


sys.exit(main())
