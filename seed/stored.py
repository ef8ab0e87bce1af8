"""Which contents of small files are stored, and where: those of this run, and of the points before once they are needed."""

from collections.abc import Sequence
from contextlib import suppress

from formats.errors import FormatError, IntegrityError, MediaError, StoreError
from formats.ids import ChunkId, ContentId
from seed.point_reader import PointReader
from seed.sealing import Known
from seed.small_files import Place, SmallFiles


class Stored:
    """What the points `last` hold is looked up once a small file is to be stored."""

    def __init__(self, known: Known, last: Sequence[PointReader]) -> None:
        self._known = known
        self._last = last
        self._small = SmallFiles()
        self._remembering = not last

    def find(self, contents: Sequence[ContentId]) -> list[Place | None]:
        """Of each content where it is stored, if it is."""
        if not self._remembering:
            self._remember_last()
        return self._small.find(contents)

    def get_new(self, content: ContentId) -> Place | None:
        """Where a content is stored that was not when `find` was asked for it, with at most a batch of others."""
        return self._small.get_new(content)

    def put(self, content: ContentId, place: Place) -> None:
        self._small.put(content, *place)

    def remember(self, content: bytes, chunk: bytes, offset: int) -> None:
        """That a small file's content, if it is one, is stored already."""
        if self._remembering and content:
            self._small.remember(ContentId(content), ChunkId(chunk), offset)

    def _remember_last(self) -> None:
        """All small files of the last point: what was moved or copied from anywhere is not stored again."""
        self._remembering = True
        for reader in self._last:
            # What cannot be read was said when its rows were.
            with suppress(FormatError, IntegrityError, StoreError, MediaError):
                for rows in reader.small_files():
                    self._small.learn(rows, self._known)
