"""Signs that work goes on: a bar on a terminal, or a line of text at intervals."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from formats.words import size

PAUSE = 0.2  # seconds between two updates of a bar


class Bar:
    """A bar on the terminal. It is no error if the terminal has gone because its window was closed."""

    def __init__(self, title: str) -> None:
        from tqdm import tqdm

        self._title = title
        self._shown = 0.0
        known = os.get_terminal_size(2).columns  # a serial console does not know its width
        self._bar: Any = tqdm(
            bar_format="{desc}",
            leave=False,
            mininterval=0,  # `show` keeps the pace: two would pass over some updates
            miniters=0,
            dynamic_ncols=bool(known),
            ncols=None if known else 80,
        )

    def show(self, done: int, expected: int, final: bool, counts: Sequence[str]) -> None:
        """Show `done` bytes of `expected`, if any are expected; until the count is `final`, of at least so many.

        The least important part comes last, because a narrow terminal cuts it off.
        """
        if (now := time.monotonic()) - self._shown < PAUSE:
            return
        self._shown = now
        rate = self._bar.format_dict["rate"] or 0.0
        words = [size(done), *([f"{size(rate)}/s"] if rate else []), *counts]
        if done < expected:
            words[0] += f" of {'' if final else '≥ '}{size(expected)}"
            if final and rate > 0:
                words.insert(2, f"{self._bar.format_interval((expected - done) / rate)} left")
        counting = done >= expected or not final  # neither a share nor a time is known yet
        self._bar.total = None if counting else expected
        self._bar.bar_format = "{desc}" if counting else f"{100 * done // expected:3}%|{{bar:10}}| {{desc}}"
        self._bar.set_description_str(f"{self._title}: {', '.join(words)} ", refresh=False)
        with suppress(OSError):
            self._bar.update(done - self._bar.n)

    def clear(self) -> None:
        with suppress(OSError):
            self._bar.clear()

    def close(self) -> None:
        with suppress(OSError):
            self._bar.close()


class Rate:
    """The bytes per second since the previous call."""

    def __init__(self, done: int) -> None:
        self._before = (time.monotonic(), done)

    def of(self, done: int) -> float:
        (began, before), self._before = self._before, (time.monotonic(), done)
        return (done - before) / max(self._before[0] - began, 0.001)


@contextmanager
def every(seconds: float, action: Callable[[], None]) -> Iterator[None]:
    """Call `action` after every `seconds` seconds while inside, in a thread of its own."""
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
