"""The way of large files: each is read and cut, its new chunks are sealed on all processors, and go on in order."""

import errno
import os

from formats.keyed.catalog import CatalogEntry
from seed.pipeline.chunks import FileChunks
from seed.pipeline.delivery import Delivery
from seed.pipeline.large_files import LargeFiles
from seed.pipeline.missed_files import MissedFiles
from seed.pipeline.row import PlacedEntry, packed, shrunk
from seed.pipeline.sealing import Sealing
from seed.pipeline.small_file_reader import SmallFileReader
from seed.pipeline.source_report import SourceReport
from seed.source.clocks import changed_ns
from seed.source.stream import SourceError, Stream, reading
from seed.source.system import FoundEntry, data_extents


class LargeFileReader:
    """A reader of large files. Between two reads it hears the workers that read small ones."""

    def __init__(
        self,
        large: LargeFiles,
        sealing: Sealing,
        small: SmallFileReader,
        missed: MissedFiles,
        delivery: Delivery,
        report: SourceReport,
    ) -> None:
        self._large = large
        self._sealing = sealing
        self._small = small
        self._missed = missed
        self._delivery = delivery
        self._report = report

    def read(
        self, found: FoundEntry, row: PlacedEntry, before: CatalogEntry | None, *, journalled: bool = False
    ) -> None:
        """Read a file that is large or empty; if that fails, note it as missed.

        `before` is its earlier row. A `journalled` file is journalled while it is read. Raises Interrupted,
        and the errors of the archives.
        """
        row.awaited = True
        handle = -1
        try:
            if row.entry.size:
                with reading():
                    handle = found.open()
                self._delivery.reading = row if journalled else None
                self._read(row, handle, before)
                self._check_unchanged(row.entry, handle)
            row.awaited = False
        except SourceError as error:
            self._missed.add(row, error.errno or errno.EIO)
        finally:
            self._delivery.reading = None
            if handle >= 0:
                os.close(handle)

    def drain(self) -> None:
        """Seal and name all chunks so far."""
        for unit, sealed in self._sealing.drain():
            self._delivery.store(unit, sealed)

    def close(self) -> None:
        self._sealing.close()

    def _read(self, row: PlacedEntry, handle: int, before: CatalogEntry | None) -> None:
        size = row.entry.size
        with reading():
            regions = data_extents(handle, size)
        if regions != [(0, size)]:
            row.entry = row.entry._replace(extents=packed(regions))
        row.pieces = FileChunks(size)
        stream = Stream(handle, regions, self._heard)
        for unit, sealed in self._sealing.seal(self._large.cut(row.entry, stream, row.pieces, before)):
            self._delivery.store(unit, sealed)
        if stream.end is not None:
            row.entry = shrunk(row.entry, stream.regions, stream.at)

    def _heard(self, got: int) -> None:
        self._report.read(got)
        self._small.hear()
        self._report.check_stop()

    def _check_unchanged(self, entry: CatalogEntry, handle: int) -> None:
        """Raise SourceError if it is no longer the file that the walk met."""
        with reading():
            now = os.fstat(handle)
        if (now.st_dev, now.st_ino) != (entry.device, entry.inode):
            raise SourceError(errno.ENOENT, "the file was replaced while it was read")
        if (now.st_mtime_ns, changed_ns(now)) != (entry.modified, entry.changed) or now.st_size != entry.size:
            self._report.changed(entry)
