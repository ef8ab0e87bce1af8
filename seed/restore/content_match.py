"""The comparison of a file on the target with the catalog.

The ids of the file's bytes are computed anew, and compared with the ids in the catalog.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from formats.errors import OffseedError
from formats.ids import content_id
from formats.keyed.catalog import FILE, FOLDER, CatalogEntry
from formats.keyed.chunk import ChunkSealer
from formats.tables.index import CONTENT
from seed.restore.file_pieces import File
from seed.restore.outcome import IN_THE_WAY, RestoreCounts
from seed.restore.tree.system import TreeWriter

_PIECE = 1 << 20


def holds(handle: int, entry: CatalogEntry, sealer: ChunkSealer) -> bool:
    """Return whether all bytes of an open file are those of an entry of the catalog; a hole equals zeros.

    Returns False also if the catalog does not know the content, because it was lost. Raises OSError.
    """
    if os.fstat(handle).st_size != entry.size or entry.is_lost:
        return False
    regions = entry.data_extents()
    size = sum(length for _, length in regions)
    data = _Regions(handle, regions)
    if entry.content:
        same = content_id(data.read(size), sealer.content_key) == entry.content
    else:
        same = sum(entry.piece_lengths()) == size and all(
            offset == 0 and sealer.chunk_id(CONTENT, data.read(length)) == chunk
            for chunk, offset, length in entry.pieces()
        )
    return same and all(_is_zero(handle, start, end) for start, end in _gaps(regions, entry.size))


def settled(
    file: File, tree: TreeWriter, outcome: RestoreCounts, sealer: ChunkSealer
) -> Literal["same", "other", "left"]:
    """Settle a doubt by the content: count the same file, have it replaced, or leave it alone."""
    try:
        handle = tree.open_there(file.path)
        try:
            same = holds(handle, file.entry, sealer)
        finally:
            os.close(handle)
    except (OSError, OffseedError) as error:
        if tree.overwrite:
            return "other"
        outcome.fail(file.path, error)
        outcome.done.failed += 1
        return "left"
    if same:
        outcome.done.same += 1
        outcome.monitor.progress(kept=file.entry.size)
        return "same"
    if tree.overwrite:
        return "other"
    outcome.leave(file.path, IN_THE_WAY)
    return "left"


@dataclass
class RestoreCheck:
    """The counts of a verification: entries, the files among them and their bytes, and differences."""

    entries: int = 0
    files: int = 0
    file_bytes: int = 0
    differ: int = 0


class Verification:
    """A comparison of a point's entries with the target; each difference is a finding."""

    def __init__(self, tree: TreeWriter, outcome: RestoreCounts, sealer: ChunkSealer) -> None:
        self._tree = tree
        self._outcome = outcome
        self._sealer = sealer
        self._lacking = b""  # the beginning of all paths below a missing folder
        self.done = RestoreCheck()

    def check(self, entry: CatalogEntry, path: bytes) -> None:
        """Read a file back, past the page cache where the system allows it; only look at other entries."""
        below = bool(self._lacking) and path.startswith(self._lacking)
        try:
            why = "the folder above it is lacking" if below else self._difference(entry, path)
        except (OSError, OffseedError) as error:
            why = error.what if isinstance(error, OffseedError) else error.strerror or type(error).__name__
        self.done.entries += 1
        if why:
            if entry.type == FOLDER and not below:
                self._lacking = path + b"/"
            self.done.differ += 1
            self._outcome.find(path, code="target-differs", detail=why)

    def _difference(self, entry: CatalogEntry, path: bytes) -> str:
        now = self._tree.judge(entry, path).state
        if now == "absent":
            return "it is lacking"
        if now == "twin":
            return self._tree.rival(path)
        if entry.type != FILE:
            return "" if now == "same" else "it is something else"
        handle = self._tree.open_there(path)
        try:
            if sys.platform == "linux":
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            same = holds(handle, entry, self._sealer)
        finally:
            os.close(handle)
        self.done.files += 1
        self.done.file_bytes += entry.size
        self._outcome.monitor.progress(done=entry.size)
        return "" if same else "its content is another"


class _Regions:
    """The data regions of an open file, read end to end."""

    def __init__(self, handle: int, regions: list[tuple[int, int]]) -> None:
        self._handle = handle
        self._left = iter(regions)
        self._at = self._end = 0

    def read(self, length: int) -> bytes:
        """Return the next `length` bytes; fewer if the file is shorter by now."""
        found: list[bytes] = []
        while length:
            if self._at == self._end:
                self._at, size = next(self._left, (0, 0))
                self._end = self._at + size
            part = _read(self._handle, self._at, min(length, self._end - self._at))
            if not part:
                break
            found.append(part)
            self._at += len(part)
            length -= len(part)
        return b"".join(found)


def _gaps(regions: list[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each hole."""
    at = 0
    for start, length in regions:
        if start > at:
            yield at, start
        at = start + length
    if size > at:
        yield at, size


def _is_zero(handle: int, start: int, end: int) -> bool:
    """Return whether only zeros lie between `start` and `end`; skip holes that the system tells."""
    while start < end:
        start = _next_data(handle, start, end)
        part = _read(handle, start, min(_PIECE, end - start))
        if part.count(0) != len(part):
            return False
        if not part:
            break
        start += len(part)
    return True


def _read(handle: int, offset: int, length: int) -> bytes:
    os.lseek(handle, offset, os.SEEK_SET)
    return os.read(handle, length)


def _next_data(handle: int, start: int, end: int) -> int:
    """Return the offset of the next data, as far as the system tells; `end` at the latest."""
    if sys.platform == "win32":
        return start
    try:
        return min(os.lseek(handle, start, os.SEEK_DATA), end)
    except OSError as error:
        return end if error.errno == 6 else start  # ENXIO: only a hole follows
