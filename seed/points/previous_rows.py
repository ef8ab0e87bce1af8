"""Rows of an earlier reading of the source, in the order of the walk. With them a run skips unchanged files.

A run journals its rows as they come. A row counts only if its chunks are known. So rows need not be durable,
nor in step with the disks. Each frame holds the length as u32, the BLAKE3-128 of the rest, and a catalog
segment. A torn end is cut off.

A run writes `rows.next` and reads `rows`. The next run first folds both into `rows`.
"""

import heapq
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

from blake3 import blake3

from formats.errors import FormatError
from formats.ids import ChunkId
from formats.keyed.catalog import CatalogEntry, PageRow, in_parts, joined, sort_key
from formats.keyed.segments import decode_entries, encode_entries
from formats.records import unwritable

FRAME = struct.Struct("<I16s")
FOLD_ROWS = 2048
FOLD_CHUNK_BYTES = 4 << 20


class RowJournal:
    """A file to which catalog segments are appended."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "ab")  # noqa: SIM115  held until close

    def append(self, segment: bytes) -> None:
        """Append a segment. Raises HomeError home-room, home-damaged."""
        try:
            self._file.write(FRAME.pack(len(segment), blake3(segment).digest(length=16)) + segment)
            self._file.flush()
        except OSError as error:
            raise unwritable(Path(self._file.name), error) from error

    def close(self) -> None:
        with suppress(OSError):  # `append` has reported failed writes
            self._file.close()


@dataclass(eq=False)
class Segment:
    """A segment of an earlier catalog that contains rows of the basis."""

    row: PageRow
    entries: Sequence[CatalogEntry]
    held: bool | None = None  # whether all its chunks are known; None before the first look

    @cached_property
    def chunks(self) -> frozenset[ChunkId]:
        """The chunks to which its rows refer. If something is lost, `LOST` is among them."""
        distinct = {entry.chunks for entry in self.entries}
        return frozenset(ChunkId(ids[at : at + 32]) for ids in distinct for at in range(0, len(ids), 32))


Origin = Segment | None  # the segment that contains a row, if the row may stand there again
NOWHERE: tuple[None, Origin] = (None, None)


class Basis:
    """Rows by path. The caller asks for paths in the order of the walk, each once."""

    def __init__(self, rows: Iterable[tuple[CatalogEntry, Origin]]) -> None:
        self._rows = iter(rows)
        self._next = next(self._rows, NOWHERE)
        self._taken = False

    def at(self, path: bytes) -> tuple[CatalogEntry | None, Origin]:
        """Return the row of `path`, if there is one, and its segment.

        If a file has several rows, return them joined.
        """
        if self._taken:
            self._next, self._taken = next(self._rows, NOWHERE), False
        entry = self._next[0]
        if entry is not None and entry.path != path:
            key = sort_key(path)
            while entry is not None and sort_key(entry.path) < key:
                self._next = next(self._rows, NOWHERE)
                entry = self._next[0]
        if entry is None or entry.path != path:
            return NOWHERE
        self._taken = True
        return self._next


def without_origin(rows: Iterable[CatalogEntry]) -> Iterator[tuple[CatalogEntry, Origin]]:
    """Yield rows that stand in no segment."""
    return ((row, None) for row in rows)


def of_segments(
    segments: Iterable[tuple[PageRow, Sequence[CatalogEntry]]],
) -> Iterator[tuple[CatalogEntry, Origin]]:
    """Yield the rows of a catalog, each path once."""
    held: list[CatalogEntry] = []
    stands: Origin = None
    for row, entries in segments:
        origin = Segment(row, entries)
        for entry in entries:
            if entry.part:
                if held and entry.path == held[0].path:
                    held.append(entry)
                    # Its further parts stand in another segment: the name of this one would be wrong.
                    stands = stands if stands is origin else None
                continue
            if held:
                yield joined(held), stands
            held, stands = [entry], origin
    if held:
        yield joined(held), stands


def begin(folder: Path, below: Iterable[tuple[CatalogEntry, Origin]] = ()) -> tuple[Basis, RowJournal]:
    """Return the rows of earlier runs, laid over the rows of earlier points, and the journal of this run."""
    older, newer, folded = folder / "rows", folder / "rows.next", folder / "rows.folded"
    if newer.exists():
        journal = _fresh(folded)
        for segment in _segments(
            row for row, _ in over(without_origin(read_rows(older)), without_origin(read_rows(newer)))
        ):
            journal.append(segment)
        journal.close()
        os.replace(folded, older)
        newer.unlink()
    return Basis(over(below, without_origin(read_rows(older)))), _fresh(newer)


def forget(folder: Path) -> None:
    """Delete the journals. A finished export needs none."""
    for name in ("rows", "rows.next", "rows.folded"):
        (folder / name).unlink(missing_ok=True)


def read_rows(path: Path) -> Iterator[CatalogEntry]:
    """Yield the rows of a journal, each path once.

    The parts of a file are joined. If a file begins anew, the later row counts.
    """
    held: list[CatalogEntry] = []
    for entry in _frames(path):
        if held and entry.path == held[0].path:
            if entry.part:
                held.append(entry)
            else:
                held = [entry]
            continue
        if held:
            yield joined(held)
        held = [] if entry.part else [entry]
    if held:
        yield joined(held)


def _fresh(path: Path) -> RowJournal:
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    return RowJournal(path)


def _frames(path: Path) -> Iterator[CatalogEntry]:
    try:
        file = open(path, "rb")  # noqa: SIM115  closed below
    except FileNotFoundError:
        return
    with file:
        while len(head := file.read(FRAME.size)) == FRAME.size:
            length, checked = FRAME.unpack(head)
            segment = file.read(length)
            if len(segment) != length or blake3(segment).digest(length=16) != checked:
                return
            try:
                yield from decode_entries(segment, path.name)
            except FormatError:
                return


def over(
    below: Iterable[tuple[CatalogEntry, Origin]], above: Iterable[tuple[CatalogEntry, Origin]]
) -> Iterator[tuple[CatalogEntry, Origin]]:
    """Merge both sequences in one order. If both have a path, yield the row of `above`."""
    lower, upper = iter(below), iter(above)
    first, second = next(lower, None), next(upper, None)
    if first is None or second is None:  # true in most runs; then there is nothing to merge
        yield from chain([row for row in (first, second) if row is not None], lower, upper)
        return
    below, above = chain([first], lower), chain([second], upper)
    ranked = heapq.merge(
        ((sort_key(row[0].path), 1, row) for row in below),
        ((sort_key(row[0].path), 0, row) for row in above),
        key=lambda item: item[:2],
    )
    before: bytes | None = None
    for key, _, row in ranked:
        if key != before:
            before = key
            yield row


def _segments(rows: Iterable[CatalogEntry]) -> Iterator[bytes]:
    held: list[CatalogEntry] = []
    size = 0
    for entry in (part for row in rows for part in in_parts(row)):
        held.append(entry)
        size += len(entry.chunks)
        if len(held) == FOLD_ROWS or size > FOLD_CHUNK_BYTES:
            yield encode_entries(held)
            held, size = [], 0
    if held:
        yield encode_entries(held)
