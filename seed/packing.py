"""Sealed records into archives, in buffers from one pool; the pool's size bounds the memory of the whole writer."""

import mmap
import queue
from typing import Protocol

from formats.ids import ChunkId, KeyId
from formats.tables.archive import ARCHIVE_SIZE, Archive, ArchiveBuilder, smallest_for

POOL_BYTES = 128 << 20

Buffer = mmap.mmap  # whose pages cost nothing until they are written


class Placer(Protocol):
    """Where finished archives go. `place` may return before the archive is durable."""

    def room(self, archive_class: int, least: int, most: int) -> int:
        """How large the next archive of a class may be, `least` to `most` bytes. Raises MediaError disk-full."""

    def place(self, archive: Archive, done: "BufferPool", buffer: Buffer) -> None:
        """Write `archive`, whose bytes lie in `buffer`; give the buffer back to the pool when done."""


class BufferPool:
    """A fixed number of equal buffers, lent and given back."""

    def __init__(self, size: int = ARCHIVE_SIZE, total: int = POOL_BYTES) -> None:
        self.size = size
        self._free: queue.LifoQueue[Buffer] = queue.LifoQueue()
        for _ in range(max(total // size, 2)):
            self._free.put(mmap.mmap(-1, size))

    def take(self) -> Buffer:
        """A buffer; waits until one is free."""
        return self._free.get()

    def give(self, buffer: Buffer) -> None:
        self._free.put(buffer)


class Packer:
    """Lays records of one class into archives and sends each on when it is full."""

    def __init__(self, pool: BufferPool, placer: Placer, archive_class: int, key_id: KeyId) -> None:
        self._pool = pool
        self._placer = placer
        self._class = archive_class
        self._key_id = key_id
        self._buffer: Buffer | None = None
        self._builder: ArchiveBuilder | None = None

    def add(self, kind: int, chunk: ChunkId, record: bytes, record_digest: bytes) -> None:
        if self._builder is not None and not self._builder.fits(len(record)):
            self.flush()
        if self._builder is None:
            self._begin(len(record))
        assert self._builder is not None
        self._builder.add(kind, chunk, record, record_digest)

    def flush(self) -> None:
        """Finish the open archive, if it holds anything, and send it on."""
        if self._builder is None or self._buffer is None:
            return
        builder, buffer = self._builder, self._buffer
        self._builder = self._buffer = None
        self._placer.place(builder.finish(), self._pool, buffer)

    def _begin(self, length: int) -> None:
        room = self._placer.room(self._class, smallest_for(length), self._pool.size)
        self._buffer = self._pool.take()
        self._builder = ArchiveBuilder(self._buffer, self._class, self._key_id, limit=room)
