"""The way of small files: batches are read, dedup decides about each batch, and sealed bundles go on."""

from collections.abc import Iterable

from formats.keyed.catalog import Looked
from seed.pipeline.content_index import ContentIndex
from seed.pipeline.delivery import Delivery
from seed.pipeline.missed_files import MissedFiles
from seed.pipeline.row import PlacedEntry
from seed.pipeline.small_file_batches import Answer, SmallFileBatches
from seed.pipeline.small_file_verdict import ReadBatch
from seed.pipeline.source_report import SourceReport
from seed.source.system import Odd, wanted


class SmallFileReader:
    """A reader of small files. It names them once their bundles are sealed."""

    def __init__(
        self,
        batches: SmallFileBatches,
        stored: ContentIndex,
        missed: MissedFiles,
        delivery: Delivery,
        report: SourceReport,
    ) -> None:
        self._batches = batches
        self._stored = stored
        self._missed = missed
        self._delivery = delivery
        self._report = report

    def add(self, row: PlacedEntry, looked: Looked) -> None:
        """Have a file read. Raises HomeError worker-ended, and the errors of the archives."""
        if not self._batches.has_room(looked[7]):
            self._go_on(self._batches.send())
        self._batches.add(row, wanted(looked))

    def hear(self) -> None:
        """Take in the answers that are there. Raises as `add`."""
        self._go_on(self._batches.hear())

    def drain(self) -> None:
        """Read and seal all files so far. Raises as `add`."""
        self._go_on(self._batches.drain())

    def _go_on(self, answers: Iterable[Answer]) -> None:
        for answer in answers:
            if isinstance(answer, ReadBatch):
                self._settle(answer)
                self._batches.keep(answer, self._stored.decide(answer))
                self._report.read(sum(answer.result.lengths))
            else:
                bundle, sealed = answer
                self._delivery.store(bundle, self._stored.unless_known(sealed))

    def _settle(self, batch: ReadBatch) -> None:
        """Settle the rows of a batch by its results. Files that could not be read are missed."""
        lengths, _, oddities = batch.result
        for at, (row, size) in enumerate(zip(batch.rows, lengths, strict=True)):
            row.awaited = False
            if at in oddities:
                self._settle_odd(row, oddities[at])
            if size != row.entry.size and not row.awaited:
                row.entry = row.entry._replace(size=size)

    def _settle_odd(self, row: PlacedEntry, odd: Odd) -> None:
        xattrs, stayed, xattrs_failure, failure = odd
        if failure:
            self._missed.add(row, failure)
            return
        row.entry = row.entry._replace(xattrs=xattrs)
        if not stayed:
            self._report.changed(row.entry)
        if xattrs_failure:
            row.hides = True
            self._report.without_xattrs(row.entry.path, xattrs_failure)
