"""Content into chunks: small files laid end to end into bundles, larger ones cut by content.

A stage without I/O of its own. Bytes are read straight into buffers that are used again and again: pages that are
touched for the first time cost more than all that is done with them after.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

from pyfastcdc import FastCDC

from formats.ids import ChunkId
from formats.keyed.keys import MasterKey
from formats.keyed.slots import ChunkingParameters

WINDOW = 4 << 20


@dataclass(slots=True, eq=False)
class Buffer:
    """Memory that chunks lie in; it goes back to `home` when none of them is in use any more."""

    home: "list[Buffer]"
    data: memoryview
    uses: int = 0

    def release(self) -> None:
        self.uses -= 1
        if not self.uses:
            self.home.append(self)


class Buffers:
    """Equal buffers, as many as are in use at once; memory is bounded by who bounds the units in flight."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._free: list[Buffer] = []

    def take(self) -> Buffer:
        """A buffer with one use, its taker's."""
        buffer = self._free.pop() if self._free else Buffer(self._free, memoryview(bytearray(self._size)))
        buffer.uses = 1
        return buffer


class Pieces:
    """The chunks of one file of `size` bytes, each named once it is sealed; those before `named` are."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.ids = bytearray()
        self.lengths = bytearray()
        self.named = 0
        self.waiting = 0

    def __len__(self) -> int:
        return len(self.lengths) // 4

    def append(self, chunk: ChunkId, size: int) -> None:
        """A chunk that is known already."""
        self.ids += chunk
        self.lengths += size.to_bytes(4, "little")

    def expect(self, unit: "Unit") -> None:
        """A chunk on its way; units are named in the order in which they were expected."""
        unit.pieces, unit.at = self, len(self)
        self.append(UNNAMED, unit.size)
        self.waiting += 1

    def name(self, at: int, chunk: ChunkId) -> None:
        self.ids[32 * at : 32 * at + 32] = chunk
        self.named = at + 1
        self.waiting -= 1


UNNAMED = ChunkId(bytes(32))


@dataclass(slots=True, eq=False)
class Unit:
    """One chunk on its way: `raw`, in `buffer`, until it is sealed; `id` from then on. A bundle has no `pieces`."""

    raw: memoryview | None
    size: int
    buffer: Buffer | None
    id: ChunkId | None = None
    future: "Future[Sealed] | None" = None
    pieces: Pieces | None = None
    at: int = 0

    def named(self, chunk: ChunkId) -> None:
        """Sealed: the bytes are needed no longer."""
        self.id, self.raw, self.future = chunk, None, None
        if self.buffer is not None:
            self.buffer.release()
        if self.pieces is not None:
            self.pieces.name(self.at, chunk)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A unit's id; its record, good until it was handed on, and the record's digest, None where the chunk is known already."""

    chunk: ChunkId
    record: bytes | memoryview | None = None
    record_digest: bytes = field(default=b"")


class Cutter:
    """Cuts streams of bytes by FastCDC with the keyed seed; how they are read makes no difference to the cuts.

    Streams lie one behind the other in a buffer, so that short ones do not take a buffer each.
    """

    def __init__(self, master: MasterKey, parameters: ChunkingParameters) -> None:
        self._size_max = parameters.max_size
        self._buffers = Buffers(WINDOW + self._size_max)
        self._buffer = self._buffers.take()
        self._used = 0  # bytes at its front that units lie in
        self._cdc = FastCDC(
            avg_size=parameters.mean_size,
            min_size=parameters.min_size,
            max_size=parameters.max_size,
            seed=master.chunker,
        )

    def cut(self, read: Callable[[memoryview], int], size: int) -> Iterator[Unit]:
        """The chunks of a stream of about `size` bytes.

        `read` puts the stream's next bytes into a view and returns how many, 0 at the end; what it raises ends the
        cutting, and the units handed out before stay good.
        """
        if len(self._buffer.data) - self._used < min(size + 1, WINDOW):
            self._renew(memoryview(b""))
        filled, ended = self._used, False
        while not ended:
            filled, ended = self._fill(read, filled)
            data = self._buffer.data[self._used : filled]
            at = 0
            for chunk in self._cdc.cut_buf(data) if data else ():
                if not ended and len(data) - at < self._size_max:
                    break
                self._buffer.uses += 1
                self._used += chunk.length
                yield Unit(data[at : at + chunk.length], chunk.length, self._buffer)
                at += chunk.length
            if not ended:
                filled = self._renew(data[at:])

    def take(self, read: Callable[[memoryview], int], size: int) -> Unit | None:
        """The next `size` bytes of a stream as one chunk, as they were cut before; what is left where it ends earlier,
        None where nothing is."""
        if len(self._buffer.data) - self._used < size:
            self._renew(memoryview(b""))
        space = self._buffer.data[self._used : self._used + size]
        filled = 0
        while filled < size and (got := read(space[filled:])):
            filled += got
        if not filled:
            return None
        self._buffer.uses += 1
        self._used += filled
        return Unit(space[:filled], filled, self._buffer)

    def _fill(self, read: Callable[[memoryview], int], filled: int) -> tuple[int, bool]:
        data = self._buffer.data
        while filled < len(data):
            got = read(data[filled:])
            if not got:
                return filled, True
            filled += got
        return filled, False

    def _renew(self, carried: memoryview) -> int:
        """Go on in another buffer, with what of this one was not cut yet. Returns its length."""
        before, self._buffer, self._used = self._buffer, self._buffers.take(), 0
        self._buffer.data[: len(carried)] = carried
        before.release()
        return len(carried)
