"""The `importer` command. Only this package reads the environment, prints and chooses exit codes."""

import sys


def main() -> None:
    """Entry point of the console script."""
    from formats.console import run
    from importer.cli.app import app, home

    sys.exit(run("importer", app, lambda: home() / "logs"))
