"""Restore: from a recovery point into a folder. Archives are read in their order, each span once.

The catalog is taken in windows of bounded size. In each, folders are made, then contents are fetched archive by
archive and written, then links and special files are made; attributes of folders come last of all, so that nothing
written into them disturbs their times. One thread writes: several would only fight for the
interpreter's lock at every call.
"""

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from formats.errors import Interrupted, MediaError, OffseedError, UsageError
from formats.ids import ChunkId
from formats.keyed.catalog import FILE, FOLDER, Entry, joined
from formats.monitor import Finding, Monitor
from seed.fetching import Fetcher
from seed.pieces import File, Piece, pieces
from seed.reading import PointReader
from seed.selection import Selection
from seed.tree.new_file import NewFile
from seed.tree.system import TreeWriter

WINDOW_ROWS = 20_000
WINDOW_BYTES = 2 << 30
# The target cannot have this link: it knows none, or not that many, or not from one mount to another.
UNLINKABLE = (errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOSYS, errno.EOPNOTSUPP)


@dataclass
class Restored:
    """Counts of what was done: `same` were there already, `other` stood in the way and were left alone."""

    files: int = 0
    file_bytes: int = 0
    folders: int = 0
    others: int = 0
    same: int = 0
    other: int = 0
    failed: int = 0


