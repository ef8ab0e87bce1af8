"""The places of the contents of small files, by the catalogs of all points that stay.

They are kept in a file of the home, so each table of a catalog is read once. The file is a sequence of frames
(seed/points/previous_rows.py), and a torn end is cut off. A frame names the pages and segments that were read, by their
chunk ids, and the small files in them:

    pages u32, segments u32, bundles u32, files u32, ids of these pages, segments and bundles (32 bytes each).
    Then for each file: content id 16, number of its bundle u32, offset in it u32

The file alone proves nothing: a small file counts if its bundle lies in an archive that may be reused.
"""

import os
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple, Protocol

from blake3 import blake3

from formats import layout
from formats.errors import (
    FormatError,
    IntegrityError,
    MediaError,
    OffseedError,
    StoreError,
    damage_aside,
    is_damage,
)
from formats.ids import ChunkId, ContentId
from formats.keyed.chunk import ChunkSealer
from formats.keyed.segments import decode_page, small_files
from formats.monitor import Monitor
from formats.tables.index import CATALOG
from formats.tables.sections import Section
from seed.pipeline.known_chunks import KnownChunks
from seed.pipeline.small_file_table import SmallFiles
from seed.points.layered_store import LayeredStore
from seed.points.point_reader import PointReader
from seed.points.points import Point
from seed.points.previous_rows import FRAME, RowJournal
from seed.tables.record_table import Places

HEAD = struct.Struct("<IIII")
ROW = struct.Struct("<16sII")
ID = 32  # bytes
FRAME_FILES = 1 << 16
STALE_MIN = 64  # pages
TAKEN_MIN = 16  # archives of catalogs

File = tuple[bytes, ChunkId, int]  # content id, bundle, offset in it


class RememberedContents(Protocol):
    """Knowledge of the small files of earlier points."""

    def teach(self, small: SmallFiles, known: KnownChunks) -> None:
        """Tell `small` of the files with `known` bundles."""


class ContentsByCatalog:
    """The small files of points, by their whole catalogs."""

    def __init__(self, readers: Sequence[PointReader]) -> None:
        self._readers = readers

    def teach(self, small: SmallFiles, known: KnownChunks) -> None:
        for reader in self._readers:
            # Errors here were reported when the rows of the catalogs were read.
            with suppress(FormatError, IntegrityError, StoreError, MediaError):
                for files in reader.small_files():
                    small.learn(files, known)


class ContentsByHome:
    """The small files of points, by the file in the home and the catalog tables not named in it yet."""

    def __init__(
        self,
        path: Path,
        sealer: ChunkSealer,
        points: Iterable[Point],
        catalogs: Callable[[], Iterator[Section]],
        union: LayeredStore,
        monitor: Monitor,
    ) -> None:
        """Prepare for the `points`.

        `catalogs` reads the indexes of the archives with the catalogs of `points`, first those of the last
        points.
        """
        self._path = path
        self._sealer = sealer
        self._pages = {point.manifest.point: _pages(point) for point in points}
        self._catalogs = catalogs
        self._union = union
        self._monitor = monitor

    def teach(self, small: SmallFiles, known: KnownChunks) -> None:
        """Tell `small` of the files with `known` bundles.

        Raises HomeError; StoreError, MediaError if a vault does not answer.
        """
        wanted = {page for pages in self._pages.values() for page in pages}
        pages, segments = self._named(wanted)
        for frame in _frames(self._path):
            small.learn(frame.files(), known)
        if wanted <= pages:
            return
        catalogs = _Catalogs(self._sealer, self._catalogs(), self._union)
        os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600))
        with closing(RowJournal(self._path)) as journal:
            learning = _Learning(catalogs, journal, pages, segments, small, known)
            for point, of_point in self._pages.items():
                try:
                    learning.learn(of_point)
                except OffseedError as error:
                    if not is_damage(error):
                        raise
                    what = f"the list of files of point {point[:8]} cannot be read to its end"
                    self._monitor.notice(
                        f"{what} ({error.what}); small files that only it has may be sent again"
                    )

    def _named(self, wanted: set[ChunkId]) -> tuple[set[ChunkId], set[ChunkId]]:
        """Return the pages and segments that the file names.

        A torn end is cut off. The file is given up if most of its pages belong to points that are gone.
        """
        pages, segments, end = set[ChunkId](), set[ChunkId](), 0
        for frame in _frames(self._path):
            pages |= frame.pages
            segments |= frame.segments
            end = frame.end
        if len(pages - wanted) > len(pages & wanted) + STALE_MIN:
            pages, segments, end = set(), set(), 0
        with suppress(FileNotFoundError):
            if self._path.stat().st_size > end:
                os.truncate(self._path, end)
        return pages, segments


