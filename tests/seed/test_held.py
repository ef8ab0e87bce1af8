"""The contents of items, counted from rows in the order of a catalog."""

import struct

import pytest

from formats.keyed.catalog import FILE, FOLDER, CatalogEntry
from seed.home.doubt_records import ItemCount
from seed.home.home import LeftOut
from seed.points.item_totals import count_rows, tagged_folders, without

CHUNK = bytes(range(32))
ROWS = [
    CatalogEntry(b"srv", FOLDER, device=1),
    CatalogEntry(b"srv/data", FOLDER, device=2),
    CatalogEntry(b"srv/data/a", FILE, size=10, chunks=CHUNK, device=2),
    CatalogEntry(b"srv/data/a", FILE, part=1),
    CatalogEntry(b"srv/data/deep", FOLDER, device=3),
    CatalogEntry(b"srv/data/deep/b", FILE, size=20, chunks=CHUNK, device=3),
    CatalogEntry(b"srv/data/deep/c", FOLDER, device=4),
    CatalogEntry(b"srv/data/e", FOLDER, device=2),
    CatalogEntry(b"srv/data/e/f", FOLDER, device=5),
    CatalogEntry(b"srv/data/e/f/g", FILE, size=30, chunks=CHUNK, device=5),
    CatalogEntry(b"srv/data/z", FOLDER, device=2),
    CatalogEntry(b"srv/data!", FILE, size=5, chunks=CHUNK, device=1),
    CatalogEntry(b"srv/other", FOLDER, device=1),
    CatalogEntry(b"srv/other/x", FILE, size=7, chunks=CHUNK, device=1),
]


def held(
    item: bytes, entries: int, size: int, *, mounted: bool = False, mounts: tuple[bytes, ...] = ()
) -> ItemCount:
    return ItemCount(item=item, entries=entries, size=size, mounted=mounted, mounts=mounts)


def test_each_item_is_counted_by_itself_with_where_file_systems_begin() -> None:
    assert count_rows([b"/srv/other", b"/srv/data"], ROWS) == (
        held(b"/srv/data", 8, 60, mounted=True, mounts=(b"/srv/data/deep", b"/srv/data/e/f")),
        held(b"/srv/other", 1, 7),
    )


def test_holes_do_not_count() -> None:
    """Count no holes: a file may grow by terabytes, and shrink again, and no data is lost."""
    extents = struct.pack("<4Q", 4096, 100, 1 << 40, 200)
    rows = [
        CatalogEntry(b"srv", FOLDER),
        CatalogEntry(b"srv/sparse", FILE, size=2 << 40, extents=extents, chunks=CHUNK),
        CatalogEntry(b"srv/zero", FILE, size=1 << 40),
    ]
    assert count_rows([b"/srv"], rows) == (held(b"/srv", 2, 300),)


def test_a_folder_whose_name_begins_alike_is_no_part_of_it() -> None:
    assert count_rows([b"/srv/data!"], ROWS) == (held(b"/srv/data!", 1, 5),)


def test_what_is_not_there_holds_nothing() -> None:
    assert count_rows([b"/a", b"/srv/data", b"/zz"], ROWS[:3]) == (
        held(b"/a", 0, 0),
        held(b"/srv/data", 1, 10, mounted=True),
        held(b"/zz", 0, 0),
    )


def test_an_item_inside_another_counts_with_that() -> None:
    (found,) = count_rows([b"/srv", b"/srv/other"], ROWS)
    assert (found.item, found.entries, found.size, found.mounts[0]) == (b"/srv", 12, 72, b"/srv/data")


def test_the_root_of_all_paths_knows_its_device_by_what_is_no_folder() -> None:
    rows = [
        CatalogEntry(b"bin", FILE, size=1, chunks=CHUNK, device=1),
        CatalogEntry(b"boot", FOLDER, device=2),
        CatalogEntry(b"boot/kernel", FILE, size=2, chunks=CHUNK, device=2),
        CatalogEntry(b"etc", FOLDER, device=1),
        CatalogEntry(b"home", FOLDER, device=3),
        CatalogEntry(b"home/me", FOLDER, device=3),
    ]
    assert count_rows([b"/"], rows) == (held(b"/", 6, 3, mounts=(b"/boot", b"/home")),)
    assert count_rows([b"/"], rows[1:4]) == (held(b"/", 3, 2),), "who can tell?"


@pytest.mark.parametrize(
    ("left_out", "entries"),
    [
        (LeftOut(), 8),
        (LeftOut(excludes=(b"deep",)), 5),
        (LeftOut(excludes=(b"/srv/data/e", b"[a]")), 5 - 1),
        (LeftOut(one_file_system=True), 8 - 3),
        (LeftOut(exclude_caches=True), 8 - 2),
    ],
)
def test_what_a_run_leaves_out_now_is_not_counted(left_out: LeftOut, entries: int) -> None:
    rows = [*ROWS]
    if left_out.exclude_caches:
        rows.insert(8, CatalogEntry(b"srv/data/e/CACHEDIR.TAG", FILE, device=2))
    (found,) = count_rows([b"/srv/data"], without(b"/srv/data", rows, left_out, tagged_folders(rows)))
    assert found.entries == entries
