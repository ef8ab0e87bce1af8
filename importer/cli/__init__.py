"""The `importer` command. Only this package reads the environment, prints and chooses exit codes."""

import os
import sys

TYPE_CHECKING = False  # for mypy; to import typing takes longer than all this
if TYPE_CHECKING:
    from pathlib import Path


def main() -> None:
    """Entry point of the console script."""
    from formats.ending import framed

    sys.exit(framed("importer", _work, _logs))


def _work() -> int:
    from formats.completion import hear_shell, variable
    from formats.console import run
    from importer.cli.app import app
    from importer.cli.jobs import job_ended

    if variable("importer") in os.environ:
        hear_shell()

    return run("importer", app, job_ended)


def _logs() -> "Path":
    from importer.cli.app import home

    return home() / "logs"