class _Learning:
    """A reader of catalog tables that were not read before; it writes their small files down."""

    def __init__(
        self,
        catalogs: "_Catalogs",
        journal: RowJournal,
        pages: set[ChunkId],
        segments: set[ChunkId],
        small: SmallFiles,
        known: KnownChunks,
    ) -> None:
        self._catalogs = catalogs
        self._journal = journal
        self._pages = pages
        self._segments = segments
        self._small = small
        self._known = known
        self._files: list[File] = []
        self._new: list[ChunkId] = []  # segments

    def learn(self, pages: Iterable[ChunkId]) -> None:
        """Read the pages of a catalog.

        Raises IntegrityError, FormatError, StoreError, MediaError, HomeError.
        """
        for page in pages:
            if page in self._pages:
                continue
            where = f"page {page.hex()[:16]}"
            for row in decode_page(self._catalogs.chunk(page), where):
                if row.segment not in self._segments:
                    self._learn(row.segment)
            self._write([page])
            self._pages.add(page)

    def _learn(self, segment: ChunkId) -> None:
        files = list(small_files(self._catalogs.chunk(segment)))
        places = self._small.find([ContentId(content) for content, _, _ in files])
        for file, place in zip(files, places, strict=True):
            if place is None or place[0].id != file[1]:
                self._files.append(file)
        self._small.learn(files, self._known)
        self._new.append(segment)
        self._segments.add(segment)
        if len(self._files) > FRAME_FILES:
            self._write([])

    def _write(self, pages: Sequence[ChunkId]) -> None:
        bundles = {
            bundle: number for number, bundle in enumerate(dict.fromkeys(b for _, b, _ in self._files))
        }
        parts = [
            HEAD.pack(len(pages), len(self._new), len(bundles), len(self._files)),
            *pages,
            *self._new,
            *bundles,
        ]
        parts += [ROW.pack(content, bundles[bundle], offset) for content, bundle, offset in self._files]
        self._journal.append(b"".join(parts))
        self._files, self._new = [], []


class _Catalogs:
    """The tables of the catalogs of many points.

    Indexes are taken in only as far as they are needed, twice as many each time.
    """

    def __init__(self, sealer: ChunkSealer, sections: Iterator[Section], union: LayeredStore) -> None:
        self._sealer = sealer
        self._sections = sections
        self._union = union
        self._names: list[str] = []
        self._taken: list[Places] = []

    def chunk(self, chunk: ChunkId) -> bytes:
        """Return a table.

        Raises IntegrityError chunk-missing; StoreError, MediaError if a store does not answer.
        """
        for number in count():
            if number == len(self._taken) and not self._take_more():
                break
            for place in self._taken[number].of(chunk):
                name = self._names[place.archive]
                with damage_aside():
                    record = self._union.get(name, place.offset, place.length)
                    return self._sealer.open(CATALOG, chunk, record, name)
        raise IntegrityError(
            "chunk-missing",
            "a part of a catalog is in none of the archives at hand",
            subject=chunk.hex()[:16],
        )

    def _take_more(self) -> bool:
        """Take in more indexes; return whether there were any."""
        more = list(islice(self._sections, len(self._names) + TAKEN_MIN))
        places = Places()
        for section in more:
            name = layout.archive_name(section.archive.name)
            places.add(len(self._names), section.rows(name))
            self._names.append(name)
        places.end()
        self._taken.append(places)
        return bool(more)


class _Frame(NamedTuple):
    """A frame that ends before the offset `end`."""

    data: bytes
    end: int

    @property
    def _counts(self) -> tuple[int, ...]:
        return HEAD.unpack_from(self.data)

    @property
    def pages(self) -> set[ChunkId]:
        return set(self._ids(0, self._counts[0]))

    @property
    def segments(self) -> set[ChunkId]:
        return set(self._ids(self._counts[0], self._counts[1]))

    def files(self) -> list[File]:
        pages, segments, bundles, files = self._counts
        ids = self._ids(pages + segments, bundles)
        start = HEAD.size + ID * (pages + segments + bundles)
        rows = ROW.iter_unpack(self.data[start : start + files * ROW.size])
        return [(content, ids[number], offset) for content, number, offset in rows]

    def _ids(self, first: int, count: int) -> list[ChunkId]:
        start = HEAD.size + ID * first
        return [ChunkId(self.data[at : at + ID]) for at in range(start, start + ID * count, ID)]


def _frames(path: Path) -> Iterator[_Frame]:
    """Yield the whole frames at the start of a file, if it is there."""
    end = 0
    with suppress(FileNotFoundError), open(path, "rb") as file:
        while len(head := file.read(FRAME.size)) == FRAME.size:
            length, checked = FRAME.unpack(head)
            data = file.read(length)
            if len(data) != length or blake3(data).digest(length=16) != checked:
                return
            end += FRAME.size + length
            yield _Frame(data, end)


def _pages(point: Point) -> list[ChunkId]:
    return [ChunkId(bytes.fromhex(page)) for page in point.root.pages]
