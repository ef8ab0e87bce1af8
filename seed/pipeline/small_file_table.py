"""The place of each small file's content, in 24 bytes a file. There may be a hundred million files."""

from collections.abc import Sequence

from formats.ids import ChunkId, ContentId
from seed.pipeline.chunks import PendingChunk, Place
from seed.pipeline.known_chunks import KnownChunks
from seed.tables.id_table import IdTable

_OFFSET_BITS = 32


class SmallFiles:
    """A table from content id to bundle and offset in it."""

    def __init__(self) -> None:
        self._bundles: list[PendingChunk] = []
        self._table = IdTable(numbered=True)
        self._stored = PendingChunk(None, 0, None)

    def __len__(self) -> int:
        return len(self._table)

    def get(self, content: ContentId) -> Place | None:
        return self._place(self._table.get(content))

    def find(self, contents: Sequence[ContentId]) -> list[Place | None]:
        """Return the places of many contents, as `get` does for each, in a fraction of the time."""
        return [self._place(number) for number in self._table.find(contents)]

    def get_new(self, content: ContentId) -> Place | None:
        """Return the place of a content, as `get` does, if a call of `find` just before did not find it."""
        return self._place(self._table.get_new(content))

    def put(self, content: ContentId, bundle: PendingChunk, offset: int) -> None:
        """Remember a content."""
        if not self._bundles or self._bundles[-1] is not bundle:
            self._bundles.append(bundle)
        self._table.put(content, len(self._bundles) - 1 << _OFFSET_BITS | offset)

    def remember(self, content: ContentId, chunk: ChunkId, offset: int) -> None:
        """Remember a content in a bundle that an earlier run stored.

        Mostly it is the bundle of the content before.
        """
        if self._table.get_new(content) is None:
            if self._stored.id != chunk:
                self._stored = PendingChunk(None, 0, None, chunk)
            self.put(content, self._stored, offset)

    def learn(self, rows: Sequence[tuple[bytes, ChunkId, int]], known: KnownChunks) -> None:
        """Remember the new contents of a catalog segment, if their bundles are `known`."""
        missing = known.missing({chunk for _, chunk, _ in rows})
        places = self._table.find([content for content, _, _ in rows])
        for (content, chunk, offset), place in zip(rows, places, strict=True):
            if place is None and chunk not in missing:
                self.remember(ContentId(content), chunk, offset)

    def _place(self, number: int | None) -> Place | None:
        if number is None:
            return None
        return self._bundles[number >> _OFFSET_BITS], number & 0xFFFFFFFF
