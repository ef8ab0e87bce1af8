"""The comparison of the source with earlier runs: the rows of all entries that need no reading."""

from formats.keyed.catalog import CatalogEntry
from seed.pipeline.change_detection import ChangeDetection, timed_as
from seed.pipeline.row import PlacedEntry
from seed.pipeline.source_report import SourceReport
from seed.points.previous_rows import Origin
from seed.source.clocks import Clocks
from seed.source.system import FoundEntry


class Comparison:
    """The rows that come from earlier runs, or from a look at an entry."""

    def __init__(self, unchanged: ChangeDetection, clocks: Clocks, report: SourceReport) -> None:
        self._unchanged = unchanged
        self._clocks = clocks
        self._report = report

    def standing(self, found: FoundEntry, before: CatalogEntry | None, origin: Origin) -> PlacedEntry | None:
        """Return the earlier row of an entry if it can stand as it is."""
        if before is None or origin is None or not self._unchanged.stands(found.looked, before, origin):
            return None
        self._report.kept(before.size)
        return PlacedEntry(before, origin=origin, above=found.above)

    def without_content(
        self, found: FoundEntry, before: CatalogEntry | None, origin: Origin
    ) -> PlacedEntry | None:
        """Return the row of an entry that has no content; None if it cannot be read, which is reported."""
        hides = self._clocks.hides(found.looked)
        if (entry := self.described(found)) is None:
            return None
        if before is not None and self._unchanged.is_same(entry, before):
            entry = self._unchanged.settled(entry, before)
            if found.above:  # it changes with files outside the backup: its row would be sent for nothing
                entry = timed_as(entry, before)
        hides |= found.lacking
        same = entry == before and not hides
        return PlacedEntry(entry, hides, origin=origin if same else None, above=found.above)

    def is_changed(self, found: FoundEntry, before: CatalogEntry) -> bool:
        """Return whether a file must be read, as far as a look tells."""
        return self._unchanged.is_changed(CatalogEntry(*found.looked), before)

    def reused(
        self, found: FoundEntry, entry: CatalogEntry, before: CatalogEntry, origin: Origin
    ) -> PlacedEntry | None:
        """Return the row of an unchanged file if all its chunks are known; None if it must be read."""
        reused = self._unchanged.reused(entry, before)
        if reused is None:
            return None
        self._report.kept(reused.size)
        return PlacedEntry(reused, found.lacking, origin=origin if reused == before else None)

    def described(self, found: FoundEntry) -> CatalogEntry | None:
        """Return an entry with its attributes; None if it cannot be read, which is reported."""
        try:
            return found.described()
        except OSError as error:
            self._report.unreadable(found.path, error.strerror or type(error).__name__)
            return None
