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

    raw: bytes | memoryview | None
    size: int
    id: ChunkId | None = None
    future: "Future[tuple[ChunkId, bytes | None]] | None" = None


class Bundler:
    """Collects small files; `full` tells when the bundle should go on. Cuts fall at file borders only."""

    def __init__(self, parameters: ChunkingParameters) -> None:
        self._size_max = parameters.bundle_size
        self._start()

    def _start(self) -> None:
        self._parts: list[bytes] = []
        self.size = 0
        self.unit = Unit(None, 0)

    def fits(self, length: int) -> bool:
        return not self._parts or self.size + length <= self._size_max

    def add(self, data: bytes) -> tuple[Unit, int]:
        """Lay `data` into the open bundle. Returns the bundle and the offset in it."""
        place = self.unit, self.size
        self._parts.append(data)
        self.size += len(data)
        return place

    def close(self) -> Unit | None:
        """The bundle, ready to be sealed; None where nothing was laid in."""
        if not self._parts:
            return None
        unit = self.unit
        unit.raw = b"".join(self._parts)
        unit.size = len(unit.raw)
        self._start()
        return unit


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
