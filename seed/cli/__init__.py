"""The `seed` command. Only this package reads the environment, prints and chooses exit codes."""

import gc
import os
import sys

TYPE_CHECKING = False  # for mypy; to import typing takes longer than all this
if TYPE_CHECKING:
    from pathlib import Path

    from formats.shell.console import Console


def main() -> None:
    """Run the console script."""
    from formats.shell.crash_guard import framed

    # Many threads wait for the interpreter for microseconds of work: at the default 5 ms they wait for each other.
    sys.setswitchinterval(0.0001)
    # Hardly one of millions of rows is part of a cycle: at the default, the search for cycles took a tenth of a run.
    gc.set_threshold(100_000)
    sys.exit(framed("seed", _work, _logs))


def _work() -> int:
    from formats.shell.completion import hear_shell, variable
    from formats.shell.console import FAILED
    from formats.shell.running import run
    from seed.cli.app import app
    from seed.cli.detaching import ended

    if variable("seed") in os.environ:
        hear_shell()

    ending = FAILED
    try:
        ending = run("seed", app, _job_ended)
    finally:
        ended(ending)
    return ending


def _job_ended(console: "Console") -> None:
    """Send the notices about an ended job; only the end of a job loads the modules for it."""
    from seed.cli.jobs import job_ended

    job_ended(console)


def _logs() -> "Path":
    from seed.cli.app import home_path

    return home_path() / "logs"
