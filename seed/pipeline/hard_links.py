"""Files with several names: each is read once, by the first of its names that the walk meets."""

from formats.keyed.catalog import CatalogEntry
from seed.pipeline.row import PlacedEntry, seen
from seed.points.previous_rows import Origin
from seed.source.system import FoundEntry


class HardLinks:
    """The rows of the first names, as long as further names may come."""

    def __init__(self) -> None:
        self._first: dict[tuple[int, int], PlacedEntry] = {}

    def further_name(
        self, found: FoundEntry, before: CatalogEntry | None, origin: Origin
    ) -> PlacedEntry | None:
        """Return the row of a further name, which has the content of the first. Else return None."""
        first = self._first.get(found.number) if found.looked[14] > 1 else None
        if first is None or first.gone:
            return None
        row = PlacedEntry(CatalogEntry(*found.looked), same=first, before=before, origin=origin)
        if seen(first.entry) != seen(row.entry):
            return None
        first.others = [*(first.others or ()), row]
        if len(first.others) + 1 >= row.entry.links:
            del self._first[row.entry.device, row.entry.inode]
        return row

    def met(self, found: FoundEntry, row: PlacedEntry) -> None:
        """Note the row of a first name, or of the only one."""
        if found.looked[14] > 1:
            self._first[found.number] = row
