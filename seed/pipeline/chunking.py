"""The way of content into chunks: small files lie end to end in bundles, larger files are cut by content.

This stage does no I/O of its own. Callers read bytes straight into buffers, which are used again and again.
The first touch of a memory page costs more than all later work on it.
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
    """Memory that holds chunks. It returns to `home` when no chunk in it is in use any more."""

    home: "list[Buffer]"
    data: memoryview
    uses: int = 0

    def release(self) -> None:
        self.uses -= 1
        if not self.uses:
            self.home.append(self)


class Buffers:
    """Buffers of equal size, as many as are in use at once.

    The caller bounds the memory by bounding the units in flight.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._free: list[Buffer] = []

    def take(self) -> Buffer:
        """Return a buffer with one use, that of the caller."""
        buffer = self._free.pop() if self._free else Buffer(self._free, memoryview(bytearray(self._size)))
        buffer.uses = 1
        return buffer


class FileChunks:
    """The chunks of one file of `size` bytes.

    Each gets its name once it is sealed; the chunks before `named` have one.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.ids = bytearray()
        self.lengths = bytearray()
        self.named = 0
        self.waiting = 0

    def __len__(self) -> int:
        return len(self.lengths) // 4

    def append(self, chunk: ChunkId, size: int) -> None:
        """Append a chunk that is known already."""
        self.ids += chunk
        self.lengths += size.to_bytes(4, "little")

    def expect(self, unit: "PendingChunk") -> None:
        """Append a chunk on its way. Units get their names in the order in which they were expected."""
        unit.pieces, unit.at = self, len(self)
        self.append(UNNAMED, unit.size)
        self.waiting += 1

    def name(self, at: int, chunk: ChunkId) -> None:
        self.ids[32 * at : 32 * at + 32] = chunk
        self.named = at + 1
        self.waiting -= 1


UNNAMED = ChunkId(bytes(32))


@dataclass(slots=True, eq=False)
class PendingChunk:
    """One chunk on its way: it has `raw`, in `buffer`, until it is sealed, and `id` from then on.

    A bundle has no `pieces`.
    """

    raw: memoryview | None
    size: int
    buffer: Buffer | None
    id: ChunkId | None = None
    future: "Future[Sealed] | None" = None
    pieces: FileChunks | None = None
    at: int = 0

    def named(self, chunk: ChunkId) -> None:
        """Note that the unit is sealed, and release its bytes."""
        self.id, self.raw, self.future = chunk, None, None
        if self.buffer is not None:
            self.buffer.release()
        if self.pieces is not None:
            self.pieces.name(self.at, chunk)


@dataclass(frozen=True, slots=True)
class Sealed:
    """The id of a unit, its record and the record's digest.

    The record is valid until it was handed on. It is None if the chunk is known already.
    """

    chunk: ChunkId
    record: bytes | memoryview | None = None
    record_digest: bytes = field(default=b"")


class Cutter:
    """A cutter of byte streams, by FastCDC with the keyed seed.

    The sizes of the reads do not change the cuts. Streams lie one behind the other in a buffer, so that a
    short stream does not take a whole buffer.
    """

    def __init__(self, master: MasterKey, parameters: ChunkingParameters) -> None:
        self._size_max = parameters.max_size
        self._buffers = Buffers(WINDOW + self._size_max)
        self._buffer = self._buffers.take()
        self._used = 0  # bytes at its front that hold units
        self._cdc = FastCDC(
            avg_size=parameters.mean_size,
            min_size=parameters.min_size,
            max_size=parameters.max_size,
            seed=master.chunker,
        )

    def cut(self, read: Callable[[memoryview], int], size: int) -> Iterator[PendingChunk]:
        """Yield the chunks of a stream of about `size` bytes.

        `read` puts the stream's next bytes into a view and returns their number, 0 at the end. An error of
        `read` ends the cutting. The units that were yielded before stay good.
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
                yield PendingChunk(data[at : at + chunk.length], chunk.length, self._buffer)
                at += chunk.length
            if not ended:
                filled = self._renew(data[at:])

    def take(self, read: Callable[[memoryview], int], size: int) -> PendingChunk | None:
        """Return the next `size` bytes of a stream as one chunk, as they were cut before.

        If the stream ends earlier, return the rest, or None if nothing is left.
        """
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
        return PendingChunk(space[:filled], filled, self._buffer)

    def _fill(self, read: Callable[[memoryview], int], filled: int) -> tuple[int, bool]:
        data = self._buffer.data
        while filled < len(data):
            got = read(data[filled:])
            if not got:
                return filled, True
            filled += got
        return filled, False

    def _renew(self, carried: memoryview) -> int:
        """Continue in another buffer, and copy the bytes that were not cut yet. Return their number."""
        before, self._buffer, self._used = self._buffer, self._buffers.take(), 0
        self._buffer.data[: len(carried)] = carried
        before.release()
        return len(carried)
