"""The contents of files: fetched archive by archive, written to the staging folder, then named in batches.

This order of writes makes a restore safe against a power cut at any moment:

1. Each file gets its content, then its attributes and time, under a name of the staging folder.
2. One sync of the target's file system brings the whole batch to the medium.
3. Only then each file gets its own name. The rename replaces nothing that this run has not judged.
4. When all batches have their names, the folders get their attributes.
5. A last sync brings names and folders to the medium. Only then the command says "restored" (seed/restore/restore.py).

So a file under its own name is whole on the medium: no size and no time stands there before its data. After a
cut, the next restore clears the staging folder and writes the files that have no name yet.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from formats.errors import FormatError, Interrupted, MediaError, OffseedError
from formats.ids import ChunkId
from formats.keyed.catalog import FILE
from formats.keyed.chunk import ChunkSealer
from formats.monitor import Finding
from seed.restore.chunk_fetcher import Fetcher
from seed.restore.content_match import settled
from seed.restore.file_pieces import File, Piece, pieces
from seed.restore.outcome import RestoreCounts, RestoreResult, target_error
from seed.restore.tree.new_file import NewFile
from seed.restore.tree.system import TreeWriter


@dataclass
class ShareResult:
    """The result for a share of the files: counts, and the paths that further hard links may use."""

    done: RestoreResult
    linked: set[bytes]
    findings: list[Finding]
    notices: list[str]


class FileWriter:
    """A writer of files into `tree`. It counts them in `outcome`."""

    def __init__(
        self, tree: TreeWriter, outcome: RestoreCounts, sealer: ChunkSealer, fetcher: Fetcher
    ) -> None:
        self._tree = tree
        self._sealer = sealer
        self._outcome = outcome
        self._monitor = outcome.monitor
        self._fetcher = fetcher
        self._whole: list[tuple[File, NewFile]] = []  # in the staging folder
        self.linked: set[bytes] = set()  # correct paths with a file that has further names

    def write(self, files: Sequence[File]) -> None:
        """Write a batch. Whole files get their names even if this call ends early.

        Raises Interrupted, MediaError disk-full, read-only, io-error. A fault of one file is a finding.
        """
        try:
            self._write(files)
        except (Interrupted, MediaError):
            self._publish()
            raise
        self._publish()

    def _write(self, files: Sequence[File]) -> None:
        wanted: dict[ChunkId, list[Piece]] = {}
        for file in files:
            if file.doubt and self._stays(file):
                continue
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

    def _stays(self, file: File) -> bool:
        verdict = settled(file, self._tree, self._outcome, self._sealer)
        if verdict == "same" and file.entry.links > 1:
            self.linked.add(file.path)
        return verdict != "other"

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
        """Count pieces down. After the last piece, give the file its attributes."""
        file.pieces -= pieces
        if file.pieces:
            return
        try:
            if file.failed:
                self._outcome.done.failed += 1
                if file.new is not None:
                    self._tree.abandon_file(file.new)
            elif file.entry.type == FILE:
                self._tree.finish_file(file.entry, file.path, new := self._opened(file))
                self._whole.append((file, new))
            elif (other := self._tree.make_other(file.entry, file.path)) is not None:
                self._whole.append((file, other))
        except (OSError, OffseedError) as error:
            self._outcome.fail(file.path, error)
            self._outcome.done.failed += 1

    def _publish(self) -> None:
        """Make the batch durable, then give its files their names. Raises MediaError."""
        whole, self._whole = self._whole, []
        if not whole:
            return
        try:
            self._tree.flush(new for _, new in whole)
        except OSError as error:
            raise target_error(error, "") from error
        for file, new in whole:
            try:
                self._tree.publish(new, file.path, file.mark)
            except FileExistsError as error:
                self._tree.abandon_file(new)
                self._yield_to(file, str(error.strerror))
            except (OSError, OffseedError) as error:
                self._outcome.fail(file.path, error)
                self._outcome.done.failed += 1
                self._tree.abandon_file(new)
            else:
                self.count(file)

    def _yield_to(self, file: File, detail: str) -> None:
        """Keep a file that came meanwhile. The same file from another restore is no obstacle."""
        if self._tree.judge(file.entry, file.path).state != "same":
            self._outcome.leave(file.path, detail)
            return
        self._outcome.done.same += 1
        if file.entry.links > 1:
            self.linked.add(file.path)

    def count(self, file: File) -> None:
        """Count a file that has its name."""
        entry = file.entry
        if entry.type == FILE:
            self._outcome.done.files += 1
            self._outcome.done.file_bytes += entry.size
            if entry.extents or not entry.chunks:  # count the holes, which no chunk has counted
                self._monitor.progress(done=entry.size - sum(n for _, n in entry.data_extents()))
        else:
            self._outcome.done.others += 1
        if entry.links > 1:
            self.linked.add(file.path)
