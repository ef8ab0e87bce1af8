"""The file in which a home remembers small files: every whole part of it counts, and nothing else."""

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.ids import ChunkId, ContentId
from formats.keyed.catalog import FILE, CatalogEntry, PageRow, pages
from formats.keyed.chunk import ChunkSealer
from formats.keyed.keys import MasterKey
from formats.keyed.segments import encode_entries, encode_page
from formats.layout import archive_name
from formats.monitor import Tally
from formats.tables.archive import METADATA_CLASS, ArchiveBuilder
from formats.tables.index import CATALOG, record_digest
from formats.tables.sections import Section
from seed.pipeline import remembered_contents as remembered
from seed.pipeline.known_chunks import KnownChunks
from seed.pipeline.remembered_contents import ContentsByHome
from seed.pipeline.small_file_table import SmallFiles
from seed.points.layered_store import LayeredStore
from seed.points.points import Point
from tests.memory_store import MemoryStore

MASTER = MasterKey.generate()
SEALER = ChunkSealer(MASTER, 1)
BUNDLES = [ChunkId(hashlib.blake2b(bytes([n]), digest_size=32).digest()) for n in range(4)]


def content(number: int) -> ContentId:
    return ContentId(hashlib.blake2b(number.to_bytes(8, "little"), digest_size=16).digest())


class World:
    """Points of some small files each, and the store in which their catalogs lie."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = MemoryStore()
        self.sections: list[Section] = []
        self.points: list[Point] = []
        self.known = KnownChunks()
        self.known.add_all(BUNDLES[:3])

    def point(self, *files: tuple[int, int]) -> None:
        """Add a point of files with these contents, each in a bundle."""
        entries = [
            CatalogEntry(b"%05d" % n, FILE, size=1).in_bundle(BUNDLES[bundle], n, content(n))
            for n, bundle in sorted(files)
        ]
        raw = encode_entries(entries)
        segment = SEALER.chunk_id(CATALOG, raw)
        row = PageRow(segment, len(entries), entries[0].path, entries[-1].path)
        (page,) = map(encode_page, pages([row]))
        builder = ArchiveBuilder(bytearray(1 << 20), METADATA_CLASS, MASTER.key_id)
        for chunk in (raw, page):
            record = SEALER.seal(CATALOG, SEALER.chunk_id(CATALOG, chunk), chunk)
            builder.add(CATALOG, SEALER.chunk_id(CATALOG, chunk), record, record_digest(record))
        archive = builder.finish()
        self.store.put_new(archive_name(archive.name), archive.data)
        self.sections.append(Section.of(archive))
        root = SimpleNamespace(pages=[SEALER.chunk_id(CATALOG, page).hex()])
        manifest = SimpleNamespace(point=f"{len(self.points):032}")
        self.points.append(cast(Point, SimpleNamespace(root=root, manifest=manifest, master=MASTER)))

    def taught(self, monitor: Tally | None = None) -> dict[int, tuple[ChunkId, int]]:
        small = SmallFiles()
        union = LayeredStore([self.store])
        told = monitor or Tally()
        points, sections = self.points, lambda: iter(self.sections)
        ContentsByHome(self.path, SEALER, points, sections, union, told).teach(small, self.known)
        found = {n: small.get(content(n)) for n in range(40)}
        return {n: (place[0].id, place[1]) for n, place in found.items() if place and place[0].id}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "contents")


def test_files_of_all_points_are_known_and_each_table_is_read_once(world: World) -> None:
    world.point((1, 0), (2, 1))
    world.point((2, 1), (3, 2), (4, 3))
    expected = {1: (BUNDLES[0], 1), 2: (BUNDLES[1], 2), 3: (BUNDLES[2], 3)}
    assert world.taught() == expected, "what lies in a bundle that is not known does not count"
    assert world.path.stat().st_mode & 0o777 == 0o600
    world.store.objects.clear()
    assert world.taught() == expected
    world.known.add_all(BUNDLES[3:])
    assert world.taught() == expected | {4: (BUNDLES[3], 4)}, "it counts once the bundle is known"


def test_a_catalog_that_cannot_be_read_is_a_notice_and_is_tried_again(world: World) -> None:
    world.point((1, 0))
    world.point((2, 1))
    name = archive_name(world.sections[0].archive.name)
    whole = world.store.objects[name]
    world.store.objects[name] = bytes(len(whole))
    monitor = Tally()
    assert world.taught(monitor) == {2: (BUNDLES[1], 2)}
    assert len(monitor.notices) == 1
    world.store.objects[name] = whole
    assert world.taught(again := Tally()) == {1: (BUNDLES[0], 1), 2: (BUNDLES[1], 2)}
    assert again.notices == []


@given(st.data())
def test_a_torn_or_spoilt_end_is_read_anew(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    world = World(tmp_path_factory.mktemp("home") / "contents")
    for number in range(3):
        world.point((number, number), (10 + number, 0))
    expected = world.taught()
    assert len(expected) == 6
    whole = world.path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        world.path.write_bytes(whole[:at])
    else:
        world.path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    assert world.taught() == expected
    world.store.objects.clear()
    assert world.taught() == expected, "what was read anew stands there again"


def test_a_file_that_is_mostly_of_points_that_are_gone_is_made_anew(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "STALE_MIN", 2)
    for number in range(6):
        world.point((number, 0))
    world.taught()
    size = world.path.stat().st_size
    del world.points[:4], world.sections[:4]
    assert world.taught().keys() == {0, 1, 2, 3, 4, 5}, "two of six are there: it is not made anew yet"
    del world.points[:1], world.sections[:1]
    assert world.taught().keys() == {5}
    assert world.path.stat().st_size < size // 3
