"""The places of a point's records, by the chunks in them, in 37 bytes a record."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from formats.ids import ChunkId
from formats.tables.index import IndexRow
from seed.tables.id_table import NEW_MAX, IdTable


@dataclass(frozen=True, slots=True)
class RecordPlace:
    """The place of a record: archive number in the point's need list, offset, length, kind."""

    archive: int
    offset: int
    length: int
    kind: int


class Places:
    """A map from each chunk to its records; most chunks have one."""

    def __init__(self) -> None:
        self._table = IdTable(numbered=True)
        self._waiting: list[ChunkId] = []
        self._columns = tuple(array(kind) for kind in "IIIB")
        self._asked: tuple[ChunkId, list[RecordPlace]] = ChunkId(b""), []

    @property
    def size(self) -> int:
        """The bytes of memory that the map takes."""
        return self._table.size + sum(len(column) * column.itemsize for column in self._columns)

    def add(self, archive: int, rows: Sequence[IndexRow]) -> None:
        """Add the index of one archive."""
        self._waiting += [row.chunk for row in rows]
        archives, offsets, lengths, kinds = self._columns
        archives.extend([archive] * len(rows))
        offsets.extend([row.offset for row in rows])
        lengths.extend([row.length for row in rows])
        kinds.extend([row.kind for row in rows])
        if len(self._waiting) >= NEW_MAX:
            self._settle()

    def of(self, chunk: ChunkId) -> list[RecordPlace]:
        """Return all places of `chunk` by the indexes, in the order of archives. Many threads may ask."""
        asked, places = self._asked
        if asked != chunk:  # files of one bundle come one after the other
            numbers = self._table.find_all(chunk)
            places = list(map(self._place, numbers))
            self._asked = chunk, places
        return places

    def first(self, chunks: Sequence[ChunkId]) -> list[RecordPlace | None]:
        """Return the first place of each chunk, if any, in a fraction of the time of `of`."""
        return [None if number is None else self._place(number) for number in self._table.find(chunks)]

    def end(self) -> None:
        """Finish the map after the last archive."""
        self._settle()
        self._table.compact()

    def _place(self, number: int) -> RecordPlace:
        return RecordPlace(*(column[number] for column in self._columns))

    def _settle(self) -> None:
        if self._waiting:
            end = len(self._columns[0])
            self._table.put_all(self._waiting, np.arange(end - len(self._waiting), end, dtype=np.uint64))
            self._waiting = []
