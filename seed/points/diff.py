"""The differences between two recovery points, found by their catalogs alone.

Segments that both points have are not even read.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from formats.ids import ChunkId
from formats.keyed.catalog import FILE, CatalogEntry, PageRow, sort_key
from seed.points.point_reader import PointReader
from seed.points.previous_rows import Origin, of_segments

Kind = Literal["added", "removed", "content", "attributes"]


@dataclass(frozen=True, slots=True)
class Change:
    """One path that differs. `before` is None for a new path, `after` is None for a path that is gone."""

    kind: Kind
    before: CatalogEntry | None
    after: CatalogEntry | None

    @property
    def path(self) -> bytes:
        entry = self.after or self.before
        assert entry is not None
        return entry.path


def compare(before: PointReader, after: PointReader) -> Iterator[Change]:
    """Yield all changes in the order of paths. Raises IntegrityError, FormatError, StoreError."""
    common = {row.segment for row in before.page_rows()} & {row.segment for row in after.page_rows()}
    old, new = _rows(before, common), _rows(after, common)
    a, b = next(old, None), next(new, None)
    while a is not None or b is not None:
        if b is None or (a is not None and sort_key(a.path) < sort_key(b.path)):
            yield Change("removed", a, None)
            a = next(old, None)
        elif a is None or sort_key(b.path) < sort_key(a.path):
            yield Change("added", None, b)
            b = next(new, None)
        else:
            if _content(a) != _content(b):
                yield Change("content", a, b)
            elif _attributes(a) != _attributes(b):
                yield Change("attributes", a, b)
            a, b = next(old, None), next(new, None)


def _rows(reader: PointReader, common: set[ChunkId]) -> Iterator[CatalogEntry]:
    def others() -> Iterator[tuple[PageRow, list[CatalogEntry]]]:
        for row in reader.page_rows():
            if row.segment not in common:
                yield row, reader.segment(row)

    rows: Iterator[tuple[CatalogEntry, Origin]] = of_segments(others())
    return (entry for entry, _ in rows)


def _content(entry: CatalogEntry) -> tuple[object, ...]:
    if entry.type == FILE:
        return (
            entry.type,
            entry.size,
            entry.extents,
            entry.content or (entry.chunks, entry.offsets, entry.lengths),
        )
    return entry.type, entry.target, entry.rdev


def _attributes(entry: CatalogEntry) -> tuple[object, ...]:
    names = entry.user, entry.group
    return entry.mode, entry.uid, entry.gid, names, entry.modified, entry.xattrs
