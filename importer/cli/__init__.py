"""The `importer` command. Only this package reads the environment, prints and chooses exit codes."""

import gc
import os
import sys

TYPE_CHECKING = False  # for mypy; to import typing takes longer than all this
if TYPE_CHECKING:
    from pathlib import Path

    from formats.shell.console import Console


def main() -> None:
    """Run the `importer` command."""
    from formats.shell.crash_guard import framed

    # A start makes tens of thousands of objects that stay, and hardly one that is part of a cycle.
    gc.set_threshold(100_000)
    sys.exit(framed("importer", _work, _logs))


def _work() -> int:
    from formats.shell.completion import hear_shell, variable
    from formats.shell.running import run
    from importer.cli.app import app

    if variable("importer") in os.environ:
        hear_shell()

    return run("importer", app, _job_ended)


def _job_ended(console: "Console") -> None:
    """Notify the receivers that the operator set. Only the end of a job loads the code for that."""
    from importer.cli.jobs import job_ended

    job_ended(console)


def _logs() -> "Path":
    from importer.cli.app import home

    return home() / "logs"
