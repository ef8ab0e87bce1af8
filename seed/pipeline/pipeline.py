"""One motion: source → change detection → reading → dedup → sealing → packing → target; the caller commits.

The catalog receives rows in the order of the walk, each as soon as all its chunks are named. A file that is
unchanged since an earlier run, by its row in the basis, is not opened again if its chunks are known.
"""

import errno
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from formats.keyed.catalog import FILE, CatalogEntry
from formats.keyed.chunk import LEVEL, ChunkSealer
from formats.monitor import Monitor
from formats.tables.index import CONTENT
from seed.home.home import Home
from seed.pipeline.catalog_writer import CatalogResult, Cataloguing
from seed.pipeline.change_detection import ChangeDetection
from seed.pipeline.comparison import Comparison
from seed.pipeline.content_index import ContentIndex
from seed.pipeline.delivery import Delivery
from seed.pipeline.hard_links import HardLinks
from seed.pipeline.known_chunks import KnownChunks
from seed.pipeline.large_file_reader import LargeFileReader
from seed.pipeline.large_files import LargeFiles
from seed.pipeline.missed_files import MissedFiles
from seed.pipeline.packing import OpenArchives
from seed.pipeline.remembered_contents import RememberedContents
from seed.pipeline.row import PlacedEntry
from seed.pipeline.sealing import Sealing
from seed.pipeline.small_file_batches import SmallFileBatches
from seed.pipeline.small_file_reader import SmallFileReader
from seed.pipeline.small_file_worker import Worker
from seed.pipeline.source_report import SourceReport
from seed.points.previous_rows import Basis, Origin, RowJournal
from seed.source.clocks import Clocks
from seed.source.system import FoundEntry

WAITING_ROWS_MAX = 20_000
LONG = 64 << 20  # a file so long is journalled while it is read


@dataclass(frozen=True)
class EarlierWork:
    """The results of earlier runs, and the journal by which this run will be one of them.

    `rows` are theirs. `contents` knows where small files of earlier points lie, if there are any.
    """

    known: KnownChunks
    rows: Basis
    journal: RowJournal
    contents: RememberedContents | None = None


@dataclass(frozen=True)
class PipelineOptions:
    """The options of a run. The catalog counts each of the `items` by itself.

    Set `ignore_inode` if a file system gives the same file other numbers each time.
    """

    items: Sequence[bytes] = ()
    level: int = LEVEL
    ignore_inode: bool = False


