"""Large files, cut into chunks by content while they are read; each chunk is passed on at once."""

from collections.abc import Generator, Iterator

from formats.keyed.catalog import CatalogEntry
from formats.keyed.chunking import ChunkingParameters
from formats.keyed.keys import MasterKey
from seed.pipeline.chunking import Cutter
from seed.pipeline.chunks import FileChunks, PendingChunk
from seed.pipeline.known_chunks import KnownChunks
from seed.pipeline.source_report import SourceReport
from seed.source.stream import Stream


class LargeFiles:
    """A cutter of large files, which skips the chunks that are known from an earlier reading."""

    def __init__(
        self, master: MasterKey, parameters: ChunkingParameters, known: KnownChunks, report: SourceReport
    ) -> None:
        self._cutter = Cutter(master, parameters)
        self._known = known
        self._report = report

    def cut(
        self, entry: CatalogEntry, stream: Stream, pieces: FileChunks, before: CatalogEntry | None
    ) -> Iterator[PendingChunk]:
        """Read a file to its end into `pieces`, and yield each chunk that may be new.

        `before` is the entry of an earlier reading. Its known chunks are skipped, and the others are cut at
        the same places. Raises the errors of the stream.
        """
        if (
            before is None
            or before.content  # in a bundle
            or before.extents != entry.extents
            or (yield from self._again(before, stream, pieces))
        ):
            for unit in self._cutter.cut(stream.read, entry.size - stream.at):
                pieces.expect(unit)
                yield unit

    def _again(
        self, before: CatalogEntry, stream: Stream, pieces: FileChunks
    ) -> Generator[PendingChunk, None, bool]:
        """Yield the unknown ones of the earlier chunks, and skip the others. Return False if the file ended."""
        for chunk, length in zip(before.chunk_ids(), before.piece_lengths(), strict=True):
            if chunk in self._known:
                pieces.append(chunk, length)
                stream.skip(length)
                self._report.kept(length)
                continue
            if (unit := self._cutter.take(stream.read, length)) is not None:
                pieces.expect(unit)
                yield unit
            if unit is None or unit.size < length:
                return False
        return True
