"""Chunks made again: from sealed records on another disk or in the home, else from the source.

The catalogs tell which files lay in the chunks. A chunk counts as made again if it has its id. If a bundle
cannot be had as a whole, its files are found one by one, by their content ids.
"""

import os
import stat
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from formats import layout
from formats.ids import ChunkId, ContentId, content_id
from formats.keyed.catalog import FILE
from formats.keyed.chunk import ChunkSealer
from formats.store.checked import read_record
from formats.store.contract import Store
from formats.tables.index import CONTENT, IndexRow
from formats.tables.needs import Need
from formats.tables.sections import Section
from seed.points.point_reader import PointReader
from seed.points.previous_rows import of_segments
from seed.source.stream import Stream
from seed.source.system import FolderOpener


class SourcePiece(NamedTuple):
    """A small file in a bundle, or a stretch of a larger file.

    `regions` are the data of that file, (offset, length) each; `skip` bytes of them come before the stretch.
    """

    path: bytes
    length: int
    content: bytes
    regions: tuple[tuple[int, int], ...] = ()
    skip: int = 0


class Remaking:
    """The making of the chunks of `wanted`, as far as the source has the files that `learn` finds."""

    def __init__(self, sealer: ChunkSealer, wanted: Collection[ChunkId]) -> None:
        self._sealer = sealer
        self._wanted = wanted
        # The files and stretches of each chunk, by their offsets in it: those of the newest point first.
        self._lain: dict[ChunkId, dict[int, list[SourcePiece]]] = {}
        self._learnt: set[ChunkId] = set()
        self._folders = FolderOpener()

    def close(self) -> None:
        self._folders.close()

    def learn(self, reader: PointReader) -> None:
        """Learn the files of the chunks from a point's catalog.

        Raises IntegrityError, FormatError, StoreError, MediaError.
        """
        rows = (row for row in reader.page_rows() if row.segment not in self._learnt)
        for entry, origin in of_segments((row, reader.segment(row)) for row in rows):
            if origin is not None:
                self._learnt.add(origin.row.segment)
            if entry.type != FILE or not entry.chunks:
                continue
            skip = 0
            for chunk, offset, length in entry.pieces():
                if chunk in self._wanted:
                    regions = tuple(entry.data_extents())
                    self._lay(chunk, offset, SourcePiece(entry.path, length, entry.content, regions, skip))
                skip += length

    def make(self, chunk: ChunkId) -> bytes | None:
        """Return the bytes of a chunk, None if the source does not have them all."""
        raw = bytearray()
        places = self._lain.get(chunk, {})
        for at in sorted(places):
            part = self._read_any(places[at]) if at == len(raw) else None
            if part is None:
                return None
            raw += part
        made = bytes(raw)
        return made if made and self._sealer.chunk_id(CONTENT, made) == chunk else None

    def files(self, chunk: ChunkId) -> Iterator[tuple[ContentId, bytes]]:
        """Yield the small files of a bundle that are still there, each content once."""
        done: set[bytes] = set()
        for places in self._lain.get(chunk, {}).values():
            for place in places:
                if not place.content or place.content in done:
                    continue
                if (data := self._read_any([place])) is not None:
                    done.add(place.content)
                    yield ContentId(place.content), data

    def _lay(self, chunk: ChunkId, at: int, place: SourcePiece) -> None:
        places = self._lain.setdefault(chunk, defaultdict(list))[at]
        if place not in places:
            places.append(place)

    def _read_any(self, places: Iterable[SourcePiece]) -> bytes | None:
        for place in places:
            with suppress(OSError):  # it is no longer there, or cannot be read
                data = self._read(place)
                if len(data) == place.length and (
                    not place.content or content_id(data, self._sealer.content_key) == place.content
                ):
                    return data
        return None

    def _read(self, place: SourcePiece) -> bytes:
        handle = self._folders.open(place.path)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                return b""
            stream = Stream(handle, place.regions or ((0, place.length),), lambda _: None)
            stream.skip(place.skip)
            data = bytearray(place.length)
            filled = 0
            while filled < len(data) and (got := stream.read(memoryview(data)[filled:])):
                filled += got
            return bytes(data[:filled])
        finally:
            os.close(handle)


def sealed_copy(stores: Sequence[Store], need: Need, row: IndexRow) -> bytes | None:
    """Return a record as it lies, whole, in one of `stores`; None if none has it. Raises StoreError."""
    copies = (read_record(store, need.archive.name, row) for store in stores)
    return next((record for record in copies if record is not None), None)


def wanted_rows(need: Need, section: Section) -> list[IndexRow]:
    """Return the rows of the records that are live in `need`. Raises FormatError."""
    rows = section.rows(layout.archive_name(need.archive.name))
    return [row for number, row in enumerate(rows) if need.is_live(number)]
