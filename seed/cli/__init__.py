"""The `seed` command. Only this package reads the environment, prints and chooses exit codes."""

import gc
import os
import sys

TYPE_CHECKING = False  # for mypy; to import typing takes longer than all this
if TYPE_CHECKING:
    from pathlib import Path

    from formats.console import Console


def main() -> None:
    """Entry point of the console script."""
    from formats.ending import framed

    # Many threads wait for the interpreter for microseconds of work: at the default 5 ms they wait for each other.
    sys.setswitchinterval(0.0001)
    # Of millions of rows on their way hardly one is part of a cycle: at the default, looking for some took a tenth of a run.
    gc.set_threshold(100_000)
    sys.exit(framed("seed", _work, _logs))


def _work() -> int:
    from formats.completion import hear_shell, variable
    from formats.console import FAILED, run
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
    """Tell who wants to be told. Only the end of a job loads what that takes."""
    from seed.cli.jobs import job_ended

    job_ended(console)


def _logs() -> "Path":
    from seed.cli.app import home_path

    return home_path() / "logs"
