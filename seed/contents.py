"""The contents of files: fetched archive by archive, written where they belong; a file that has all gets its name."""

from collections.abc import Sequence
from dataclasses import dataclass

from formats.errors import FormatError, Interrupted, OffseedError
from formats.ids import ChunkId
from formats.monitor import Finding
from seed.fetching import Fetcher
from seed.outcome import Outcome, Restored
from seed.pieces import File, Piece, pieces
from seed.tree.new_file import NewFile
from seed.tree.system import TreeWriter


@dataclass
class Written:
    """What came of a share of the files: counts, and the paths that further hard links may lead to."""

    done: Restored
    linked: set[bytes]
    findings: list[Finding]
    notices: list[str]


class Contents:
    """Writes files into `tree`, and counts them in `outcome`."""

    def __init__(self, tree: TreeWriter, outcome: Outcome, fetcher: Fetcher) -> None:
        self._tree = tree
        self._outcome = outcome
        self._monitor = outcome.monitor
        self._fetcher = fetcher
        self.linked: set[bytes] = set()  # paths that were written, and of whose file there are more

    def write(self, files: Sequence[File]) -> None:
        """Raises Interrupted, MediaError disk-full, read-only; what concerns one file is a finding."""
        wanted: dict[ChunkId, list[Piece]] = {}
        for file in files:
            made_of = self._pieces(file)
            file.pieces = len(made_of)
            for chunk, piece in made_of:
                wanted.setdefault(chunk, []).append(piece)
            if not made_of:
                self._finish(file, 0)
        for chunk, raw in self._fetcher.fetch(wanted):
            self._write_chunk(raw, wanted[chunk])
            if self._monitor.stopping():
                raise Interrupted(2)

    def _pieces(self, file: File) -> list[tuple[ChunkId, Piece]]:
        try:
            return list(pieces(file))
        except FormatError as error:
            self._outcome.find(file.path, code=error.code, detail=error.what)
            file.failed = True
            return []

    def _write_chunk(self, raw: bytes | OffseedError, pieces: list[Piece]) -> None:
        if isinstance(raw, OffseedError):
            self._lose(pieces, raw.code, raw.what)
            return
        self._monitor.progress(done=len(raw))
        view = memoryview(raw)
        for piece in pieces:
            part = view[piece.chunk_offset : piece.chunk_offset + piece.length]
            if len(part) != piece.length:
                self._lose([piece], "chunk-missing", "its chunk is shorter than the catalog says")
                continue
            file = piece.file
            try:
                if not file.failed:
                    self._tree.write_at(self._opened(file), part, piece.file_offset)
            except (OSError, OffseedError) as error:
                self._outcome.fail(file.path, error)
                file.failed = True
            self._finish(file, 1)

    def _opened(self, file: File) -> NewFile:
        if file.new is None:
            file.new = self._tree.open_file(file.path)
            if file.entry.extents or not file.entry.chunks:
                self._tree.set_size(file.new, file.entry.size)
        return file.new

    def _lose(self, pieces: Sequence[Piece], code: str, detail: str) -> None:
        for piece in pieces:
            if not piece.file.failed:
                piece.file.failed = True
                self._outcome.find(piece.file.path, code=code, detail=detail)
            self._finish(piece.file, 1)

    def _finish(self, file: File, pieces: int) -> None:
        """Count pieces down; with the last one the file gets its attributes and its name."""
        file.pieces -= pieces
        if file.pieces:
            return
        try:
            if file.failed:
                self._outcome.done.failed += 1
                if file.new is not None:
                    self._tree.abandon_file(file.new)
                return
            self._tree.finish_file(file.entry, file.path, self._opened(file))
        except (OSError, OffseedError) as error:
            self._outcome.fail(file.path, error)
            self._outcome.done.failed += 1
            return
        self._outcome.done.files += 1
        self._outcome.done.file_bytes += file.entry.size
        if file.entry.extents or not file.entry.chunks:  # its holes
            self._monitor.progress(done=file.entry.size - sum(n for _, n in file.entry.data_extents()))
        if file.entry.links > 1:
            self.linked.add(file.path)
