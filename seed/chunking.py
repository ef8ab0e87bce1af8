"""Content into chunks: small files laid end to end into bundles, larger ones cut by content.

A stage without I/O of its own: it is handed bytes and hands on `Unit`s in order.
"""

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass

from pyfastcdc import FastCDC

from formats.ids import ChunkId
from formats.keyed.keys import MasterKey
from formats.keyed.slots import ChunkingParameters

WINDOW = 8 << 20


@dataclass(slots=True, eq=False)
class Unit:
    """One chunk on its way: `raw` until it is sealed, `id` from then on."""

    raw: memoryview | None
    size: int
    id: ChunkId | None = None
    future: "Future[tuple[ChunkId, bytes | None]] | None" = None
    buffer: bytearray | None = None  # to be given back once the unit is sealed


class Bundler:
    """Lays small files end to end into buffers that are used again; cuts fall at file borders only.

    `space` lends room for a file, which is read straight into it; `keep` makes it part of the bundle.
    """

    def __init__(self, parameters: ChunkingParameters) -> None:
        self._size_max = parameters.bundle_size
        self._free: list[bytearray] = []
        self._start()

    def _start(self) -> None:
        # One byte more than a bundle holds: by it a file that grew is noticed.
        self._buffer = self._free.pop() if self._free else bytearray(self._size_max + 1)
        self._view = memoryview(self._buffer)
        self._unit = Unit(None, 0, buffer=self._buffer)
        self.size = 0

    def fits(self, length: int) -> bool:
        return not self.size or self.size + length <= self._size_max

    def space(self, length: int) -> memoryview:
        """Room for `length` bytes and one more."""
        return self._view[self.size : self.size + length + 1]

    def keep(self, length: int) -> tuple[Unit, int]:
        """The first `length` bytes of the space are the next file. Returns its bundle and its offset there."""
        place = self._unit, self.size
        self.size += length
        return place

    def close(self) -> Unit | None:
        """The bundle, ready to be sealed; None where nothing was laid in."""
        if not self.size:
            return None
        unit = self._unit
        unit.raw, unit.size = self._view[: self.size], self.size
        self._start()
        return unit

    def recycle(self, unit: Unit) -> None:
        """Take back the buffer of a unit that has been sealed."""
        if unit.buffer is not None:
            self._free.append(unit.buffer)
            unit.buffer = None


class Cutter:
    """Cuts a stream of bytes by FastCDC with the keyed seed; windows of any size give the same cuts."""

    def __init__(self, master: MasterKey, parameters: ChunkingParameters) -> None:
        self._size_max = parameters.max_size
        self._cdc = FastCDC(
            avg_size=parameters.mean_size,
            min_size=parameters.min_size,
            max_size=parameters.max_size,
            seed=master.chunker,
        )

    def cut(self, windows: Iterator[bytes]) -> Iterator[memoryview]:
        """The chunks of the stream that `windows` make end to end, as views into them."""
        carry = b""
        for window in windows:
            data = memoryview(carry + window if carry else window)
            at = 0
            for chunk in self._cdc.cut_buf(data):
                if len(data) - at < self._size_max:
                    break
                yield data[at : at + chunk.length]
                at += chunk.length
            carry = bytes(data[at:])
        if carry:
            data = memoryview(carry)
            at = 0
            for chunk in self._cdc.cut_buf(data):
                yield data[at : at + chunk.length]
                at += chunk.length
