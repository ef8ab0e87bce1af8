"""Work done by a fork of this process: it inherits all that it needs, and sends back what came of it.

Only where no thread of this process may hold what the fork needs: it reads and writes files, and opens seals. It tells
nobody anything but its parent, which alone is interrupted, and it ends when that stops listening or dies.
"""

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection, Pipe
from typing import Generic, TypeVar

from formats.monitor import Monitor, Tally

T = TypeVar("T")

CAN_FORK = sys.platform == "linux"
_TOLD_BYTES = 8 << 20  # of progress, before it is sent
_LOOK = 0.1  # seconds between looks at whether to stop


class Forked(Generic[T]):
    """A fork that does `work`. `others` are those that run already: it must not keep their pipes open."""

    def __init__(self, work: Callable[[Tally], T], others: "Iterable[Forked[T]]") -> None:
        self._pipe, far = Pipe()
        self._pid = _fork()
        if not self._pid:
            try:
                for pipe in (self._pipe, *(other._pipe for other in others)):
                    pipe.close()
                if sys.platform != "win32":
                    _serve(work, far)
            finally:
                os._exit(0)  # nothing of the parent's is to be put in order
        far.close()

    def result(self, monitor: Monitor) -> T | None:
        """What came of it; None where it died, failed, or is to stop: then it has not been told of."""
        try:
            while not monitor.stopping():
                if self._pipe.poll(_LOOK):
                    message = self._pipe.recv()
                    if not isinstance(message, int):
                        return message  # type: ignore[no-any-return]
                    monitor.progress(done=message)
        except (EOFError, OSError):
            pass
        return None

    def end(self) -> None:
        """Let it stop, if it works still, and wait for that."""
        self._pipe.close()
        os.waitpid(self._pid, 0)


def _fork() -> int:
    if sys.platform == "win32":
        raise NotImplementedError
    return os.fork()


class _Relay(Tally):
    """Remembers what it is told, sends the progress on, and stops when the parent no longer listens."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__()
        self._pipe = pipe

    def progress(self, *, done: int = 0, files: int = 0, stored: int = 0, kept: int = 0) -> None:
        super().progress(done=done, files=files, stored=stored, kept=kept)
        if self.done >= _TOLD_BYTES:
            self._pipe.send(self.done)
            self.done = 0

    def stopping(self) -> bool:
        return self._pipe.poll(0)


def _serve(work: Callable[[Tally], T], pipe: Connection) -> None:
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    gc.disable()  # to look at all that was inherited would copy it
    relay = _Relay(pipe)
    try:
        done = work(relay)
        pipe.send(relay.done)
        pipe.send(done)
    except BaseException:  # the parent does the work itself, and meets what this met
        return
