"""The way of content into chunks: small files lie end to end in bundles, larger files are cut by content.

This stage does no I/O of its own. Callers read bytes straight into buffers, which are used again and again.
The first touch of a memory page costs more than all later work on it.
"""

from collections.abc import Callable, Iterator

from pyfastcdc import FastCDC

from formats.keyed.chunking import ChunkingParameters
from formats.keyed.keys import MasterKey
from seed.pipeline.chunks import Buffers, PendingChunk

WINDOW = 4 << 20


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
