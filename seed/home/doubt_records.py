"""The home's memory of its items, and of the doubts about the last backup.

`seed.backup.doubting` explains how a doubt arises.
"""

import os
from dataclasses import replace

from formats.documents.codec import Record, blob, flag, hexed, integer, many, member, nested, optional
from formats.errors import FormatError, HomeError
from formats.ids import PointId
from formats.keyed.root import Doubt
from formats.records import read_record, write_record
from formats.untrusted import Json
from formats.words import counted, one_line, size
from seed.home.home import ITEM, ITEMS_MAX, Home

FILE = "doubts.json"
MOUNTS_MAX = 200  # of an item


class ItemCount(Record):
    """One item: the number of its entries, 1 for a file, and the `size` of its files.

    The size counts no holes, and counts a file under each of its names. `mounted` says that the item is the
    root of a file system. `mounts` are the folders below it where other file systems begin and hold
    something.
    """

    item: bytes = member(ITEM)
    entries: int = member(integer())
    size: int = member(integer())
    mounted: bool = member(flag())
    mounts: tuple[bytes, ...] = member(many(blob(4096), MOUNTS_MAX), default=())


class PointCounts(Record):
    """The counts of the items of a point."""

    point: PointId = member(hexed(16))
    items: tuple[ItemCount, ...] = member(many(nested(ItemCount), ITEMS_MAX))


class UsualItems(Record):
    """The home's knowledge of its usual items.

    `good` is the last good point with their counts. `last` is the last point, if `doubts` about it are open.
    """

    good: PointCounts | None = member(optional(nested(PointCounts)), default=None)
    last: PointCounts | None = member(optional(nested(PointCounts)), default=None)
    doubts: tuple[Doubt, ...] = member(many(nested(Doubt), ITEMS_MAX), default=())

    @classmethod
    def of(cls, home: Home) -> "UsualItems":
        """Return the memory of the home, or an empty one if it cannot be read. The catalogs tell the same."""
        try:
            return read_record(home.path / FILE, cls)
        except HomeError:
            return cls()

    def save(self, home: Home) -> None:
        """Write the memory to the home. Raises HomeError."""
        try:
            write_record(home.path / FILE, self)
        except FormatError:  # too many items for one file; the catalog tells the same
            write_record(home.path / FILE, UsualItems())


def confirm(home: Home) -> tuple[Doubt, ...]:
    """Accept the last point as right, and return the doubts about it.

    The caller has locked the home. Raises HomeError.
    """
    known = UsualItems.of(home)
    if known.doubts:
        replace(known, good=known.last, doubts=()).save(home)
    return known.doubts


def shown(doubt: Doubt) -> str:
    """Return the doubted item, for people."""
    return one_line(os.fsdecode(doubt.item))


def to_json(doubt: Doubt) -> dict[str, Json]:
    """Return a doubt for scripts."""
    return {**doubt.to_json(), "item": os.fsdecode(doubt.item), "text": told(doubt)}


def told(doubt: Doubt) -> str:
    """Return in words the fault of an item."""
    held = f"point {doubt.than[:8]} holds {counted(doubt.before, 'entry')} of it, {size(doubt.bytes_before)}"
    now = f"{counted(doubt.entries, 'entry')}, {size(doubt.bytes)}" if doubt.entries else "empty"
    if doubt.why == "unmounted":
        was = "a file system began there, and none does now: is it not mounted?"
        return f"{was} It is {now}" + (f"; {held}" if doubt.before else "")
    if doubt.why == "shrank":
        return f"most of it is gone: it holds {now}; {held}"
    return f"it is {'empty' if doubt.why == 'empty' else 'gone, or cannot be read'}; {held}"
