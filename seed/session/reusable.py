"""The archives that a run may build upon, as values."""

from collections.abc import Iterator
from dataclasses import dataclass

from formats.ids import ArchiveName
from formats.tables.archive import METADATA_CLASS
from formats.tables.needs import Need
from formats.tables.sections import Section
from seed.session.further_archives import NOTHING_FURTHER, FurtherArchives


@dataclass(frozen=True)
class Reusable:
    """The archives that may be reused.

    `needs` and `sections` are those of the last points: first those that are there, then those that are not
    yet. `further` are archives that other points need. The `promised` ones among all of them are not there
    yet.
    """

    needs: tuple[Need, ...] = ()
    sections: tuple[Section, ...] = ()
    promised: frozenset[ArchiveName] = frozenset()
    further: FurtherArchives = NOTHING_FURTHER

    def all_sections(self) -> Iterator[Section]:
        """Yield the indexes of all of them. Raises as `FurtherArchives.sections`."""
        yield from self.sections
        yield from self.further.sections()

    def catalogs(self) -> Iterator[Section]:
        """Yield the indexes of archives of catalogs, last points first. Raises as `FurtherArchives.sections`."""
        yield from (s for s in self.all_sections() if s.archive.archive_class == METADATA_CLASS)
