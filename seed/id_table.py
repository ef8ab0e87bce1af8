"""Ids in sorted columns of machine words: 16 bytes an id, and 8 for a number to each where there is one.

Of an id its first 128 bits count: ids are keyed hashes, of which among 10^8 two begin alike with a chance of 10^-23.
New ones gather in a dict. When it is full it becomes a sorted level, and a level not much larger than the next is
merged with it: so an id is moved log n times at most (a log-structured merge, O'Neil et al. 1996, in memory). To look
many up at once costs a fraction of a microsecond each; to look up one costs some microseconds a level.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]

NEW_MAX = 1 << 16
RANGE = 64  # ids that are searched for one
SIZE = 16  # bytes of an id that count
_PAIR = np.dtype("<u8")


@dataclass(frozen=True, slots=True, eq=False)
class _Level:
    """Ids sorted by their first half, those that came first before their equals.

    The ids whose first bits are b lie from `starts[b]` on, some sixty of them: the only ones that are searched.
    """

    high: Words
    low: Words
    values: Words | None
    starts: npt.NDArray[np.int64]
    shift: np.uint64
    widest: int  # most ids of like first bits

    @classmethod
    def of(cls, high: Words, low: Words, values: Words | None) -> "_Level":
        order = np.argsort(high, kind="stable")
        high, low, values = high[order], low[order], values[order] if values is not None else None
        bits = max(1, (len(high) // RANGE).bit_length())
        firsts = np.arange(1 << bits, dtype=np.uint64) << np.uint64(64 - bits)
        starts = np.append(np.searchsorted(high, firsts), len(high))
        return cls(high, low, values, starts, np.uint64(64 - bits), int(np.diff(starts).max()))

    def joined(self, later: "_Level") -> "_Level":
        values = None
        if self.values is not None and later.values is not None:
            values = np.concatenate((self.values, later.values))
        return _Level.of(
            np.concatenate((self.high, later.high)), np.concatenate((self.low, later.low)), values
        )

    def find(self, high: Words, low: Words) -> Places:
        """Where each id stands first, -1 where it does not."""
        at = self._first(high)
        near = np.minimum(at, len(self.high) - 1)
        alike = self.high[near] == high
        found = np.where(alike, near, -1)
        for query in np.flatnonzero(alike & (self.low[near] != low)):
            places = self.places(high[query], low[query])
            found[query] = places[0] if len(places) else -1
        return found

    def places(self, high: np.uint64, low: np.uint64) -> Places:
        """All places of one id, in the order in which they came."""
        first, end = np.searchsorted(self.high, high), np.searchsorted(self.high, high, side="right")
        return np.flatnonzero(self.low[first:end] == low) + first

    def _first(self, high: Words) -> Places:
        """How many ids are less: by bisection, of all queries at once."""
        bucket = (high >> self.shift).astype(np.int64)
        first, end = self.starts[bucket], self.starts[bucket + 1]
        step = 1 << self.widest.bit_length() >> 1
        while step:
            further = np.minimum(first + step, end)
            first = np.where(self.high[further - 1] < high, further, first)
            step >>= 1
        return first


class IdTable:
    """Ids of at least 16 bytes, each with a number below 2^64 if `numbered`."""

    def __init__(self, *, numbered: bool = False) -> None:
        self._numbered = numbered
        self._new: dict[bytes, int] = {}
        self._levels: tuple[_Level, ...] = ()

    def __len__(self) -> int:
        """How many there are; one that was put again may count again."""
        return len(self._new) + sum(len(level.high) for level in self._levels)

    @property
    def size(self) -> int:
        """Bytes of its columns."""
        columns = 3 if self._numbered else 2
        return sum(8 * columns * len(level.high) + level.starts.nbytes for level in self._levels)

    def __contains__(self, key: bytes) -> bool:
        return self.get(key) is not None

    def get(self, key: bytes) -> int | None:
        """A number that was put to the id, 0 if they are not numbered; None for one that was never put."""
        value = self._new.get(key[:SIZE])
        if value is not None or not self._levels:
            return value
        high, low = _halves([key])
        for level in self._levels:
            places = level.places(high[0], low[0])
            if len(places):
                return int(level.values[places[0]]) if level.values is not None else 0
        return None

    def find(self, keys: Collection[bytes]) -> list[int | None]:
        """As `get` of each. As many may be put afterwards as were asked for, and each is at hand at once."""
        if len(self._new) + len(keys) > NEW_MAX:
            self._settle()
        if not self._levels:
            return [self._new.get(key[:SIZE]) for key in keys]
        return self._find(keys)

    def get_new(self, key: bytes) -> int | None:
        """As `get`, of an id that was asked for by `find` just before, and was not there."""
        return self._new.get(key[:SIZE])

    def find_all(self, key: bytes) -> list[int]:
        """All numbers of an id, in the order in which they were put."""
        self._settle()
        high, low = _halves([key])
        found: list[int] = []
        for level in self._levels:
            places = level.places(high[0], low[0])
            found += level.values[places].tolist() if level.values is not None else [0] * len(places)
        return found

    def put(self, key: bytes, value: int = 0) -> None:
        if len(self._new) >= NEW_MAX:
            self._settle()
        self._new[key[:SIZE]] = value

    def put_all(self, keys: Collection[bytes], values: Words | None = None) -> None:
        """Many at once; those that were put before keep their numbers too."""
        self._settle()
        if keys:
            self._push(_Level.of(*_halves(keys), values))

    def compact(self) -> None:
        """Merge all levels, once no more are put: to look up is fastest then."""
        self._settle()
        while len(self._levels) > 1:
            *rest, before, last = self._levels
            self._levels = (*rest, before.joined(last))

    def _settle(self) -> None:
        """Whoever looks up meanwhile, in another thread, misses none: what is new is let go last."""
        if not self._new:
            return
        high, low = _halves(self._new)
        values = np.fromiter(self._new.values(), np.uint64, len(self._new)) if self._numbered else None
        self._push(_Level.of(high, low, values))
        self._new = {}

    def _push(self, level: _Level) -> None:
        levels = [*self._levels, level]
        while len(levels) > 1 and len(levels[-2].high) < 2 * len(levels[-1].high):
            later = levels.pop()
            levels[-1] = levels[-1].joined(later)
        self._levels = tuple(levels)

    def _find(self, keys: Collection[bytes]) -> list[int | None]:
        new, levels = self._new, self._levels
        high, low = _halves(keys)
        found = np.full(len(keys), -1, np.int64)
        values = np.zeros(len(keys), np.uint64)
        for level in levels:
            at = level.find(high, low)
            hit = at >= 0
            found[hit] = at[hit]
            if level.values is not None:
                values[hit] = level.values[at[hit]]
        older = [
            value if at >= 0 else None for at, value in zip(found.tolist(), values.tolist(), strict=True)
        ]
        if not new:
            return older
        return [new.get(key[:SIZE], value) for key, value in zip(keys, older, strict=True)]


def _halves(keys: Collection[bytes]) -> tuple[Words, Words]:
    pairs = np.frombuffer(b"".join([key[:SIZE] for key in keys]), _PAIR).reshape(-1, 2)
    return pairs[:, 0].copy(), pairs[:, 1].copy()
