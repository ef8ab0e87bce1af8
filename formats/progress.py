"""What shows that work goes on: a bar on a terminal, or something said every now and then."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

AT_LEAST = "{desc}: {n_fmt}/≥{total_fmt} [{elapsed}, {rate_fmt}{postfix}]"  # neither percents nor a time yet


class Bar:
    """A bar on the terminal. That the terminal has gone, its window closed, is no error."""

    def __init__(self, title: str) -> None:
        from tqdm import tqdm

        self._bar: Any = tqdm(
            desc=title,
            unit="B",
            unit_scale=True,
            unit_divisor=1024,
            leave=False,
            mininterval=0.3,
            ncols=None if os.get_terminal_size(2).columns else 80,  # a serial console does not know its own
        )

    def show(self, done: int, expected: int, final: bool, words: str) -> None:
        """So many bytes of so many, if any are expected; until that is `final`, of at least so many."""
        self._bar.total = expected or None
        self._bar.bar_format = AT_LEAST if done < expected and not final else None
        self._bar.set_postfix_str(words, refresh=False)
        with suppress(OSError):
            self._bar.update(done - self._bar.n)

    def clear(self) -> None:
        with suppress(OSError):
            self._bar.clear()

    def close(self) -> None:
        with suppress(OSError):
            self._bar.close()


class Rate:
    """Bytes a second, each time since the time before."""

    def __init__(self, done: int) -> None:
        self._before = (time.monotonic(), done)

    def of(self, done: int) -> float:
        (began, before), self._before = self._before, (time.monotonic(), done)
        return (done - before) / max(self._before[0] - began, 0.001)


@contextmanager
def every(seconds: float, action: Callable[[], None]) -> Iterator[None]:
    """While inside, `action` is called in a thread of its own, each time after so many seconds."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(seconds):
            action()

    thread = threading.Thread(target=repeat, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
