"""How memory and time grow: `python -m tests.benchmarks.scale [--processes]`.

Without `--processes` it measures tables. Each size runs in a separate process, on made-up ids and entries. The tables
are those that an export, a backup or a restore keeps in memory: known chunks, small files, places of records. A catalog
is written in segments and read back. Each line tells the seconds to build the table, and millions of look-ups a second
in batches of 512 and of 65,536. Half of the ids looked up are there.

With `--processes` it measures the real commands instead: see processes.py.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from blake3 import blake3

from formats.ids import ChunkId
from formats.keyed.catalog import FILE, CatalogEntry
from formats.keyed.chunk import ChunkSealer
from formats.keyed.keys import MasterKey
from formats.keyed.segments import decode_entries
from formats.tables.index import CATALOG, CONTENT, IndexRow
from seed.pipeline.catalog_writer import Cataloguing
from seed.pipeline.chunks import Sealed
from seed.pipeline.known_chunks import KnownChunks
from seed.tables.id_table import IdTable
from seed.tables.record_table import Places
from tests.benchmarks.measure import StepFailedError

assert sys.platform != "win32"
import resource  # noqa: E402

BLOCK = 1 << 16
SMALL, LARGE = 512, BLOCK
ROUNDS = 16
MIB = 1 << 20
TABLES = ("known", "small files", "places")
CHUNKS = (10**6, 10**7, 10**8)


def main() -> int:
    wanted = arguments()
    if wanted.processes:
        from tests.benchmarks import processes  # late, for it would count as memory of the tables

        processes.report(wanted.chunks, wanted.files, wanted.archives, wanted.scratch)
        return 0
    if wanted.only:
        name, _, count = wanted.only.partition("=")
        print((catalog if name == "catalog" else table)(name, int(count)), flush=True)
        return 0
    print("| table | size | build s | µs each | bytes each | peak MiB | M/s by 512 | M/s by 65,536 |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|", flush=True)
    chunks = CHUNKS if wanted.chunks is None else wanted.chunks
    sizes = [(name, count) for name in wanted.tables for count in chunks]
    codes = [_alone(f"{name}={count}") for name, count in sizes]
    print("\n| catalog | write s | µs each | stored bytes each | peak MiB | read s |")
    print("|--:|--:|--:|--:|--:|--:|", flush=True)
    return max(codes + [_alone(f"catalog={count}") for count in wanted.entries], default=0)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale", description=__doc__)
    add = parser.add_argument
    add("--chunks", type=int, nargs="*", metavar="N", help="sizes of the tables; with --processes: few, many")
    add("--entries", type=int, nargs="*", default=[10**5, 10**6], metavar="N", help="sizes of the catalog")
    add("--tables", nargs="*", default=TABLES, choices=TABLES, help="default: all")
    add("--processes", action="store_true", help="measure the real commands instead of tables")
    for name in ("--files", "--archives"):
        add(name, type=int, nargs=2, metavar="N", help="with --processes: few, many")
    add("--scratch", type=Path, default=Path("/var/tmp"), metavar="DIR", help="with --processes: on a disk")
    add("--only", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.processes and wanted.chunks is not None and len(wanted.chunks) != 2:
        parser.error("--processes takes two numbers of chunks")
    return wanted


def _alone(what: str) -> int:
    return subprocess.call([sys.executable, "-m", "tests.benchmarks.scale", "--only", what])


@dataclass(frozen=True)
class Table:
    """A table as its user has it: how to add a block of ids, look it up, and measure the size."""

    add: Callable[[list[ChunkId], int], None]
    find: Callable[[list[ChunkId]], list[bool]]
    size: Callable[[], int]


def known() -> Table:
    chunks = KnownChunks()

    def find(ids: list[ChunkId]) -> list[bool]:
        missing = chunks.missing(ids)
        return [chunk not in missing for chunk in ids]

    return Table(lambda ids, _: chunks.add_all(ids), find, lambda: chunks.size)


def small_files() -> Table:
    contents = IdTable(numbered=True)

    def add(ids: list[ChunkId], start: int) -> None:
        for number, content in enumerate(ids, start):
            contents.put(content, number)

    return Table(add, lambda ids: [n is not None for n in contents.find(ids)], lambda: contents.size)


def places() -> Table:
    records = Places()

    def add(ids: list[ChunkId], start: int) -> None:
        records.add(start, [IndexRow(chunk, b"", 0, 1, CONTENT) for chunk in ids])

    def find(ids: list[ChunkId]) -> list[bool]:
        records.end()
        return [place is not None for place in records.first(ids)]

    return Table(add, find, lambda: records.size)


def table(name: str, count: int) -> str:
    made = {"known": known, "small files": small_files, "places": places}[name]()
    before = _peak()
    seconds, at = 0.0, 0
    for ids in blocks(count, seed=1):
        began = time.perf_counter()
        made.add(ids, at)
        seconds += time.perf_counter() - began
        at += len(ids)
    made.find([ChunkId(bytes(32))])  # waiting ids are put in order
    peak = _peak() - before
    rates = [rate(made, count, batch) for batch in (SMALL, LARGE)]
    each = f"{seconds / count * 1e6:.2f} | {made.size() / count:.1f} | {peak:,.0f}"
    return f"| {name} | {count:,} | {seconds:.1f} | {each} | {rates[0]:.2f} | {rates[1]:.2f} |"


def rate(made: Table, count: int, batch: int) -> float:
    """Return millions of look-ups a second, of ids that were put early and late, and as many that never were."""
    half, seconds = batch // 2, 0.0
    last = count // BLOCK
    for number in range(ROUNDS):
        queries = block(1, last * number // ROUNDS, half) + block(2, number, half)
        began = time.perf_counter()
        found = made.find(queries)
        seconds += time.perf_counter() - began
        assert found == [True] * half + [False] * half
    return batch * ROUNDS / seconds / 1e6


def blocks(count: int, seed: int) -> Iterator[list[ChunkId]]:
    for number, start in enumerate(range(0, count, BLOCK)):
        yield block(seed, number, min(BLOCK, count - start))


def block(seed: int, number: int, size: int) -> list[ChunkId]:
    """Return random ids, the same for the same seed and number."""
    data = np.random.default_rng([seed, number]).bytes(32 * size)
    return [ChunkId(data[at : at + 32]) for at in range(0, len(data), 32)]


def catalog(_: str, count: int) -> str:
    """Measure a catalog of small files, a hundred in a folder, ten to a bundle; as it is sealed, and read back."""
    master = MasterKey.generate()
    sealer, stored = ChunkSealer(master, 3), dict[ChunkId, bytes]()

    def store(sealed: Sealed) -> None:
        assert sealed.record is not None
        stored[sealed.chunk] = bytes(sealed.record)

    made = Cataloguing(master, sealer, KnownChunks(), store, lambda _: None)
    written, coming = 0.0, entries(count)
    while block := list(islice(coming, BLOCK)):
        began = time.perf_counter()
        for entry in block:
            made.add(entry)
        written += time.perf_counter() - began
    began = time.perf_counter()
    pages = made.finish().pages
    written += time.perf_counter() - began
    made.close()
    peak = _peak()
    began = time.perf_counter()
    read = 0
    for chunk, record in stored.items():
        if chunk not in pages:
            read += len(decode_entries(sealer.open(CATALOG, chunk, record, "segment"), "segment"))
    seconds = time.perf_counter() - began
    assert read == count
    size = sum(map(len, stored.values())) / count
    return f"| {count:,} | {written:.1f} | {written / count * 1e6:.1f} | {size:.1f} | {peak:,.0f} | {seconds:.1f} |"


def entries(count: int) -> Iterator[CatalogEntry]:
    bundle = b""
    for number in range(count):
        content = blake3(number.to_bytes(8, "little")).digest()
        bundle = bundle if number % 10 else content
        folder, name = divmod(number, 100)
        yield CatalogEntry(
            b"srv/%08d/file-%02d.txt" % (folder, name), FILE, 0o100644, 1000, 1000, "user", "user",
            size=number % 5000 + 1, mtime=1_700_000_000 + number % 10**7, mtime_ns=number * 7919 % 10**9,
            ctime=1_700_000_000, ctime_ns=number * 104729 % 10**9, device=1, inode=number + 2,
        ).in_bundle(ChunkId(bundle), number % 10 * 5000, content[:16])  # fmt: skip


def _peak() -> float:
    """Return the peak MiB of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, subprocess.CalledProcessError, StepFailedError) as problem:
        raise SystemExit(f"benchmarks: {problem}") from problem
