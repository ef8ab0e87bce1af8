"""Commands that send themselves a signal at an exact moment.

So no test must hurry to hit a process that may have ended.
At these moments a store writes an object, or deletes one.
A command that kills or stops itself runs no further instruction.
A command that sends itself another signal goes on after it has heard the signal.
"""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Literal

from tests.commands import PATIENCE, Forks, Process, Program
from tests.journeys import inside
from tests.journeys.stage import Stage, ended

assert sys.platform == "linux"

# Before a store writes an object, in the middle, after it, after a deletion; or any step on the way.
Moment = Literal["asked", "writing", "placed", "deleted", "step"]

REACHED: Final = inside.REACHED
STEPS: Final = 6  # of one object: asked, writing, flushed, renamed, its folder flushed, placed
LOCAL: Final = "formats.store.local:LocalStore"
CONTAINER: Final = "formats.store.azblob.store:AzureStore"


def at(
    moment: Moment,
    number: int,
    *where: Path | str,
    prefix: str = "archives/",
    nth: int = 1,
    times: int = 1,
    store: str = LOCAL,
) -> Forks:
    """Build the commands with a signal at the n-th such moment of one store, or n-th step of all stores.

    Only stores with an address that begins with one of `where` count.
    Only objects with a name that begins with `prefix` count. The command sends the signal `times` times.
    With the number 0 it sends none: it writes `REACHED` to stderr, and waits until it hears the test's signal.
    """
    words = {
        "moment": moment, "number": int(number), "times": times, "where": [*map(str, where)],
        "prefix": prefix, "nth": nth,
    }  # fmt: skip
    return Forks(f"import runpy; runpy.run_path({inside.__file__!r})['arm']({store!r}, **{words!r})")


@contextmanager
def using(stage: Stage, command: Program) -> Iterator[None]:
    """Let the stage start its commands in this way for a while."""
    usual, stage.command = stage.command, command
    try:
        yield
    finally:
        stage.command = usual


def killed(stage: Stage, command: Program, *words: object) -> None:
    """Run a command that must be killed by its own signal."""
    with using(stage, command):
        stage.run(*map(str, words), code=-signal.SIGKILL)


@contextmanager
def stopped(process: Process) -> Iterator[None]:
    """Wait until the process has stopped itself, and let it go on afterwards."""
    until = time.monotonic() + PATIENCE
    while not _is_stopped(process.pid):
        assert process.poll() is None, ended(process)
        assert time.monotonic() < until, "the process does not stop"
        time.sleep(0.002)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def _is_stopped(pid: int) -> bool:
    """Return whether all threads of the process have stopped."""
    with suppress(OSError):
        found = [*Path(f"/proc/{pid}/task").glob("*/stat")]
        states = [path.read_text().rpartition(")")[2].split()[0] for path in found]
        return "T" in states and all(state in "TtZ" for state in states)
    return False
