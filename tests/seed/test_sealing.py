"""The units of the parallel stage come out in order, each chunk stored once, memory bounded."""

import random
from collections.abc import Iterable
from dataclasses import replace

import pytest

from formats.ids import ChunkId
from formats.keyed.chunk import ChunkSealer
from formats.keyed.keys import MasterKey
from formats.tables.archive import CONTENT_CLASS, Archive, parse, smallest_for
from formats.tables.index import CONTENT
from seed.pipeline import sealing
from seed.pipeline.chunks import Buffers, PendingChunk, Sealed
from seed.pipeline.known_chunks import KnownChunks
from seed.pipeline.packing import Buffer, BufferPool, Packer
from seed.pipeline.sealing import Sealing

MASTER = MasterKey(bytes(range(32)))


def units(sizes: list[int]) -> list[PendingChunk]:
    found = []
    for size in sizes:
        buffer = Buffers(size).take()
        buffer.data[:] = random.Random(size).randbytes(size)
        found.append(PendingChunk(buffer.data, size, buffer))
    return found


def kept(done: Iterable[tuple[PendingChunk, Sealed]]) -> list[Sealed]:
    """Return copies of the records, which are good only until the next unit is asked for."""
    return [
        replace(sealed, record=None if sealed.record is None else bytes(sealed.record)) for _, sealed in done
    ]


def test_units_come_out_in_order_and_open_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "IN_FLIGHT_MAX", 100_000)
    sealer, out = ChunkSealer(MASTER), list[Sealed]()
    stage = Sealing(sealer, KnownChunks(), CONTENT)
    sizes = [random.Random(7).randrange(1, 60_000) for _ in range(60)]
    given = units(sizes)
    raws = [bytes(u.raw or b"") for u in given]
    for unit in given:
        out += kept(stage.seal([unit]))
        assert stage._bytes <= 100_000
    out += kept(stage.drain())
    stage.close()
    assert [s.chunk for s in out] == [sealer.chunk_id(CONTENT, raw) for raw in raws]
    assert [u.id for u in given] == [s.chunk for s in out]
    for sealed, raw in zip(out, raws, strict=True):
        if sealed.record is not None:
            assert sealer.open(CONTENT, sealed.chunk, sealed.record, "") == raw


def test_a_chunk_is_stored_once_and_a_known_one_not_at_all() -> None:
    sealer, known = ChunkSealer(MASTER), KnownChunks()
    first, again, old = units([100, 100, 200])
    known.add_all([sealer.chunk_id(CONTENT, old.raw or b"")])
    stage = Sealing(sealer, known, CONTENT)
    out = kept(stage.seal([first, again, old])) + kept(stage.drain())
    stage.close()
    assert [s.record is not None for s in out].count(True) == 1
    assert out[2].record is None


class Shelf:
    """A placer that keeps archives in memory, and allows each only so much room."""

    def __init__(self, room: int) -> None:
        self.archives: list[bytes] = []
        self._room = room

    def room(self, least: int, most: int) -> int:
        return max(least, min(most, self._room))

    def place(self, archive: Archive, done: BufferPool, buffer: Buffer) -> None:
        self.archives.append(bytes(archive.data))
        archive.data.release()
        done.give(buffer)


@pytest.mark.parametrize("room", [1 << 20, 10_000, 100])
def test_archives_hold_every_record_in_order_and_never_more_than_there_is_room(room: int) -> None:
    shelf = Shelf(room)
    packer = Packer(BufferPool(1 << 20, 2), shelf, CONTENT_CLASS, MASTER.key_id)
    records = [(ChunkId(bytes([n]) * 32), bytes([n]) * (100 + 13 * n)) for n in range(120)]
    for chunk, record in records:
        packer.add(CONTENT, chunk, record, bytes(16))
    packer.flush()
    packer.flush()
    found = []
    for data in shelf.archives:
        assert len(data) <= max(room, smallest_for(100 + 13 * 119))
        for row in parse(data, "").rows:
            found.append((row.chunk, data[row.offset : row.offset + row.length]))
    assert found == records
