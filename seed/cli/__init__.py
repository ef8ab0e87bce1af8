"""The `seed` command. Only this package reads the environment, prints and chooses exit codes."""

import sys


def main() -> None:
    """Entry point of the console script."""
    from formats.console import run
    from seed.cli.app import app, home_path

    sys.exit(run("seed", app, lambda: home_path() / "logs"))