class Restore:
    """One restore of one point into one target."""

    def __init__(
        self,
        reader: PointReader,
        open_tree: Callable[[], TreeWriter],
        selection: Selection,
        monitor: Monitor,
    ) -> None:
        self._reader = reader
        self._open_tree = open_tree
        self._selection = selection
        self._monitor = monitor
        self._folders: list[tuple[Entry, bytes]] = []
        self._links: dict[tuple[int, int, int, int, bytes], bytes] = {}
        self._written: set[bytes] = set()  # those of them that this restore has written
        self._alone: list[File] = []  # a further link to be written as a file of its own
        self._fetcher = Fetcher(reader)
        self.done = Restored()

    def plan(self, *, target_exists: bool) -> Restored:
        """What `run` would do, without writing: the same counts, and findings for what could not be had.

        Raises as `run`.
        """
        rows = self._rows()
        if target_exists:
            self._tree = self._open_tree()
        for entry in rows:
            path = self._path(entry)
            if entry.type == FOLDER:
                there = target_exists and bool(path) and self._state(entry, path) == "same"
                self.done.folders += bool(path) and not there
                self.done.same += there
            elif (first := self._first_link(entry, path)) is not None and self._has_come(entry):
                state = self._state(entry, path) if target_exists else "absent"
                self.done.files += state == "absent" or not (
                    state == "failed" or self._link_stands(entry, path, first)
                )
            elif target_exists and self._stands(entry, path):
                continue
            elif entry.type != FILE:
                self.done.others += 1
            elif self._has_come(entry):
                self.done.files += 1
                self.done.file_bytes += entry.size
            else:
                self.done.failed += 1
                if entry.is_lost:
                    self._find("content-lost", path, "its content was lost")
                else:
                    self._find("chunk-missing", path, "a part of it has not arrived")
        self._fetcher.close()
        if target_exists:
            self._tree.close()
        return self.done

    def _has_come(self, entry: Entry) -> bool:
        return all(self._reader.is_there(chunk) for chunk in entry.chunk_ids())

    def run(self) -> Restored:
        """Raises Interrupted, UsageError path-not-found, IntegrityError (the catalog is damaged), MediaError, StoreError."""
        rows = self._rows()
        self._tree = self._open_tree()
        try:
            while window := self._window(rows):
                self._restore_window(window)
            self._tree.settle()
            for entry, path in reversed(self._folders):
                self._guarded(path, self._tree.finish_folder, entry, path)
        finally:
            self._fetcher.close()
            self._tree.close()
        return self.done

    def _rows(self) -> Iterator[Entry]:
        """The entries that are taken; nothing is written where there are none."""
        rows = self._joined(self._selection.select(self._reader.entries(self._selection.below)))
        if (first := next(rows, None)) is None:
            raise UsageError(
                "path-not-found",
                "the recovery point holds nothing that is asked for",
                subject=self._selection.words(),
                hint="`seed ls` shows what it holds. A name with an odd character, as \\n, is written $'…\\n…' in a shell; a "
                "glob that begins with / is a whole path, any other the end of one, and * stops at /",
            )
        return chain([first], rows)

    @staticmethod
    def _joined(entries: Iterable[Entry]) -> Iterator[Entry]:
        """The rows of a file that spans several become one."""
        held: list[Entry] = []
        for entry in entries:
            if entry.part:
                if held and held[0].path == entry.path:
                    held.append(entry)
                continue
            if held:
                yield joined(held)
            held = [entry]
        if held:
            yield joined(held)

    def _window(self, rows: Iterator[Entry]) -> list[Entry]:
        window: list[Entry] = []
        total = 0
        for entry in islice(rows, WINDOW_ROWS):
            window.append(entry)
            total += entry.size
            if total > WINDOW_BYTES:
                break
        return window

    def _restore_window(self, window: Sequence[Entry]) -> None:
        if self._monitor.stopping():
            raise Interrupted(2)
        files: list[File] = []
        late: list[tuple[Entry, bytes, Callable[[Entry, bytes], None]]] = []
        for entry in window:
            path = self._path(entry)
            if entry.type == FOLDER:
                self._folders.append((entry, path))
                if path:
                    self._guarded(path, self._make_folder, path)
                continue
            if self._first_link(entry, path) is not None:
                late.append((entry, path, self._make_link))
            elif self._stands(entry, path):
                continue
            elif entry.type == FILE:
                files.append(File(entry, path))
            else:
                late.append((entry, path, self._make_other))
        self._write_files(files)
        for entry, path, make in late:
            self._guarded(path, make, entry, path)
            if self._alone:
                self._write_files([self._alone.pop()])

    def _first_link(self, entry: Entry, path: bytes) -> bytes | None:
        """The path restored before for the same file, where the entry is a further hard link on it."""
        if entry.type != FILE or entry.links < 2:
            return None
        first = self._links.setdefault(_same_file(entry), path)
        return None if first == path else first

    def _stands(self, entry: Entry, path: bytes) -> bool:
        """Whether what is there already is left alone."""
        state = self._state(entry, path)
        if state == "absent" or (state == "other" and self._tree.overwrite):
            return False
        if state == "same":
            self.done.same += 1
            self._monitor.progress(kept=entry.size if entry.type == FILE else 0)
        elif state == "other":
            self.done.other += 1
            self._find("target-exists", path, "something else is there; --overwrite replaces it")
        return True

    def _state(self, entry: Entry, path: bytes) -> str:
        try:
            return self._tree.state(entry, path)
        except (OSError, OffseedError) as error:
            self._fail(path, error)
            self.done.failed += 1
        return "failed"

    def _make_folder(self, path: bytes) -> None:
        if self._tree.make_folder(path):
            self.done.folders += 1
        else:
            self.done.same += 1

    def _make_other(self, entry: Entry, path: bytes) -> None:
        if self._tree.make_other(entry, path):
            self.done.others += 1

    def _make_link(self, entry: Entry, path: bytes) -> None:
        """A further hard link; a file of its own where there is nothing to link it with, or no way to."""
        first = self._links[_same_file(entry)]
        if first in self._written or self._tree.state(entry, first) == "same":
            if self._link_stands(entry, path, first):
                return
            try:
                self._tree.make_link(first, path)
                self.done.files += 1
                return
            except OSError as error:
                if error.errno not in UNLINKABLE:
                    raise
                self._find("target-failed", path, f"restored as a file of its own: {error.strerror}")
        elif self._stands(entry, path):
            return
        self._links[_same_file(entry)] = path
        self._alone.append(File(entry, path))

    def _link_stands(self, entry: Entry, path: bytes, first: bytes) -> bool:
        """Whether what is there already, where a further hard link belongs, is left alone."""
        if self._tree.is_link(first, path):
            self.done.same += 1
            return True
        if self._tree.state(entry, path) == "absent" or self._tree.overwrite:
            return False
        self.done.other += 1
        self._find("target-exists", path, "something else is there; --overwrite replaces it")
        return True

    def _write_files(self, files: Sequence[File]) -> None:
        """Fetch what the files are made of, archive by archive."""
        wanted: dict[ChunkId, list[Piece]] = {}
        for file in files:
            made_of = list(pieces(file))
            file.pieces = len(made_of)
            for chunk, piece in made_of:
                wanted.setdefault(chunk, []).append(piece)
            if not made_of:
                self._finish(file, 0)
        for chunk, raw in self._fetcher.fetch(wanted):
            self._write_chunk(raw, wanted[chunk])
            if self._monitor.stopping():
                raise Interrupted(2)

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
                self._fail(file.path, error, file)
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
                self._find(code, piece.file.path, detail)
            self._finish(piece.file, 1)

    def _finish(self, file: File, pieces: int) -> None:
        """Count pieces down; with the last one the file gets its attributes and its name."""
        file.pieces -= pieces
        if file.pieces:
            return
        try:
            if file.failed:
                self.done.failed += 1
                if file.new is not None:
                    self._tree.abandon_file(file.new)
                return
            self._tree.finish_file(file.entry, file.path, self._opened(file))
        except (OSError, OffseedError) as error:
            self._fail(file.path, error)
            self.done.failed += 1
            return
        self.done.files += 1
        self.done.file_bytes += file.entry.size
        if file.entry.extents or not file.entry.chunks:  # its holes
            self._monitor.progress(done=file.entry.size - sum(n for _, n in file.entry.data_extents()))
        if file.entry.links > 1:
            self._written.add(file.path)

    def _path(self, entry: Entry) -> bytes:
        """Where the entry goes: its full path, or what is left of it below the chosen folder."""
        below = self._selection.below
        if not below:
            return entry.path
        if entry.path == below:
            return b"" if entry.type == FOLDER else below.rpartition(b"/")[2]
        return entry.path[len(below) + 1 :]

    def _guarded(self, path: bytes, action: Callable[..., None], *arguments: object) -> None:
        try:
            action(*arguments)
        except (OSError, OffseedError) as error:
            self._fail(path, error)
            self.done.failed += 1

    def _fail(self, path: bytes, error: OSError | OffseedError, file: File | None = None) -> None:
        """What concerns one entry is a finding; a full or read-only target ends the restore."""
        if isinstance(error, OSError) and error.errno in (28, 30, 122):
            raise target_error(error, path) from error
        if file is not None:
            file.failed = True
        code = error.code if isinstance(error, OffseedError) else "target-failed"
        detail = error.what if isinstance(error, OffseedError) else error.strerror or type(error).__name__
        self._find(code, path, detail)

    def _find(self, code: str, path: bytes, detail: str) -> None:
        self._monitor.finding(Finding(code=code, subject=os.fsdecode(path), detail=detail))


def target_error(error: OSError, path: bytes) -> MediaError:
    code = "read-only" if error.errno == 30 else "disk-full"
    return MediaError(
        code,
        "the target cannot take more",
        subject=os.fsdecode(path),
        hint="make room, or choose another target, and run the same command again: what is there counts as done",
    )


def _same_file(entry: Entry) -> tuple[int, int, int, int, bytes]:
    """Equal for all hard links on one file, as long as it was not changed between them."""
    return entry.device, entry.inode, entry.size, entry.modified, entry.content or entry.chunks[:32]
