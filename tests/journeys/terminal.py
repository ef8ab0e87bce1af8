"""A terminal for one command, whose window can be closed. For Linux."""

import os
import pty
import select
import signal
import sys
import termios

from tests.journeys.stage import PATIENCE, Stage


class Terminal:
    """A command at a terminal of its own, whose window can be closed."""

    pid: int
    window: int
    shown: bytes

    def __init__(self, stage: Stage, *words: object) -> None:
        if sys.platform != "linux":
            raise NotImplementedError
        command = (*stage.command(str(words[0])), *map(str, words[1:]))
        self.pid, self.window = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)  # though the tests themselves run under `nohup`
            os.chdir(stage.folder)
            os.execve(command[0], command, stage.environment({}))
        termios.tcsetwinsize(self.window, (40, 110))
        self.shown = b""

    def until(self, text: bytes) -> None:
        while text not in self.shown:
            assert select.select([self.window], [], [], PATIENCE)[0], self.shown
            self.shown += os.read(self.window, 4096)

    def end(self) -> int:
        """Its exit code, once it has ended by itself."""
        try:
            while data := os.read(self.window, 4096):
                self.shown += data
        except OSError:  # the other end is closed, or this one
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
