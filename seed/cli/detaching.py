"""The option `--detach`: it starts this very command once more, in a session of its own.

Until the new process has begun, it writes to the terminal; from then on to its log. It says that it has begun
over a pipe, which replaces its input. If it ends before, it has given the reason itself.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from formats.errors import OffseedError
from formats.shell.console import DONE, Console
from formats.words import moment

if TYPE_CHECKING:
    from pathlib import Path

    from seed.home.background_job import Detachment
    from seed.home.home import Home

BEGUN = b"begun"
INTERVAL = 600.0  # seconds between two lines of progress in the log
if sys.platform == "win32":
    FLAGS = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
else:
    FLAGS = 0

_detachments: "list[Detachment]" = []


def detach(console: Console, home: "Path") -> int:
    """Run this command in the background, and say how to follow it.

    Return the exit code of that process if it has ended already, else DONE.
    """
    from seed.home.background_job import last_detached

    listening, telling = os.pipe()
    with open(listening, "rb") as pipe:
        try:
            child = subprocess.Popen(_again(), stdin=telling, start_new_session=True, creationflags=FLAGS)
        finally:
            os.close(telling)
        try:
            if pipe.read() != BEGUN:
                code = child.wait()
                return code if code >= 0 else 128 - code
        except KeyboardInterrupt:
            child.terminate()
            raise
    last, _ = last_detached(home)
    assert last is not None
    console.say(
        f"The backup goes on in the background since {moment(last.began)}; this terminal may be closed."
    )
    console.say(f"  process      {last.pid}; `kill {last.pid}` stops it, and the next backup goes on")
    console.say(f"  log          {last.log}")
    console.say("  `seed status` tells whether it still runs, and how it ended.")
    console.result({"pid": last.pid, "began": last.began, "log": last.log})
    return DONE


def _again() -> list[str]:
    """Return the command line of this process, with the option for the process in the background."""
    at = len(sys.orig_argv) - len(sys.argv) + 2  # behind the name of the command
    return [sys.executable, *sys.orig_argv[1:at], "--detached", *sys.orig_argv[at:]]


def leave(console: Console, home: "Home") -> None:
    """Send all output from here on to the log, in the background, once all is checked. Raises HomeError."""
    from seed.home.background_job import Detachment

    _detachments.append(detachment := Detachment(home.path, home.clock))
    sys.stdout.flush()
    sys.stderr.flush()
    for stream in (1, 2):
        os.dup2(detachment.output, stream)
    os.close(detachment.output)
    console.interval = INTERVAL


def hear_no_hangup() -> None:
    """Ignore the end of the terminal, as under `nohup`."""
    if sys.platform != "win32":
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def tell_begun() -> None:
    """Let the command in the foreground end, if it still waits."""
    with suppress(OSError):
        os.write(0, BEGUN)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)


def ended(code: int) -> None:
    """Note how this process ended, if it went on in the background."""
    for detachment in _detachments:
        with suppress(OffseedError):  # a home without room; the log has all the rest
            detachment.end(code)
