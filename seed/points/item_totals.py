"""The files and bytes that each item of a backup holds, counted from rows in the order of a catalog.

A count needs no second walk: the run counts the rows that it hands to its catalog. `count_rows` counts an
earlier catalog in the same way, so both figures mean the same.
"""

import os
from collections.abc import Iterable, Iterator, Sequence

from formats.keyed.catalog import FOLDER, CatalogEntry, sort_key
from seed.home.doubt_records import MOUNTS_MAX, ItemCount
from seed.home.home import LeftOut
from seed.source.source_rules import CACHE_TAG, Patterns, outermost

UNKNOWN = -1  # the device of a path without a row


class Counting:
    """A count that takes rows one by one, and skips rows outside all items."""

    def __init__(self, items: Iterable[bytes]) -> None:
        self._items = [item.strip(b"/") for item in outermost(list(items))]
        self._held: list[ItemCount] = []
        self._above: dict[bytes, int] = {}  # the folders above items, and their devices
        self._begin()

    def add(self, entry: CatalogEntry) -> None:
        """Take the next row."""
        if entry.part:
            return
        path = entry.path
        if not path.startswith(self._below) and not self._turns(entry):
            return
        if self._crossed is not None:
            self._find_mount(path)
        self._entries += 1
        whole = entry.chunks and not entry.extents  # else there are holes, or nothing
        self._bytes += entry.size if whole else sum(length for _, length in entry.data_extents())
        if entry.type == FOLDER:
            if entry.device != self._devices[-1][1]:
                self._cross(entry)
        elif (
            self._devices[0][1] == UNKNOWN and b"/" not in path
        ):  # this file system holds the root of all paths
            self._devices[0] = (b"", entry.device)

    def end(self) -> tuple[ItemCount, ...]:
        """Return the counts of the items, from the rows so far."""
        while self._item is not None:
            self._finish()
        return tuple(self._held)

    def _begin(self) -> None:
        """Wait for the rows of the next item."""
        at = len(self._held)
        self._item = self._items[at] if at < len(self._items) else None
        self._below = b"" if self._item == b"" else (self._item or b"\0") + b"/"
        self._entries = self._bytes = 0
        self._mounted = False
        self._mounts: list[bytes] = []
        # The paths at which file systems begin, and their devices, the innermost last.
        self._devices: list[tuple[bytes, int]] = [(b"", UNKNOWN)]
        self._crossed: bytes | None = None

    def _finish(self) -> None:
        assert self._item is not None
        self._held.append(
            ItemCount(
                item=b"/" + self._item,
                entries=self._entries,
                size=self._bytes,
                mounted=self._mounted,
                mounts=tuple(self._mounts[:MOUNTS_MAX]),
            )
        )
        self._begin()

    def _turns(self, entry: CatalogEntry) -> bool:
        """Turn to the item of the row, if that is a later one; return whether the row counts.

        The row of the item itself counts unless it is a folder.
        """
        key = sort_key(entry.path)
        while self._item is not None and sort_key(self._item) < key and not self._is_below(entry.path):
            self._finish()
        if self._item is None:
            return False
        if self._item.startswith(entry.path + b"/"):
            self._above[entry.path] = entry.device
            return False
        if entry.path == self._item:
            parent = self._above.get(self._item.rpartition(b"/")[0])
            self._mounted = parent is not None and parent != entry.device
            self._devices = [(self._below, entry.device)]
            return entry.type != FOLDER
        return self._is_below(entry.path)

    def _is_below(self, path: bytes) -> bool:
        return path.startswith(self._below)

    def _cross(self, folder: CatalogEntry) -> None:
        """Note that a folder lies on another file system than the row before."""
        while len(self._devices) > 1 and not folder.path.startswith(self._devices[-1][0]):
            self._devices.pop()
        if folder.device != self._devices[-1][1]:
            self._crossed = folder.path + b"/" if self._devices[-1][1] != UNKNOWN else None
            self._devices.append((folder.path + b"/", folder.device))

    def _find_mount(self, path: bytes) -> None:
        assert self._crossed is not None
        if path.startswith(self._crossed):
            self._mounts.append(b"/" + self._crossed[:-1])
        self._crossed = None


def count_rows(items: Iterable[bytes], rows: Iterable[CatalogEntry]) -> tuple[ItemCount, ...]:
    """Return the counts of the items, from the rows of a catalog."""
    counting = Counting(items)
    for entry in rows:
        counting.add(entry)
    return counting.end()


def is_mount(path: bytes) -> bool:
    """Return whether a file system begins at this path now."""
    try:
        return os.lstat(path).st_dev != os.lstat(os.path.dirname(path)).st_dev
    except OSError:
        return False


def tagged_folders(rows: Iterable[CatalogEntry]) -> frozenset[bytes]:
    """Return the folders with a file that marks them as caches."""
    tag = os.fsencode("/" + CACHE_TAG)
    return frozenset(entry.path[: -len(tag)] for entry in rows if entry.path.endswith(tag))


def without(
    item: bytes, rows: Iterable[CatalogEntry], left_out: LeftOut, tagged: frozenset[bytes]
) -> Iterator[CatalogEntry]:
    """Yield the rows that a run over `item` would meet with these exclusions.

    `tagged` are the folders that are caches.
    """
    excludes = Patterns(map(os.fsdecode, left_out.excludes))
    root = item.strip(b"/")
    pruned: bytes | None = None
    devices: list[tuple[bytes, int]] = []  # of the folders that the row lies in
    for entry in rows:
        if pruned is not None and entry.path.startswith(pruned):
            continue
        pruned = None
        if root and entry.path != root and not entry.path.startswith(root + b"/"):
            yield entry  # patterns do not apply to folders above an item
            continue
        if excludes and excludes.match(b"/" + entry.path):
            pruned = entry.path + b"/"
            continue
        yield entry
        if entry.type != FOLDER:
            continue
        while devices and not entry.path.startswith(devices[-1][0]):
            devices.pop()
        crosses = bool(devices) and devices[-1][1] != entry.device
        if (left_out.one_file_system and crosses) or (left_out.exclude_caches and entry.path in tagged):
            pruned = entry.path + b"/"
        devices.append((entry.path + b"/", entry.device))


def by_item(held: Sequence[ItemCount]) -> dict[bytes, ItemCount]:
    """Return each item's count by its path."""
    return {one.item: one for one in held}
