"""Where the content of each small file lies, in about 40 bytes a file: there may be a hundred million of them."""

from array import array

from formats.ids import ContentId
from seed.chunking import Unit

_OFFSET_BITS = 32
_START = 1 << 12


class SmallFiles:
    """Content id → bundle and offset in it: a hash table by open addressing, in three arrays of machine words.

    Content ids are keyed hashes, so their first bits are as good as any for a place in the table.
    """

    def __init__(self) -> None:
        self._bundles: list[Unit] = []
        self._count = 0
        self._allot(_START)

    def __len__(self) -> int:
        return self._count

    def get(self, content: ContentId) -> tuple[Unit, int] | None:
        place = self._values[self._slot(*_halves(content))]
        return (self._bundles[(place >> _OFFSET_BITS) - 1], place & 0xFFFFFFFF) if place else None

    def put(self, content: ContentId, bundle: Unit, offset: int) -> None:
        """Remember a content that is not there yet."""
        if not self._bundles or self._bundles[-1] is not bundle:
            self._bundles.append(bundle)
        if 3 * self._count > 2 * len(self._values):
            self._grow()
        self._put(*_halves(content), len(self._bundles) << _OFFSET_BITS | offset)
        self._count += 1

    def _slot(self, high: int, low: int) -> int:
        """The slot of a key, or the free one where it belongs."""
        highs, lows, values, mask = self._highs, self._lows, self._values, self._mask
        at = high & mask
        while values[at] and (highs[at] != high or lows[at] != low):
            at = (at + 1) & mask
        return at

    def _put(self, high: int, low: int, value: int) -> None:
        at = self._slot(high, low)
        self._highs[at], self._lows[at], self._values[at] = high, low, value

    def _allot(self, size: int) -> None:
        empty = bytes(8 * size)
        self._highs, self._lows, self._values = array("Q", empty), array("Q", empty), array("Q", empty)
        self._mask = size - 1

    def _grow(self) -> None:
        before = zip(self._highs, self._lows, self._values, strict=True)
        self._allot(2 * len(self._values))
        for high, low, value in before:
            if value:
                self._put(high, low, value)


def _halves(content: ContentId) -> tuple[int, int]:
    return int.from_bytes(content[:8], "little"), int.from_bytes(content[8:], "little")
