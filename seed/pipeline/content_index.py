"""Dedup of small files: which contents of a batch are new, and where the others are stored.

The stored contents are those of this run, and once they are needed also those of the points before.
"""

from formats.ids import ChunkId, ContentId
from formats.keyed.catalog import CatalogEntry
from seed.pipeline.chunks import Sealed
from seed.pipeline.known_chunks import KnownChunks
from seed.pipeline.remembered_contents import RememberedContents
from seed.pipeline.small_file_table import SmallFiles
from seed.pipeline.small_file_verdict import ReadBatch, Verdict


class ContentIndex:
    """A table of stored contents. `contents` knows those of the points before, if there are any.

    They are loaded once a small file is to be stored.
    """

    def __init__(self, known: KnownChunks, contents: RememberedContents | None) -> None:
        self._known = known
        self._contents = contents
        self._small = SmallFiles()
        self._remembering = contents is None

    def decide(self, batch: ReadBatch) -> Verdict:
        """Decide which files of a batch are kept, and give each row the place of its content."""
        self._load()
        lengths, ids, _ = batch.result
        contents = [ContentId(ids[at : at + 16]) for at in range(0, len(ids), 16)]
        places = self._small.find(contents)
        verdict = Verdict(batch.bundle, batch.size_max)
        for row, size, content, place in zip(batch.rows, lengths, contents, places, strict=True):
            if not size:
                verdict.skip()
                continue
            row.content = content
            # Since `find`, a file before it in the batch may have brought the same content.
            if place is None and (place := self._small.get_new(content)) is None:
                place = verdict.lay(size)
                self._small.put(content, *place)
            else:
                verdict.skip()
            row.bundle, row.offset = place
        return verdict

    def unless_known(self, bundle: Sealed) -> Sealed:
        """Return a sealed bundle, without its record if the same bundle is stored already."""
        return bundle if self._known.claim(bundle.chunk) else Sealed(bundle.chunk)

    def remember(self, entry: CatalogEntry) -> None:
        """Remember that the content of an unchanged file is stored already, if the file is small."""
        if self._remembering and entry.content:
            self._small.remember(ContentId(entry.content), ChunkId(entry.chunks), entry.offset)

    def _load(self) -> None:
        if not self._remembering:
            self._remembering = True
            if self._contents is not None:
                self._contents.teach(self._small, self._known)
