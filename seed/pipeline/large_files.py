"""Large files, cut into chunks by content while they are read; each chunk is passed on at once."""

from collections.abc import Callable

from formats.keyed.catalog import CatalogEntry
from formats.keyed.keys import MasterKey
from formats.keyed.slots import ChunkingParameters
from seed.pipeline.chunking import Cutter, FileChunks, PendingChunk
from seed.pipeline.row import shrunk
from seed.pipeline.sealing import KnownChunks
from seed.source.stream import Stream


class LargeFiles:
    """A reader of large files.

    It calls `submit` with each chunk that may be new, and `kept` with the size of each known chunk that it
    skips.
    """

    def __init__(
        self,
        master: MasterKey,
        parameters: ChunkingParameters,
        known: KnownChunks,
        submit: Callable[[PendingChunk], None],
        kept: Callable[[int], None],
    ) -> None:
        self._cutter = Cutter(master, parameters)
        self._known = known
        self._submit = submit
        self._kept = kept

    def read(
        self, entry: CatalogEntry, stream: Stream, pieces: FileChunks, before: CatalogEntry | None
    ) -> CatalogEntry:
        """Read a file to its end into `pieces`, and return its entry: the file may have ended early.

        `before` is the entry of an earlier reading. Its known chunks are skipped, and the others are cut at
        the same places. Raises the errors of the stream.
        """
        if before is None or before.extents != entry.extents or self._again(before, stream, pieces):
            for unit in self._cutter.cut(stream.read, entry.size - stream.at):
                self._expect(pieces, unit)
        return shrunk(entry, stream.regions, stream.at) if stream.end is not None else entry

    def _again(self, before: CatalogEntry, stream: Stream, pieces: FileChunks) -> bool:
        """Go through the earlier chunks, and read the unknown ones. Return False if the file ended."""
        for chunk, length in zip(before.chunk_ids(), before.chunk_lengths(), strict=True):
            if chunk in self._known:
                pieces.append(chunk, length)
                stream.skip(length)
                self._kept(length)
                continue
            if (unit := self._cutter.take(stream.read, length)) is not None:
                self._expect(pieces, unit)
            if unit is None or unit.size < length:
                return False
        return True

    def _expect(self, pieces: FileChunks, unit: PendingChunk) -> None:
        pieces.expect(unit)
        self._submit(unit)