class Pipeline:
    """A run that reads entries and sends archives on; `finish` ends the catalog."""

    def __init__(
        self,
        home: Home,
        workers: Sequence[Worker],
        earlier: EarlierWork,
        archives: OpenArchives,
        options: PipelineOptions,
        monitor: Monitor,
    ) -> None:
        master, parameters, known = home.identity.master, home.chunking, earlier.known
        sealer = ChunkSealer(master, options.level)
        self._report = report = SourceReport(monitor)
        self._clocks = clocks = Clocks(home.clock)
        self._earlier = earlier
        self._small_max = parameters.small_file_max
        self._stored = stored = ContentIndex(known, earlier.contents)
        unchanged = ChangeDetection(known, ignore_inode=options.ignore_inode)
        self._comparison = Comparison(unchanged, clocks, report)
        self._links = HardLinks()
        self._missed = missed = MissedFiles(clocks, report)
        self._delivery = delivery = Delivery(
            archives,
            Cataloguing(
                master, sealer, known, archives.collect_metadata, earlier.journal.append, options.items
            ),
        )
        batches = SmallFileBatches(workers, parameters.bundle_size)
        self._small = SmallFileReader(batches, stored, missed, delivery, report)
        large, sealing = LargeFiles(master, parameters, known, report), Sealing(sealer, known, CONTENT)
        self._large = LargeFileReader(large, sealing, self._small, missed, delivery, report)
        self._beside = 0  # bytes of larger files since all small ones were sealed

    def read(self, source: Iterable[FoundEntry]) -> None:
        """Take in a whole source. Raises Interrupted when the user asks to stop."""
        for found in source:
            self._report.check_stop()
            before, origin = self._earlier.rows.at(found.path)
            if (row := self._comparison.standing(found, before, origin)) is not None:
                self._delivery.add(row)
            elif found.type == FILE:
                self._take_file(found, before, origin)
            elif (row := self._comparison.without_content(found, before, origin)) is not None:
                self._delivery.add(row)
            self._report.passed()
            if self._missed:
                self._read_missed()
            if self._delivery.waiting > WAITING_ROWS_MAX:
                self._settle()
            self._delivery.hand_on()

    def finish(self) -> CatalogResult:
        """Seal and send on everything that is still held; return the facts of the catalog."""
        self.flush()
        self._delivery.hand_on()
        self._report.tell()
        return self._delivery.finish()

    def so_far(self) -> CatalogResult:
        """Send on as `flush` does; return the facts of the catalog so far. More may be read afterwards."""
        self.flush()
        return self._delivery.so_far()

    def flush(self) -> None:
        """Send on the content read so far: the work of a stopped run is not done again."""
        self._settle()
        self._delivery.flush()

    def checkpoint(self) -> None:
        """Journal the rows so far. The archives of their chunks need not be durable yet."""
        self._delivery.checkpoint()

    def close(self) -> None:
        self._missed.close()
        self._large.close()
        self._delivery.close()
        self._earlier.journal.close()

    def _take_file(self, found: FoundEntry, before: CatalogEntry | None, origin: Origin) -> None:
        if (row := self._links.further_name(found, before, origin)) is not None:
            self._delivery.add(row)
        elif (row := self._read_file(found, before, origin)) is not None:
            self._delivery.add(row)
            self._links.met(found, row)

    def _read_file(
        self, found: FoundEntry, before: CatalogEntry | None, origin: Origin
    ) -> PlacedEntry | None:
        """Reuse a file or have it read. Return its row, or None if it is left out."""
        looked = found.looked
        if before is not None and self._comparison.is_changed(found, before):
            before = None
        hides = self._clocks.hides(looked)
        if before is None and self._is_small(looked[7]):
            row = PlacedEntry(CatalogEntry(*looked), hides, awaited=True)
            self._small.add(row, looked)
            return row
        if (entry := self._comparison.described(found)) is None:
            return None
        if before is not None and (reused := self._comparison.reused(found, entry, before, origin)):
            self._stored.remember(reused.entry)
            return reused
        if self._is_small(entry.size):
            row = PlacedEntry(entry, hides, awaited=True)
            self._small.add(row, looked)
        else:
            row = PlacedEntry(entry, hides or found.lacking)
            self._read_large(found, row, before)
        return row

    def _is_small(self, size: int) -> bool:
        return 0 < size <= self._small_max

    def _read_large(self, found: FoundEntry, row: PlacedEntry, before: CatalogEntry | None) -> None:
        size = row.entry.size
        self._beside += size
        if self._beside > LONG:  # then all rows before this one can be journalled before it
            self._read_all()
        self._large.read(found, row, before, journalled=size > LONG)

    def _read_missed(self) -> None:
        for row, fresh in self._missed.again():
            if self._is_small(fresh.looked[7]):
                row.entry = CatalogEntry(*fresh.looked)
                self._small.add(row, fresh.looked)
                continue
            try:
                row.entry = fresh.described()
            except OSError as error:
                self._missed.add(row, error.errno or errno.EIO)
                continue
            row.hides |= fresh.lacking
            self._beside += row.entry.size
            self._large.read(fresh, row, None)

    def _settle(self) -> None:
        """Read, seal and name everything that is on its way."""
        self._read_all()
        self._large.drain()

    def _read_all(self) -> None:
        """Read and seal all small files so far."""
        self._beside = 0
        self._small.drain()
        while self._missed:
            self._read_missed()
            self._small.drain()
