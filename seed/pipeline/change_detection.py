"""The part of the basis that still holds, by size, times and number of a file, and by the known chunks."""

from formats.keyed.catalog import FILE, CatalogEntry, Looked
from seed.pipeline.known_chunks import KnownChunks
from seed.pipeline.row import seen
from seed.points.previous_rows import Segment


def timed_as(entry: CatalogEntry, before: CatalogEntry) -> CatalogEntry:
    """Return the entry with the times and the number of names that it had before."""
    times = {name: getattr(before, name) for name in ("mtime", "mtime_ns", "ctime", "ctime_ns", "links")}
    return entry._replace(**times)


class ChangeDetection:
    """A comparison of entries of the walk with their rows in the basis.

    With `ignore_inode`, a file system may have numbered its files anew.
    """

    def __init__(self, known: KnownChunks, *, ignore_inode: bool = False) -> None:
        self._known = known
        self.ignore_inode = ignore_inode

    def stands(self, looked: Looked, before: CatalogEntry, origin: Segment) -> bool:
        """Return whether a row can stand as it is.

        A look must show no change, and all chunks of its segment must be known. Then further attributes are
        not read, because their change also changes ctime. Files with several names do not stand, because the
        first of the names must be known. The device may have another number after a restart.
        """
        if not (before.ctime or before.ctime_ns) or before[:12] != looked[:12] or before[14] != looked[14]:
            return False
        if not (self.ignore_inode or before.inode == looked[13]) or (
            before.type == FILE and before.links > 1
        ):
            return False
        if origin.held is None:
            origin.held = not self._known.missing([origin.row.segment, *origin.chunks])
        return origin.held

    def is_same(self, entry: CatalogEntry, before: CatalogEntry) -> bool:
        """Return whether an entry is the same as before, as far as its numbers tell."""
        return before.type == entry.type and (self.ignore_inode or before.inode == entry.inode)

    def is_changed(self, entry: CatalogEntry, before: CatalogEntry) -> bool:
        """Return whether a file must be read, as far as a look tells."""
        return not before.changed or not self.is_same(entry, before) or seen(before) != seen(entry)

    def settled(self, entry: CatalogEntry, before: CatalogEntry) -> CatalogEntry:
        """Return an unchanged entry under the numbers that it had.

        A file system may be mounted as another device, or number its files anew. Names of one file find each
        other by these numbers, so such entries keep their own.
        """
        numbers = before.device, before.inode
        if (entry.type == FILE and entry.links > 1) or (entry.device, entry.inode) == numbers:
            return entry
        return entry._replace(device=before.device, inode=before.inode)

    def reused(self, entry: CatalogEntry, before: CatalogEntry) -> CatalogEntry | None:
        """Return an unchanged file with its earlier content.

        Return None if that is not known: then it must be read.
        """
        if not all(chunk in self._known for chunk in before.chunk_ids()):
            return None
        if before.chunks and sum(before.piece_lengths()) != sum(n for _, n in before.data_extents()):
            return None  # it was not read to its end
        if not before.chunks and entry.size and not before.extents:
            return None
        content = before.chunks, before.offsets, before.lengths, before.content
        return self.settled(entry, before)._replace(extents=before.extents).holding(*content)
