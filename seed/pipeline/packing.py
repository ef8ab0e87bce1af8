"""The packing of sealed records into archives, in buffers from one pool.

The size of the pool bounds the memory of the whole writer.
"""

import mmap
import queue
from collections.abc import Iterator
from typing import Protocol

from formats.ids import ChunkId, KeyId
from formats.tables.archive import FOOTER, HEAD, Archive, ArchiveBuilder, smallest_for
from formats.tables.index import CATALOG, CONTENT, decode_index
from seed.pipeline.chunks import PendingChunk, Sealed

POOL_BYTES = 128 << 20
ARCHIVE_SIZES = (64 << 20, 32 << 20, 16 << 20, 8 << 20)
METADATA_SIZE = 8 << 20  # few bytes describe many files, and these archives go to every disk
WORTH_KEEPING_TOGETHER = 0.75  # an archive this full is closed, so that no file is cut at its end

Buffer = mmap.mmap  # its pages cost nothing until they are written


class Placer(Protocol):
    """The destination of finished archives. `place` may return before the archive is durable."""

    def room(self, least: int, most: int) -> int:
        """Return the size of the next archive, `least` to `most` bytes. Raises MediaError disk-full."""

    def place(self, archive: Archive, done: "BufferPool", buffer: Buffer) -> None:
        """Write `archive` from `buffer`; give the buffer back to the pool when done."""


def archive_size(writers: int, total: int = POOL_BYTES) -> int:
    """Return the archive size that leaves a buffer for each of `writers` and the packer (PROTOCOL 3)."""
    return next((s for s in ARCHIVE_SIZES if (writers + 1) * s <= total), ARCHIVE_SIZES[-1])


class BufferPool:
    """A fixed number of equal buffers, to lend and take back."""

    def __init__(self, size: int, count: int) -> None:
        self.size = size
        self.count = count
        self._free: queue.LifoQueue[Buffer] = queue.LifoQueue()
        for _ in range(count):
            self._free.put(mmap.mmap(-1, size))

    def take(self) -> Buffer:
        """Return a buffer; wait until one is free."""
        return self._free.get()

    def give(self, buffer: Buffer) -> None:
        self._free.put(buffer)


class Packer:
    """A packer that lays records of one class into archives, and sends each archive on when it is full."""

    def __init__(self, pool: BufferPool, placer: Placer, archive_class: int, key_id: KeyId) -> None:
        self._pool = pool
        self._placer = placer
        self._class = archive_class
        self._key_id = key_id
        self._buffer: Buffer | None = None
        self._builder: ArchiveBuilder | None = None

    def add(self, kind: int, chunk: ChunkId, record: bytes | memoryview, record_digest: bytes) -> bool:
        """Take in a record; return whether an archive was sent on to make room for it."""
        sent = self._builder is not None and not self._builder.fits(len(record)) and self.flush()
        if self._builder is None:
            self._begin(len(record))
        assert self._builder is not None
        self._builder.add(kind, chunk, record, record_digest)
        return sent

    def keep_together(self, size: int) -> bool:
        """Begin a new archive if only that has room for all records of a file of `size` bytes.

        The caller asks before it adds these records. An archive filled less than `WORTH_KEEPING_TOGETHER` stays open.
        Returns whether an archive was sent on.
        """
        builder = self._builder
        if builder is None or size > builder.limit or builder.at < builder.limit * WORTH_KEEPING_TOGETHER:
            return False
        return builder.at + size > builder.limit and self.flush()

    def flush(self) -> bool:
        """Finish the open archive and send it on; return whether there was one."""
        if self._builder is None or self._buffer is None:
            return False
        builder, buffer = self._builder, self._buffer
        self._builder = self._buffer = None
        self._placer.place(builder.finish(), self._pool, buffer)
        return True

    def _begin(self, length: int) -> None:
        room = self._placer.room(smallest_for(length), self._pool.size)
        self._buffer = self._pool.take()
        self._builder = ArchiveBuilder(self._buffer, self._class, self._key_id, limit=room)


class OpenArchives:
    """The two open archives of a run: one takes content, the other takes the catalog."""

    def __init__(self, content: Packer, metadata: Packer) -> None:
        self.content = content
        self.metadata = metadata

    def collect(self, unit: PendingChunk, sealed: Sealed) -> bool:
        """Take in the record of a chunk of content, if it has one; return whether an archive was sent on.

        A file begins a new archive if only that has room for all of it.
        """
        if sealed.record is None:
            return False
        sent = False
        if unit.pieces is not None and unit.at == 0:
            sent = self.content.keep_together(unit.pieces.size)
        return sent | self.content.add(CONTENT, sealed.chunk, sealed.record, sealed.record_digest)

    def collect_metadata(self, sealed: Sealed) -> None:
        """Take in the record of a part of the catalog."""
        assert sealed.record is not None
        self.metadata.add(CATALOG, sealed.chunk, sealed.record, sealed.record_digest)


def split(archive: Archive, key_id: KeyId, limit: int) -> Iterator[tuple[Archive, BufferPool, Buffer]]:
    """Yield the records of an archive that fits nowhere, still sealed, in archives of at most `limit` bytes.

    A record that is larger than that gets an archive of its own size.
    """
    rows = decode_index(archive.index, HEAD.size, archive.size - FOOTER.size - len(archive.index), "archive")
    ahead = iter(rows)
    row = next(ahead, None)
    while row is not None:
        pool = BufferPool(max(limit, smallest_for(row.length)), 1)
        buffer = pool.take()
        builder = ArchiveBuilder(buffer, archive.archive_class, key_id)
        while row is not None and (builder.at == HEAD.size or builder.fits(row.length)):
            record = bytes(archive.data[row.offset : row.offset + row.length])
            builder.add(row.kind, row.chunk, record, row.record_digest)
            row = next(ahead, None)
        yield builder.finish(), pool, buffer
