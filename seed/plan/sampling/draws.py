"""Places drawn evenly from a stream of bytes of unknown length."""

import heapq
import random
from collections.abc import Iterator


class Draws:
    """Places drawn with replacement from all bytes that pass by; the number of bytes is unknown beforehand.

    Each place is drawn anew when the total passes its next threshold. After a threshold at `t` bytes, the
    next one is `t / u`, with u uniform in (0, 1]. So at any time each place is equally likely to be any byte.
    These are the exponential jumps of Efraimidis and Spirakis (Weighted random sampling with a reservoir,
    2006), for samples of one.
    """

    def __init__(self, count: int, chance: random.Random) -> None:
        self._chance = chance
        self._due = [(1.0 - chance.random(), number) for number in range(count)]
        heapq.heapify(self._due)
        self._passed = 0

    def meet(self, size: int) -> Iterator[tuple[int, int]]:
        """Yield the places drawn anew from the next `size` bytes: their numbers, and their bytes in these."""
        end = self._passed + size
        while self._due[0][0] <= end:
            threshold, number = self._due[0]
            yield number, min(max(int(threshold) - self._passed, 0), size - 1)
            heapq.heapreplace(self._due, (threshold / (1.0 - self._chance.random()), number))
        self._passed = end
