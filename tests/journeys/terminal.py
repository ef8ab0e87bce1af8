"""A terminal for one command, with a window that a test can close. For Linux."""

import os
import select
import sys
import termios
from collections.abc import Callable

from tests.commands import PATIENCE, at_terminal
from tests.journeys.stage import Stage


class Terminal:
    """A command at its own terminal, with a window that a test can close."""

    window: int
    shown: bytes
    _await_end: Callable[[], int]

    def __init__(self, stage: Stage, *words: object) -> None:
        if sys.platform != "linux":
            raise NotImplementedError
        environment = stage.environment({})
        self.window, self._await_end = at_terminal(
            stage.command, tuple(map(str, words)), environment, stage.folder
        )
        termios.tcsetwinsize(self.window, (40, 110))
        self.shown = b""

    def until(self, text: bytes) -> None:
        while text not in self.shown:
            assert select.select([self.window], [], [], PATIENCE)[0], self.shown
            self.shown += os.read(self.window, 4096)

    def end(self) -> int:
        """Return its exit code after it has ended by itself."""
        try:
            while data := os.read(self.window, 4096):
                self.shown += data
        except OSError:  # the other end is closed, or this one
            pass
        return self._await_end()
