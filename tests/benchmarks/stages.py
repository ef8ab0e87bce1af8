"""The stages of an export, a backup and a restore, each alone: `python -m pytest tests/benchmarks/stages.py`.

Its purpose: to see which stage a change has made faster or slower, if the whole is too noisy to tell. The bytes are
made here, half text-like, so that zstd has to work. Figures are of one thread; the whole runs several stages beside
each other.
"""

import os
import random
import sys
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from formats.ids import ChunkId, content_id
from formats.keyed.chunk import RECORD_OVERHEAD, ChunkSealer
from formats.keyed.chunking import USUAL
from formats.keyed.keys import MasterKey
from formats.keyed.segments import decode_entries, encode_entries
from formats.monitor import Tally
from formats.tables.archive import ARCHIVE_SIZE, CONTENT_CLASS, ArchiveBuilder
from formats.tables.index import CONTENT, record_digest
from seed.pipeline.chunking import Cutter
from seed.pipeline.known_chunks import KnownChunks
from seed.pipeline.small_file_worker import Bundler, space_for
from seed.source.source_rules import SourceRules

assert sys.platform != "win32"
from seed.source.system import Walk, read_into, wanted  # noqa: E402
from tests.benchmarks.scale import entries  # noqa: E402

MIB = 1 << 20
MASTER = MasterKey(bytes(range(32)))
SEALER = ChunkSealer(MASTER, 1)
PARAMETERS = USUAL
FILES, SIZE = 500, 4000
ROWS = 4096


def texts(size: int) -> bytes:
    """Return bytes that compress to about half."""
    draw = random.Random(1)
    return b"".join(draw.randbytes(16).hex().encode() for _ in range(size // 32))


DATA = texts(16 * MIB)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    for number in range(FILES):
        path = root / f"{number // 50}" / f"{number}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(DATA[number * SIZE : (number + 1) * SIZE])
    return root


def test_walk(benchmark: BenchmarkFixture, tree: Path) -> None:
    """Walk 500 files."""
    found = benchmark(lambda: [one.type for one in Walk([os.fsencode(tree)], SourceRules(), Tally())])
    assert len(found) > FILES


def test_read_name_and_seal_small_files(benchmark: BenchmarkFixture, tree: Path) -> None:
    """Do a worker's task for 500 files of 4,000 bytes."""
    looked = [one.looked for one in Walk([os.fsencode(tree)], SourceRules(), Tally())]
    files = [wanted(one) for one in looked if one[7] == SIZE]
    assert len(files) == FILES
    size = max(PARAMETERS.bundle_size, FILES * SIZE)
    bundler = Bundler(SEALER, size, memoryview(bytearray(space_for(size))))

    def once() -> None:
        got = bundler.read(files)
        assert sum(got.lengths) == FILES * SIZE
        bundler.keep(b"\1" * FILES)
        bundler.seal()

    benchmark(once)
    bundler.close()


def test_cut(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Read and cut a file of 16 MiB."""
    (tmp_path / "file").write_bytes(DATA)
    cutter = Cutter(MASTER, PARAMETERS)
    handle = os.open(tmp_path / "file", os.O_RDONLY)

    def once() -> int:
        os.lseek(handle, 0, os.SEEK_SET)
        size = 0
        for unit in cutter.cut(lambda space: read_into(handle, space), len(DATA)):
            size += unit.size
            unit.named(ChunkId(bytes(32)))
        return size

    assert benchmark(once) == len(DATA)
    os.close(handle)


@pytest.mark.parametrize("name", [lambda d: SEALER.chunk_id(CONTENT, d), lambda d: content_id(d, MASTER.content_id)],
                         ids=["chunk", "content"])  # fmt: skip
def test_name(benchmark: BenchmarkFixture, name: Callable[[bytes], bytes]) -> None:
    """Name 1 MiB by its keyed hash."""
    benchmark(name, DATA[:MIB])


@pytest.mark.parametrize("level", [1, 3])
def test_seal(benchmark: BenchmarkFixture, level: int) -> None:
    """Compress and encrypt 1 MiB."""
    sealer, raw = ChunkSealer(MASTER, level), DATA[:MIB]
    chunk, space = sealer.chunk_id(CONTENT, raw), memoryview(bytearray(MIB + RECORD_OVERHEAD))
    assert benchmark(lambda: sealer.seal_into(CONTENT, chunk, raw, space, probe=True)) < 0.8 * MIB


def test_open(benchmark: BenchmarkFixture) -> None:
    """Decrypt and decompress 1 MiB, and compare it with its name."""
    raw = DATA[:MIB]
    chunk = SEALER.chunk_id(CONTENT, raw)
    record = SEALER.seal(CONTENT, chunk, raw)
    assert benchmark(lambda: SEALER.open(CONTENT, chunk, record, "here")) == raw


def test_build_an_archive(benchmark: BenchmarkFixture) -> None:
    """Lay out, index and name 64 MiB of records of 256 KiB."""
    buffer, record = bytearray(ARCHIVE_SIZE), DATA[: MIB // 4]
    named = record_digest(record)

    def once() -> int:
        builder = ArchiveBuilder(buffer, CONTENT_CLASS, MASTER.key_id)
        number = 0
        while builder.fits(len(record)):
            builder.add(CONTENT, ChunkId(number.to_bytes(32, "big")), record, named)
            number += 1
        return builder.finish().records

    assert benchmark(once) == ARCHIVE_SIZE // (MIB // 4) - 1


def test_write_a_catalog_segment(benchmark: BenchmarkFixture) -> None:
    """Write a segment of 4,096 rows."""
    rows = list(entries(ROWS))
    assert benchmark(lambda: encode_entries(rows))


def test_read_a_catalog_segment(benchmark: BenchmarkFixture) -> None:
    """Read a segment of 4,096 rows, and check every rule of theirs."""
    rows = list(entries(ROWS))
    raw = encode_entries(rows)
    assert benchmark(lambda: decode_entries(raw, "here")) == rows


def test_look_up(benchmark: BenchmarkFixture) -> None:
    """Look up 65,536 ids at once among 262,144, of which half are there."""
    draw = random.Random(2)
    ids: Sequence[ChunkId] = [ChunkId(draw.randbytes(32)) for _ in range(1 << 18)]
    known = KnownChunks()
    known.add_all(ids)
    asked = [*islice(ids, 1 << 15), *(ChunkId(draw.randbytes(32)) for _ in range(1 << 15))]
    assert len(benchmark(lambda: known.missing(asked))) == 1 << 15
