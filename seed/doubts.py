"""What the home remembers of its items, and what it doubts of the last backup: see `seed.doubting` for how it comes to doubt."""

import os
from dataclasses import replace

from formats.documents.codec import Record, blob, flag, hexed, integer, many, member, nested, optional
from formats.errors import FormatError, HomeError
from formats.ids import PointId
from formats.keyed.root import Doubt
from formats.records import read_record, write_record
from formats.wire import Json
from formats.words import counted, one_line, size
from seed.home import ITEM, ITEMS_MAX, Home

FILE = "doubts.json"
MOUNTS_MAX = 200  # of an item


class Held(Record):
    """One item: how many entries lie in it, or 1 for a file, and the `size` of its files without
    holes, by every name.

    `mounted` says that it is the root of a file system. `mounts` are the folders below it where others begin and hold
    something.
    """

    item: bytes = member(ITEM)
    entries: int = member(integer())
    size: int = member(integer())
    mounted: bool = member(flag())
    mounts: tuple[bytes, ...] = member(many(blob(4096), MOUNTS_MAX), default=())


class PointHeld(Record):
    """What the items of a point held."""

    point: PointId = member(hexed(16))
    items: tuple[Held, ...] = member(many(nested(Held), ITEMS_MAX))


class Remembered(Record):
    """What the home knows of its usual items: in the last `good` point, in the last one, and what is doubted of that."""

    good: PointHeld | None = member(optional(nested(PointHeld)), default=None)
    last: PointHeld | None = member(optional(nested(PointHeld)), default=None)
    doubts: tuple[Doubt, ...] = member(many(nested(Doubt), ITEMS_MAX), default=())

    @classmethod
    def of(cls, home: Home) -> "Remembered":
        """Return what the home remembers, or nothing where it cannot be read: the catalogs tell the same."""
        try:
            return read_record(home.path / FILE, cls)
        except HomeError:
            return cls()

    def save(self, home: Home) -> None:
        """Raises HomeError."""
        try:
            write_record(home.path / FILE, self)
        except FormatError:  # too many items for one file: the catalog tells the same
            write_record(home.path / FILE, Remembered())


def confirm(home: Home) -> tuple[Doubt, ...]:
    """Take the last point for right, and return what was doubted of it. The home is locked by the caller. Raises HomeError."""
    known = Remembered.of(home)
    if known.doubts:
        replace(known, good=known.last, doubts=()).save(home)
    return known.doubts


def shown(doubt: Doubt) -> str:
    """Return the item that is doubted, for people."""
    return one_line(os.fsdecode(doubt.item))


def to_json(doubt: Doubt) -> dict[str, Json]:
    """Return a doubt for scripts."""
    return {**doubt.to_json(), "item": os.fsdecode(doubt.item), "text": told(doubt)}


def told(doubt: Doubt) -> str:
    """Return in words what is wrong with an item."""
    held = f"point {doubt.than[:8]} holds {counted(doubt.before, 'entry')} of it, {size(doubt.bytes_before)}"
    now = f"{counted(doubt.entries, 'entry')}, {size(doubt.bytes)}" if doubt.entries else "empty"
    if doubt.why == "unmounted":
        was = "a file system began there, and none does now: is it not mounted?"
        return f"{was} It is {now}" + (f"; {held}" if doubt.before else "")
    if doubt.why == "shrank":
        return f"most of it is gone: it holds {now}; {held}"
    return f"it is {'empty' if doubt.why == 'empty' else 'gone, or cannot be read'}; {held}"
