"""A file on the target is known by all of its bytes, and holes equal zeros."""

import os
import struct
import sys
from pathlib import Path

import pytest

from formats.ids import ChunkId, content_id
from formats.keyed.catalog import FILE, LOST, CatalogEntry
from formats.keyed.chunk import ChunkSealer
from formats.keyed.keys import MasterKey
from formats.tables.index import CONTENT
from seed.restore.content_match import holds

if sys.platform == "win32":
    pytest.skip("trees are not written on Windows yet", allow_module_level=True)

SEALER = ChunkSealer(MasterKey(bytes(32)))
KIB = 1 << 10


def large(size: int, regions: list[tuple[int, bytes]], cut: int) -> CatalogEntry:
    """Return the entry of a file with its own chunks: data regions, cut into pieces of so many bytes."""
    data = b"".join(part for _, part in regions)
    parts = [data[at : at + cut] for at in range(0, len(data), cut)]
    extents = b"".join(struct.pack("<QQ", at, len(part)) for at, part in regions)
    entry = CatalogEntry(b"file", FILE, size=size, extents=extents if len(data) < size else b"")
    chunks = b"".join(SEALER.chunk_id(CONTENT, part) for part in parts)
    return entry.in_whole_chunks(chunks, b"".join(struct.pack("<I", len(part)) for part in parts))


def small(data: bytes) -> CatalogEntry:
    entry = CatalogEntry(b"file", FILE, size=len(data))
    return entry.in_bundle(ChunkId(bytes(range(32))), 0, content_id(data, SEALER.content_key))


def is_held(path: Path, entry: CatalogEntry) -> bool:
    handle = os.open(path, os.O_RDONLY)
    try:
        return holds(handle, entry, SEALER)
    finally:
        os.close(handle)


@pytest.mark.parametrize(
    "make", [small, lambda data: large(len(data), [(0, data)], 700)], ids=["bundle", "chunks"]
)
def test_every_byte_counts(tmp_path: Path, make: object) -> None:
    assert callable(make)
    data, path = os.urandom(3000), tmp_path / "file"
    path.write_bytes(data)
    entry = make(data)
    assert is_held(path, entry)
    for at in (0, 699, 700, 2999):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert not is_held(path, entry)
    path.write_bytes(data[:-1])
    assert not is_held(path, entry)
    path.write_bytes(data + b"\0")
    assert not is_held(path, entry)


def test_holes_equal_zeros_and_nothing_else(tmp_path: Path) -> None:
    size, path = 3072 * KIB, tmp_path / "file"
    regions = [(256 * KIB, os.urandom(100 * KIB)), (2048 * KIB, os.urandom(64 * KIB))]
    entry = large(size, regions, 48 * KIB)
    full = bytearray(size)
    for at, part in regions:
        full[at : at + len(part)] = part
    path.write_bytes(full)
    assert is_held(path, entry), "zeros that are written"
    with path.open("wb") as file:
        file.truncate(size)
        for at, part in regions:
            file.seek(at)
            file.write(part)
    assert is_held(path, entry), "holes"
    for at in (0, 1024 * KIB, size - 1):
        with path.open("r+b") as file:
            file.seek(at)
            file.write(b"x")
        assert not is_held(path, entry), at
        with path.open("r+b") as file:
            file.seek(at)
            file.write(b"\0")
    assert is_held(path, entry)


def test_a_file_that_is_one_hole_and_a_file_without_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    assert is_held(path, CatalogEntry(b"file", FILE))
    os.truncate(path, 1 << 40)
    assert is_held(path, CatalogEntry(b"file", FILE, size=1 << 40))
    with path.open("r+b") as file:
        file.seek(1 << 39)
        file.write(b"x")
    assert not is_held(path, CatalogEntry(b"file", FILE, size=1 << 40))


def test_what_was_lost_is_held_by_no_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert not is_held(tmp_path / "file", CatalogEntry(b"file", FILE, size=3).in_bundle(LOST, 0, bytes(16)))
