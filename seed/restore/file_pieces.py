"""Files in the making, and the pieces of chunks that compose them."""

from collections.abc import Iterator
from dataclasses import dataclass

from formats.ids import ChunkId
from formats.keyed.catalog import CatalogEntry
from formats.untrusted import refuse
from seed.restore.tree.name_state import Mark
from seed.restore.tree.new_file import NewFile


@dataclass(eq=False)
class File:
    """A file, or an entry of another kind, in the making; the last of its `pieces` finishes it.

    It may replace only an object with this `mark`, and nothing if `mark` is None. In `doubt`, it is written only
    if the object there has another content.
    """

    entry: CatalogEntry
    path: bytes
    mark: Mark | None = None
    doubt: bool = False
    pieces: int = 0
    new: NewFile | None = None
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of `length` bytes: it begins at `chunk_offset` of a chunk, and is written at `file_offset`."""

    file: File
    file_offset: int
    chunk_offset: int
    length: int


def pieces(file: File) -> Iterator[tuple[ChunkId, Piece]]:
    """Yield the chunks of a file, and the places of their bytes in it: past its holes.

    Raises FormatError CAT-5 if the data have more or fewer bytes than the pieces.
    """
    data, held = file.entry.data_extents(), file.entry.pieces()
    if sum(length for _, length in data) != sum(file.entry.piece_lengths()):
        refuse("CAT-5", "its pieces do not add up to its data", "a file")
    regions = iter(data)
    at, left = 0, 0
    for chunk, offset, length in held:
        within = 0
        while within < length:
            if not left:
                at, left = next(regions, (at, length))
            part = min(left, length - within)
            yield chunk, Piece(file, at, offset + within, part)
            at, left, within = at + part, left - part, within + part
