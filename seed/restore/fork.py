"""Work in a fork of this process. The fork inherits all that it needs, and sends back its result.

The fork reads and writes files, and opens seals. It reports to its parent alone. It ends when the parent stops
listening or dies.
"""

import os
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection, Pipe
from typing import Any, Generic, TypeVar

from formats.monitor import Monitor, Tally
from seed.forking import fork

T = TypeVar("T")

_TOLD_BYTES = 8 << 20  # of progress, before it is sent
_LOOK = 0.1  # seconds between looks at whether to stop


class Fork(Generic[T]):
    """A fork that does `work`.

    `others` are the forks that run already: this one must not keep their pipes open.
    """

    def __init__(self, work: Callable[[Tally], T], others: "Iterable[Fork[T]]") -> None:
        ends: tuple[Any, Any] = Pipe()  # of another class on Windows
        self._pipe, far = ends
        pipes = [self._pipe, *(other._pipe for other in others)]
        self._pid = fork(lambda: _serve(work, far, pipes))
        far.close()

    def result(self, monitor: Monitor) -> T | None:
        """Return the result of the work.

        Return None if the fork died, failed or is to stop: then it reported none.
        """
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
        """Let the fork stop if it still works, and wait for that."""
        self._pipe.close()
        os.waitpid(self._pid, 0)


class _Relay(Tally):
    """A monitor that remembers reports and sends the progress on.

    It stops when the parent no longer listens.
    """

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


def _serve(work: Callable[[Tally], T], pipe: Connection, parents: Iterable[Connection]) -> None:
    for other in parents:
        other.close()
    relay = _Relay(pipe)
    try:
        done = work(relay)
        pipe.send(relay.done)
        pipe.send(done)
    except BaseException:  # the parent does the work itself, and meets the same error
        return
