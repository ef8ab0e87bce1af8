"""The stored contents of small files and their places.

They are those of this run, and once they are needed also those of the points before.
"""

from collections.abc import Sequence

from formats.ids import ChunkId, ContentId
from seed.pipeline.remembered_contents import RememberedContents
from seed.pipeline.sealing import KnownChunks
from seed.pipeline.small_file_table import Place, SmallFiles


class ContentIndex:
    """A table of stored contents. `contents` knows those of the points before, if there are any.

    They are loaded once a small file is to be stored.
    """

    def __init__(self, known: KnownChunks, contents: RememberedContents | None) -> None:
        self._known = known
        self._contents = contents
        self._small = SmallFiles()
        self._remembering = contents is None

    def find(self, contents: Sequence[ContentId]) -> list[Place | None]:
        """Return for each content its place, if it is stored."""
        if not self._remembering:
            self._remembering = True
            if self._contents is not None:
                self._contents.teach(self._small, self._known)
        return self._small.find(contents)

    def get_new(self, content: ContentId) -> Place | None:
        """Return the place of a content that was not there when `find` was called.

        Since then, at most a batch of other contents was stored.
        """
        return self._small.get_new(content)

    def put(self, content: ContentId, place: Place) -> None:
        self._small.put(content, *place)

    def remember(self, content: bytes, chunk: bytes, offset: int) -> None:
        """Remember that the content of a small file, if it has one, is stored already."""
        if self._remembering and content:
            self._small.remember(ContentId(content), ChunkId(chunk), offset)
