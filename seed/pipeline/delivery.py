"""The end of the way: sealed chunks go into archives, and rows into the catalog, in the order of the walk."""

from collections import deque

from formats.keyed.catalog import in_parts
from seed.pipeline.catalog_writer import CatalogResult, Cataloguing
from seed.pipeline.chunks import PendingChunk, Sealed
from seed.pipeline.packing import OpenArchives
from seed.pipeline.row import PlacedEntry


class Delivery:
    """The rows of the walk that wait for the names of their chunks, and the archives of these chunks.

    The catalog receives each row once all its chunks are named, and all rows before it.
    """

    def __init__(self, archives: OpenArchives, catalog: Cataloguing) -> None:
        self._archives = archives
        self._catalog = catalog
        self._rows: deque[PlacedEntry] = deque()
        self.reading: PlacedEntry | None = None  # a long file, which is journalled while it is read

    @property
    def waiting(self) -> int:
        """The number of rows that wait."""
        return len(self._rows)

    def add(self, row: PlacedEntry) -> None:
        """Add the next row of the walk."""
        self._rows.append(row)

    def store(self, unit: PendingChunk, sealed: Sealed) -> None:
        """Lay a chunk that was named into an archive, if it has a record. Units are named in order."""
        if self._archives.collect(unit, sealed):
            self.checkpoint()
        else:
            self.hand_on()

    def hand_on(self) -> None:
        """Hand on the rows with all chunks named."""
        rows = self._rows
        while rows and rows[0].named:
            row = rows.popleft()
            if row.gone:
                continue
            entry = row.finished()
            origin = row.origin if row.same is None or entry is row.before else None
            for part in in_parts(entry):
                self._catalog.add(part, origin, first=row.same is None, above=row.above)

    def checkpoint(self) -> None:
        """Journal the rows so far. The archives of their chunks need not be durable yet."""
        self.hand_on()
        self._catalog.checkpoint(self.reading.so_far() if self.reading is not None else ())

    def flush(self) -> None:
        """Send on the open archive of content, and journal the rows."""
        self._archives.content.flush()
        self.checkpoint()

    def so_far(self) -> CatalogResult:
        """Send on the catalog as if it ended here. More rows may follow."""
        catalogued = self._catalog.so_far()
        self._archives.metadata.flush()
        return catalogued

    def finish(self) -> CatalogResult:
        """Send on the rest of the catalog. No row waits any more."""
        assert not self._rows
        catalogued = self._catalog.finish()
        self._archives.metadata.flush()
        return catalogued

    def close(self) -> None:
        self._catalog.close()
