"""Commands before and after a backup or an export, to dump a database or hold a snapshot.

If the command before fails, nothing is backed up. The command after always runs, and gets the result of the
backup.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from formats.errors import HomeError, Interrupted
from formats.monitor import Finding
from formats.shell.console import Console

if TYPE_CHECKING:
    from seed.home.home import Home

LOOK = 0.2  # seconds between two looks at a command that runs
BeforeOption = Annotated[
    str | None,
    typer.Option("--before", metavar="COMMAND", help="Run it first; if it fails nothing is backed up."),
]
AfterOption = Annotated[
    str | None,
    typer.Option("--after", metavar="COMMAND", help="Run it at the end, however the backup ended."),
]


@dataclass(frozen=True)
class Hooks:
    """Two commands of the system's shell; an empty text means no command."""

    before: str = ""
    after: str = ""

    def __bool__(self) -> bool:
        return bool(self.before or self.after)

    def but(self, before: str | None, after: str | None) -> "Hooks":
        """Return these commands, with the given ones in their place."""
        return Hooks(
            self.before if before is None else before,
            self.after if after is None else after,
        )


@contextmanager
def between(console: Console, home: "Home", hooks: Hooks) -> Iterator[None]:
    """Run the command before, and at the end the command after. Raises HomeError hook-failed, Interrupted."""
    if not hooks:
        yield
        return
    console.stop_in_order()
    result = "failed"
    try:
        if hooks.before:
            ended = _shell(console, home, hooks.before, "")
            if console.stopping():
                raise Interrupted(2)
            if ended:
                raise HomeError(
                    "hook-failed", f"the command before the backup ended with {ended}, so nothing was backed up",
                    subject=hooks.before, hint="read its output; --before '' leaves it out once, and `seed schedule set` for good",
                )  # fmt: skip
        yield
        result = "done"
    finally:
        if hooks.after and (ended := _shell(console, home, hooks.after, result)):
            detail = f"the command after the backup ended with {ended}"
            console.finding(Finding(code="hook-failed", subject=hooks.after, detail=detail))


def _shell(console: Console, home: "Home", words: str, result: str) -> int:
    """Run a command by the system's shell, and return its exit code.

    Its output goes where messages go. A request to stop ends the command before, but not the command after.
    """
    environment = {**os.environ, "SEED_HOME": str(home.path), "SEED_RESULT": result}
    with console.heeding():
        process = subprocess.Popen(  # noqa: S602  it is the user's own command line
            words, shell=True, stdin=subprocess.DEVNULL, stdout=sys.stderr, env=environment
        )
        while True:
            try:
                return process.wait(LOOK)
            except subprocess.TimeoutExpired:
                if console.stopping() and not result:
                    process.terminate()
