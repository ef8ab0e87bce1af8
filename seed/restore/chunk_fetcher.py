"""The chunks of one point, fetched in archive order. Each span of an archive is read once.

A pool reads and opens chunks ahead. Nearly all of this runs outside the interpreter's lock.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple

from formats import layout
from formats.errors import OffseedError
from formats.ids import ChunkId
from formats.store.local import LocalStore
from formats.tables.index import CONTENT
from seed.points.point_reader import PointReader
from seed.tables.record_table import RecordPlace


class ReadAhead(NamedTuple):
    """The size of one read: a span has at most `size` bytes and at most `records` records.

    If it is well compressed, a span of few bytes can unfold to very many bytes. A read includes up to `gap` unneeded bytes
    rather than skip them. `ahead` spans are read ahead.
    """

    gap: int
    size: int
    records: int
    ahead: int


LOCAL = ReadAhead(gap=256 << 10, size=2 << 20, records=8, ahead=3)
NETWORK = ReadAhead(
    gap=1 << 20, size=4 << 20, records=16, ahead=4
)  # an answer takes as long as half a megabyte

Span = list[tuple[RecordPlace | None, ChunkId]]
Fetched = tuple[ChunkId, bytes | OffseedError]


class Fetcher:
    """A fetcher of file content. For a chunk that it cannot get, it yields the error with the reason.

    Threads read spans ahead, unless `ahead` is false.
    """

    def __init__(self, reader: PointReader, *, ahead: bool = True) -> None:
        self._reader = reader
        local = all(isinstance(store, LocalStore) for store in reader.union.stores)
        self._reach = LOCAL if local else NETWORK
        self._ahead = self._reach.ahead if ahead else 0
        threads = os.cpu_count() or 2
        self._pool = ThreadPoolExecutor(
            threads if local else max(threads, self._ahead), thread_name_prefix="fetch"
        )

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def fetch(self, chunks: Iterable[ChunkId]) -> Iterator[Fetched]:
        """Yield every one of `chunks` once, in archive order."""
        spans = self._spans(chunks)
        if not self._ahead:
            for span in spans:
                yield from self._read(span)
            return
        ahead = deque(self._pool.submit(self._read, span) for span in islice(spans, self._ahead))
        while ahead:
            yield from ahead.popleft().result()
            ahead.extend(self._pool.submit(self._read, span) for span in islice(spans, 1))

    def _spans(self, chunks: Iterable[ChunkId]) -> Iterator[Span]:
        """Yield the chunks of each read. Chunks that have not arrived come last, in a span of their own."""
        reach = self._reach
        placed: list[tuple[RecordPlace, ChunkId]] = []
        absent: Span = []
        wanted = list(chunks)
        for chunk, place in zip(wanted, self._reader.first_places(wanted), strict=True):
            if place is not None:
                placed.append((place, chunk))
            else:
                absent.append((None, chunk))
        placed.sort(key=lambda item: (item[0].archive, item[0].offset))
        span: Span = []
        start = last = RecordPlace(-1, 0, 0, 0)
        for place, chunk in placed:
            apart = place.archive != last.archive or place.offset - last.offset - last.length > reach.gap
            full = len(span) == reach.records or place.offset + place.length - start.offset > reach.size
            if span and (apart or full):
                yield span
                span = []
            start = start if span else place
            span.append((place, chunk))
            last = place
        yield from (part for part in (span, absent) if part)

    def _read(self, span: Span) -> list[Fetched]:
        first, last = span[0][0], span[-1][0]
        if first is None or last is None:
            return [(chunk, self._open(chunk, "", memoryview(b""))) for _, chunk in span]
        name = layout.archive_name(self._reader.needs[first.archive].archive.name)
        try:
            data = memoryview(
                self._reader.union.get(name, first.offset, last.offset + last.length - first.offset)
            )
        except OffseedError:
            data = memoryview(b"")  # then each record is tried by itself, at its other places
        found: list[Fetched] = []
        for place, chunk in span:
            assert place is not None
            record = data[place.offset - first.offset :][: place.length]
            found.append((chunk, self._open(chunk, name, record)))
        return found

    def _open(self, chunk: ChunkId, name: str, record: memoryview) -> bytes | OffseedError:
        try:
            if record:
                return self._reader.sealer.open(CONTENT, chunk, record, name)
        except OffseedError:
            pass  # another place may have it whole
        try:
            return self._reader.chunk(chunk, CONTENT)
        except OffseedError as error:
            return error
