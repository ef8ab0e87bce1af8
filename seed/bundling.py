"""The contents of small files: each stored once, laid end to end into bundles."""

from collections.abc import Callable, Sequence
from contextlib import suppress

from formats.errors import FormatError, IntegrityError, MediaError, StoreError
from formats.ids import ChunkId, ContentId
from formats.keyed.slots import ChunkingParameters
from seed.chunking import Bundler, Unit
from seed.reading import PointReader
from seed.sealing import Known
from seed.small_files import Place, SmallFiles


class Bundling:
    """`submit` is called with each bundle that is to be sealed."""

    def __init__(
        self,
        parameters: ChunkingParameters,
        known: Known,
        last: Sequence[PointReader],
        submit: Callable[[Unit], None],
    ) -> None:
        """What the points `last` hold is looked up once a small file is to be stored."""
        self._bundler = Bundler(parameters)
        self._known = known
        self._last = last
        self._submit = submit
        self._small = SmallFiles()
        self._remembering = not last

    def find(self, contents: Sequence[ContentId]) -> list[Place | None]:
        """Of each content where it is stored, if it is."""
        if not self._remembering:
            self._remember_last()
        return self._small.find(contents)

    def keep(self, content: ContentId, data: memoryview, found: Place | None) -> Place:
        """The bundle in which a file's content lies, and its offset there; laid into the open one unless it is stored.

        Where it lies was asked for before, with at most a batch of others, and `found`.
        """
        place = found or self._small.get_new(content)
        if place is None:
            if not self._bundler.fits(len(data)):
                self.close()
            place = self._bundler.lay(data)
            self._small.put(content, *place)
        return place

    def remember(self, content: bytes, chunk: bytes, offset: int) -> None:
        """That a small file's content, if it is one, is stored already."""
        if self._remembering and content:
            self._small.remember(ContentId(content), ChunkId(chunk), offset)

    def close(self) -> None:
        """Send the open bundle on."""
        if (unit := self._bundler.close()) is not None:
            self._submit(unit)

    def _remember_last(self) -> None:
        """All small files of the last point: what was moved or copied from anywhere is not stored again."""
        self._remembering = True
        for reader in self._last:
            # What cannot be read was said when its rows were.
            with suppress(FormatError, IntegrityError, StoreError, MediaError):
                for rows in reader.small_files():
                    self._small.learn(rows, self._known)
