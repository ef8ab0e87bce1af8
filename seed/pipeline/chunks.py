"""Chunks on their way through the stages, as values, and the buffers that hold their bytes."""

from concurrent.futures import Future
from dataclasses import dataclass, field

from formats.ids import ChunkId


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


Place = tuple[PendingChunk, int]  # of a small file: its bundle, and the offset in it
