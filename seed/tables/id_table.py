"""Ids in sorted columns of machine words: 16 bytes an id, and 8 for its number if the ids have numbers.

Only the first 128 bits of an id count. Ids are keyed hashes: among 10^8 of them, two begin alike with a
chance of 10^-23. New ids gather in a dict. A full dict becomes a sorted level. A level not much larger than
the next is merged with it, so an id moves log n times at most. This is a log-structured merge (O'Neil et al.
1996), in memory. A search for many ids at once costs a fraction of a microsecond each. A search for one id
costs some microseconds a level.

Levels are merged column by column, and each merged column is freed at once. So no second table lies beside
the first. A caller with several threads must let only one of them put or look up at a time.
"""

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]

NEW_MAX = 1 << 16
RANGE = 64  # ids among which one is searched
GROWTH = 4  # a level is at least so many times larger than the next: fewer levels to search, more ids to move
SIZE = 16  # bytes of an id that count
_PAIR = np.dtype("<u8")
_NONE = np.empty(0, np.uint64)


class _Level:
    """Ids sorted by their first half; equal ones stand in the order in which they came.

    `columns` are the first halves, the second halves, and the numbers if there are any. The ids with the
    first bits b begin at `starts[b]`. They are some sixty, and a lookup searches only these.
    """

    __slots__ = ("columns", "shift", "starts", "widest")

    def __init__(self, high: Words, low: Words, values: Words | None) -> None:
        order = np.argsort(high, kind="stable")
        self.columns = [column[order] for column in (high, low, values) if column is not None]
        self._count()

    def __len__(self) -> int:
        return len(self.columns[0])

    @property
    def values(self) -> Words | None:
        return self.columns[2] if len(self.columns) > 2 else None

    def absorb(self, later: "_Level") -> None:
        """Take over the ids of a level that came later, and leave that level empty."""
        (high, *_), (further, *_) = self.columns, later.columns
        is_later = np.zeros(len(high) + len(further), np.bool_)
        is_later[np.searchsorted(high, further, side="right") + np.arange(len(further))] = True
        is_earlier = ~is_later
        del high, further
        for number in range(len(self.columns)):
            merged = np.empty(len(is_later), np.uint64)
            merged[is_earlier], merged[is_later] = self.columns[number], later.columns[number]
            self.columns[number], later.columns[number] = merged, _NONE
        self._count()

    def find(self, high: Words, low: Words) -> Places:
        """Return the first place of each id, -1 for an absent one."""
        at = self._first(high)
        near = np.minimum(at, len(self) - 1)
        alike = self.columns[0][near] == high
        found = np.where(alike, near, -1)
        for query in np.flatnonzero(alike & (self.columns[1][near] != low)):
            places = self.places(high[query], low[query])
            found[query] = places[0] if len(places) else -1
        return found

    def places(self, high: np.uint64, low: np.uint64) -> Places:
        """Return all places of one id, in the order in which they came."""
        highs, lows = self.columns[:2]
        first, end = np.searchsorted(highs, high), np.searchsorted(highs, high, side="right")
        return np.flatnonzero(lows[first:end] == low) + first

    def _count(self) -> None:
        bits = max(1, (len(self) // RANGE).bit_length())
        firsts = np.arange(1 << bits, dtype=np.uint64) << np.uint64(64 - bits)
        self.starts = np.append(np.searchsorted(self.columns[0], firsts), len(self))
        self.shift = np.uint64(64 - bits)
        self.widest = int(np.diff(self.starts).max())  # the largest number of ids with equal first bits

    def _first(self, high: Words) -> Places:
        """Return how many ids are less than each query, by bisection of all queries at once."""
        highs = self.columns[0]
        bucket = (high >> self.shift).astype(np.int64)
        first, end = self.starts[bucket], self.starts[bucket + 1]
        step = 1 << self.widest.bit_length() >> 1
        while step:
            further = np.minimum(first + step, end)
            first = np.where(highs[further - 1] < high, further, first)
            step >>= 1
        return first


class IdTable:
    """Ids of at least 16 bytes, each with a number below 2^64 if `numbered`."""

    def __init__(self, *, numbered: bool = False) -> None:
        self._numbered = numbered
        self._new: dict[bytes, int] = {}
        self._levels: list[_Level] = []

    def __len__(self) -> int:
        """Return the number of ids; an id that was put again may count again."""
        return len(self._new) + sum(map(len, self._levels))

    @property
    def size(self) -> int:
        """The bytes of the columns."""
        columns = 3 if self._numbered else 2
        return sum(8 * columns * len(level) + level.starts.nbytes for level in self._levels)

    def __contains__(self, key: bytes) -> bool:
        return self.get(key) is not None

    def get(self, key: bytes) -> int | None:
        """Return a number that was put with the id, None for an id that was never put.

        In a table without numbers, the number is 0.
        """
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
        """Return the result of `get` for each id.

        Afterwards the caller may put as many ids as it asked for, and `get_new` finds each of these at once.
        """
        if len(self._new) + len(keys) > NEW_MAX:
            self._settle()
        if not self._levels:
            return [self._new.get(key[:SIZE]) for key in keys]
        return self._find(keys)

    def get_new(self, key: bytes) -> int | None:
        """Return the result of `get` for an id that the last `find` asked for and did not find."""
        return self._new.get(key[:SIZE])

    def find_all(self, key: bytes) -> list[int]:
        """Return all numbers of an id, in the order in which they were put."""
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
        """Put many ids at once; ids that were put before keep their numbers too."""
        self._settle()
        if keys:
            self._push(_Level(*_halves(keys), values))

    def put_rows(self, rows: bytes, size: int) -> None:
        """Put many ids without numbers at once: each begins a row of `size` bytes."""
        self._settle()
        if rows:
            row = np.dtype(
                {"names": ["high", "low"], "formats": [_PAIR, _PAIR], "offsets": [0, 8], "itemsize": size}
            )
            columns = np.frombuffer(rows, row)
            self._push(_Level(columns["high"], columns["low"], None))

    def compact(self) -> None:
        """Merge all levels, after the last put: then a search is fastest."""
        self._settle()
        while len(self._levels) > 1:
            self._merge_last()

    def _settle(self) -> None:
        if not self._new:
            return
        high, low = _halves(self._new)
        values = np.fromiter(self._new.values(), np.uint64, len(self._new)) if self._numbered else None
        self._new = {}
        self._push(_Level(high, low, values))

    def _push(self, level: _Level) -> None:
        self._levels.append(level)
        while len(self._levels) > 1 and len(self._levels[-2]) < GROWTH * len(self._levels[-1]):
            self._merge_last()

    def _merge_last(self) -> None:
        later = self._levels.pop()
        self._levels[-1].absorb(later)

    def _find(self, keys: Collection[bytes]) -> list[int | None]:
        new = self._new
        high, low = _halves(keys)
        there, values = np.zeros(len(keys), np.bool_), np.zeros(len(keys), np.uint64)
        left = np.argsort(high)  # in sorted order, neighbouring ids are searched together
        high, low = high[left], low[left]
        for level in self._levels:
            at = level.find(high, low)
            hit = at >= 0
            there[left[hit]] = True
            if level.values is not None:
                values[left[hit]] = level.values[at[hit]]
            left, high, low = left[~hit], high[~hit], low[~hit]
        older = [
            value if found else None for found, value in zip(there.tolist(), values.tolist(), strict=True)
        ]
        if not new:
            return older
        return [new.get(key[:SIZE], value) for key, value in zip(keys, older, strict=True)]


def _halves(keys: Collection[bytes]) -> tuple[Words, Words]:
    pairs = np.frombuffer(b"".join([key[:SIZE] for key in keys]), _PAIR).reshape(-1, 2)
    return pairs[:, 0].copy(), pairs[:, 1].copy()
