"""Rows of earlier runs: journalled rows are found again, the newer row wins, and a torn end costs only itself."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from formats.keyed.catalog import FILE, ROW_CHUNKS_MAX, CatalogEntry, in_parts, sort_key
from formats.keyed.segments import encode_entries
from seed.points import previous_rows as basis
from tests.effort import examples

NAMES = st.lists(st.sampled_from([b"a", b"b", b"a b", b"a-", b"\xff\n"]), min_size=1, max_size=4).map(
    b"/".join
)
PATHS = st.sets(NAMES, max_size=12).map(lambda found: sorted(found, key=sort_key))


def entry(path: bytes, size: int, chunks: int = 1) -> CatalogEntry:
    ids = b"".join(n.to_bytes(32, "big") for n in range(chunks))
    return CatalogEntry(path, FILE, size=size, mtime=size).in_whole_chunks(ids, b"\1\0\0\0" * chunks)


def journal(path: Path, *segments: Sequence[CatalogEntry]) -> None:
    written = basis.RowJournal(path)
    for rows in segments:
        if rows:
            written.append(encode_entries(rows))
    written.close()


@given(PATHS, PATHS, st.integers(0, 12))
def test_two_runs_fold_into_one_and_the_newer_row_counts(
    older: list[bytes], newer: list[bytes], cut: int
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        journal(folder / "rows", [entry(p, 1) for p in older])
        journal(folder / "rows.next", *([entry(p, 2) for p in part] for part in (newer[:cut], newer[cut:])))
        found, fresh = basis.begin(folder)
        fresh.close()
        expected = dict.fromkeys(older, 1) | dict.fromkeys(newer, 2)
        for path in sorted({*expected, b"a/zz", b"zz"}, key=sort_key):
            row, _ = found.at(path)
            assert (row.size if row else None) == expected.get(path)
        assert not list(basis.read_rows(folder / "rows.next"))
        basis.forget(folder)
        assert not list(folder.iterdir())


def test_a_file_in_reading_grows_by_parts_and_ends_by_its_whole_row(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    whole = entry(b"big", 10, chunks=6)
    parts = [
        entry(b"big", 10, 2),
        CatalogEntry(b"big", FILE, part=2).in_whole_chunks(whole.chunks[64:96], whole.lengths[8:12]),
        CatalogEntry(b"big", FILE, part=3).in_whole_chunks(whole.chunks[96:160], whole.lengths[12:20]),
    ]
    journal(path, [entry(b"a", 1), parts[0]], [parts[1]], [parts[2]])
    a, big = basis.read_rows(path)
    assert (a.path, big.chunks) == (b"a", whole.chunks[:160])
    journal(path, [whole, entry(b"c", 1)])
    a, big, c = basis.read_rows(path)
    assert (big.chunks, big.lengths, c.path) == (whole.chunks, whole.lengths, b"c")


def test_a_file_of_very_many_chunks_survives_the_folding(tmp_path: Path) -> None:
    long = entry(b"long", 7, chunks=3 * ROW_CHUNKS_MAX + 5)
    parts = list(in_parts(entry(b"long", 7, chunks=3 * ROW_CHUNKS_MAX + 5)))
    journal(tmp_path / "rows.next", parts, [entry(b"m", 1)])
    for _ in range(2):
        found, fresh = basis.begin(tmp_path)
        fresh.close()
        row, _ = found.at(b"long")
        assert row is not None
        assert (row.chunks, row.lengths) == (long.chunks, long.lengths)
        assert found.at(b"m")[0] is not None


@settings(max_examples=examples(40))
@given(st.integers(0, 3000), st.booleans())
def test_a_torn_or_damaged_end_is_cut_off(at: int, damage: bool) -> None:
    with TemporaryDirectory() as name:
        path = Path(name) / "rows"
        journal(path, *([entry(b"%04d" % n, n)] for n in range(4)))
        data = path.read_bytes()
        at = at % len(data)
        flipped = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        path.write_bytes(flipped if damage else data[:at])
        rows = list(basis.read_rows(path))
        assert [r.path for r in rows] == [b"%04d" % n for n in range(len(rows))]
        assert len(rows) == min(at * 4 // len(data), 4)
