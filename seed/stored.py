"""Which contents of small files are stored, and where: those of this run, and of the points before once they are needed."""

from collections.abc import Sequence

from formats.ids import ChunkId, ContentId
from seed.remembered import Contents
from seed.sealing import Known
from seed.small_files import Place, SmallFiles


class Stored:
    """What the points before hold is looked up once a small file is to be stored: `contents` knows it, if there are any."""

    def __init__(self, known: Known, contents: Contents | None) -> None:
        self._known = known
        self._contents = contents
        self._small = SmallFiles()
        self._remembering = contents is None

    def find(self, contents: Sequence[ContentId]) -> list[Place | None]:
        """Of each content where it is stored, if it is."""
        if not self._remembering:
            self._remembering = True
            if self._contents is not None:
                self._contents.teach(self._small, self._known)
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
