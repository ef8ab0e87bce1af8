"""The share of files that are whole on one disk, counted as a plain loop would."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from formats.ids import ArchiveName, ChunkId, digest
from formats.keyed.catalog import FILE, CatalogEntry, in_parts
from formats.tables.archive import CONTENT_CLASS, FOOTER, HEAD
from formats.tables.holdings import Holding
from formats.tables.index import CONTENT, IndexRow, encode_row
from formats.tables.sections import Section
from seed.tables.disk_spread import Spread
from tests.effort import examples


def section(chunks: list[ChunkId]) -> Section:
    rows = [IndexRow(c, bytes(16), HEAD.size + n, 1, CONTENT) for n, c in enumerate(chunks)]
    index = b"".join(map(encode_row, rows))
    size = HEAD.size + len(chunks) + len(index) + FOOTER.size
    return Section(Holding(ArchiveName(digest(index)), digest(index), size, len(rows), CONTENT_CLASS), index)


@settings(max_examples=examples(60))
@given(st.integers(1, 4), st.lists(st.integers(0, 6), max_size=30), st.integers(0, 2**32))
def test_it_counts_as_a_loop_does(disks: int, files: list[int], seed: int) -> None:
    noise = random.Random(seed)
    chunks = [ChunkId(noise.randbytes(32)) for _ in range(40)]
    where = {chunk: noise.randrange(disks) for chunk in chunks}
    spread, whole, counted = Spread(), 0, 0
    for number, count in enumerate(files):
        own = noise.choices(chunks, k=count)
        entry = CatalogEntry(b"%d" % number, FILE).in_whole_chunks(b"".join(own), b"\1\0\0\0" * count)
        spread.add(list(in_parts(entry)))
        if own:
            counted += 1
            whole += len({where[c] for c in own}) == 1
    held = {n: [section([c for c in chunks if where[c] == n])] for n in range(disks) if n in where.values()}
    assert spread.whole(held) == (whole / counted if counted else 1.0)


def test_a_file_of_several_rows_is_one_file() -> None:
    chunks = [ChunkId(random.Random(n).randbytes(32)) for n in range(5000)]
    spread = Spread()
    entry = CatalogEntry(b"long", FILE).in_whole_chunks(b"".join(chunks), b"\1\0\0\0" * 5000)
    spread.add(list(in_parts(entry)))
    assert spread.whole({1: [section(chunks[:4999])], 2: [section(chunks[4999:])]}) == 0.0
    assert spread.whole({1: [section(chunks)]}) == 1.0
