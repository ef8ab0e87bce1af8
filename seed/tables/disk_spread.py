"""The number of files that lie whole on one disk.

If the other disks are lost, that disk alone restores them.
"""

from array import array
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from formats.keyed.catalog import FILE, CatalogEntry
from formats.tables.index import ROW
from formats.tables.sections import Section

CHUNK = 32


class Spread:
    """The chunks of each file, in 8 bytes a reference and 4 a file."""

    def __init__(self) -> None:
        self._chunks = array("Q")
        self._counts = array("I")

    def add(self, entries: Sequence[CatalogEntry]) -> None:
        """Add catalog rows, in order."""
        files = [entry for entry in entries if entry.chunks and entry.type == FILE]
        ids = np.frombuffer(b"".join([file.chunks for file in files]), dtype="<u8").reshape(-1, CHUNK // 8)
        self._chunks.frombytes(ids[:, 0].tobytes())
        for file in files:
            if file.part and self._counts:
                self._counts[-1] += len(file.chunks) // CHUNK
            else:
                self._counts.append(len(file.chunks) // CHUNK)

    def whole(self, disks: Mapping[int, Iterable[Section]]) -> float:
        """Return the share of files, 0 to 1, with all their chunks on one of `disks`.

        Return 1 if no file has any.
        """
        if not self._counts:
            return 1.0
        names, numbers = [], []
        for number, sections in disks.items():
            for section in sections:
                rows = np.frombuffer(section.index, dtype=np.uint8).reshape(-1, ROW.size)[:, :8]
                names.append(np.ascontiguousarray(rows).view("<u8").ravel())
                numbers.append(np.full(len(names[-1]), number, dtype=np.uint16))
        if not names:
            return 0.0
        known, where = np.concatenate(names), np.concatenate(numbers)
        order = np.argsort(known, kind="stable")
        known, where = known[order], where[order]
        wanted = np.frombuffer(self._chunks, dtype=np.uint64)
        places = where[np.minimum(np.searchsorted(known, wanted), len(known) - 1)]
        starts = np.concatenate(([0], np.cumsum(np.frombuffer(self._counts, dtype=np.uint32))[:-1])).astype(
            np.int64
        )
        same = np.minimum.reduceat(places, starts) == np.maximum.reduceat(places, starts)
        return float(same.mean())
