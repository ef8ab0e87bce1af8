"""One motion: source → chunking → dedup → sealing → packing → placing; the commit is the caller's next step.

Rows are handed to the catalog in the order of the walk, each as soon as all its chunks are named.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from formats.errors import Interrupted
from formats.ids import ChunkId, ContentId
from formats.keyed.catalog import FILE, ROW_CHUNKS_MAX, Entry
from formats.keyed.chunk import ChunkSealer
from formats.keyed.keys import MasterKey
from formats.keyed.slots import ChunkingParameters
from formats.monitor import Finding, Monitor
from formats.tables.archive import CONTENT_CLASS, METADATA_CLASS
from formats.tables.index import CATALOG, CONTENT
from seed.cataloguing import Catalogued, Cataloguing
from seed.chunking import WINDOW, Bundler, Cutter, Sealed, Unit
from seed.packing import BufferPool, Packer, Placer
from seed.sealing import Known, Sealing
from seed.source.system import Found, data_extents, read_into

PENDING_ROWS_MAX = 20_000
EXTENTS_MAX = 100_000  # a file with more regions of data is kept without its holes
PROGRESS_STEP = 4 << 20


@dataclass(slots=True)
class _Content:
    """Where the content of a file with several links lies; `seen` is what the file was then: good for no other."""

    units: list[Unit]
    offset: int
    extents: bytes
    content: bytes
    size: int
    seen: tuple[int, int, int]


@dataclass
class _Row:
    entry: Entry
    units: list[Unit] = field(default_factory=list)


class Run:
    """Reads entries, writes archives through `placer`; `finish` returns what the catalog amounts to."""

    def __init__(
        self,
        master: MasterKey,
        parameters: ChunkingParameters,
        placer: Placer,
        known: Known,
        monitor: Monitor,
        level: int,
    ) -> None:
        self.monitor = monitor
        self.parameters = parameters
        sealer = ChunkSealer(master, level)
        pool = BufferPool()
        self._content = Packer(pool, placer, CONTENT_CLASS, master.key_id)
        self._metadata = Packer(pool, placer, METADATA_CLASS, master.key_id)
        self._sealer = sealer
        self._sealing = Sealing(sealer, known, CONTENT, self._deliver)
        self._catalog = Cataloguing(master, sealer, known, self._store_metadata)
        self._cutter = Cutter(master, parameters)
        self._bundler = Bundler(parameters)
        self._rows: deque[_Row] = deque()
        self._small: dict[ContentId, tuple[Unit, int]] = {}
        self._done = self._files = 0
        self._links: dict[tuple[int, int], _Content] = {}

    @property
    def entries(self) -> int:
        return self._catalog.entries

    def read(self, source: Iterable[Found]) -> None:
        """Take in a whole source. Raises Interrupted once the user asks to stop."""
        for found in source:
            if self.monitor.stopping():
                raise Interrupted(2)
            entry = found.entry
            if entry.type == FILE:
                self._read_file(found)
            else:
                self._rows.append(_Row(entry))
            self._files += 1
            if len(self._rows) > PENDING_ROWS_MAX:
                self._close_bundle()
                self._sealing.drain()
            if self._rows and not self._rows[0].units:
                self._emit()

    def finish(self) -> Catalogued:
        """Seal and send on all that is still held."""
        self.flush()
        self._emit()
        self.monitor.progress(done=self._done, files=self._files)
        assert not self._rows
        catalogued = self._catalog.finish()
        self._metadata.flush()
        return catalogued

    def flush(self) -> None:
        """Send on the content read so far: what a stopped run has done is not done again."""
        self._close_bundle()
        self._sealing.drain()
        self._content.flush()

    def close(self) -> None:
        self._sealing.close()
        self._catalog.close()

    def _progress(self, done: int) -> None:
        """Say what was read, not for every file."""
        self._done += done
        if self._done >= PROGRESS_STEP or self._files >= 1000:
            self.monitor.progress(done=self._done, files=self._files)
            self._done = self._files = 0

    def _read_file(self, found: Found) -> None:
        entry = found.entry
        seen = (entry.size, entry.modified, entry.changed)
        same = self._links.get((entry.device, entry.inode)) if entry.links > 1 else None
        if same is not None and same.seen == seen:
            self._take_over(entry, same)
            return
        try:
            handle = found.open() if entry.size else -1
        except OSError as error:
            self._skip(entry, error)
            return
        row = _Row(entry)
        try:
            if handle >= 0:
                small = entry.size <= self.parameters.small_file_max
                row = self._read_small(entry, handle) if small else self._read_large(entry, handle)
                self._check_unchanged(entry, handle)
        except OSError as error:
            self._skip(entry, error)
            return
        finally:
            if handle >= 0:
                os.close(handle)
        self._rows.append(row)
        if entry.links > 1:
            size = entry.size
            self._links[entry.device, entry.inode] = _Content(
                row.units, entry.offset, entry.extents, entry.content, size, seen
            )

    def _read_small(self, entry: Entry, handle: int) -> _Row:
        if not self._bundler.fits(entry.size):
            self._close_bundle()
        space = self._bundler.space(entry.size)
        length = 0
        while length <= entry.size and (got := read_into(handle, space[length:])):
            length += got
        entry.size = length
        self._progress(length)
        if not length:
            return _Row(entry)
        entry.content = content = self._sealer.content_id(space[:length])
        place = self._small.get(content)
        if place is None:
            place = self._small[content] = self._bundler.keep(length)
        unit, entry.offset = place
        return _Row(entry, [unit])

    def _read_large(self, entry: Entry, handle: int) -> _Row:
        """A file of its own chunks; rows of 4,096 chunks each, the first of which carries the entry."""
        regions = data_extents(handle, entry.size)
        if len(regions) > EXTENTS_MAX:
            regions = [(0, entry.size)]
        if regions != [(0, entry.size)]:
            entry.extents = b"".join(o.to_bytes(8, "little") + n.to_bytes(8, "little") for o, n in regions)
        units: list[Unit] = []
        for unit in self._cutter.cut(self._reader(entry, handle, regions), entry.size):
            self._sealing.submit(unit)
            units.append(unit)
        return _Row(entry, units)

    def _reader(
        self, entry: Entry, handle: int, regions: list[tuple[int, int]]
    ) -> Callable[[memoryview], int]:
        """Reads the data regions of a file end to end, as `Cutter.cut` asks for it."""
        ahead = deque(regions)

        def read(space: memoryview) -> int:
            while ahead:
                offset, left = ahead.popleft()
                if self.monitor.stopping():
                    raise Interrupted(2)
                os.lseek(handle, offset, os.SEEK_SET)
                got = read_into(handle, space[: min(len(space), left, WINDOW)])
                self._progress(got)
                if not got:
                    self._shrunk(entry, regions, offset)
                    ahead.clear()
                elif got < left:
                    ahead.appendleft((offset + got, left - got))
                return got
            return 0

        return read

    def _shrunk(self, entry: Entry, regions: list[tuple[int, int]], end: int) -> None:
        """The file ended at `end` while it was read: what was there is kept, as the file that it now is."""
        entry.size = end
        kept = [(o, min(n, end - o)) for o, n in regions if o < end]
        if entry.extents:
            entry.extents = b"".join(o.to_bytes(8, "little") + n.to_bytes(8, "little") for o, n in kept)

    def _check_unchanged(self, entry: Entry, handle: int) -> None:
        """Raises OSError where it is no longer the file that the walk met."""
        now = os.fstat(handle)
        if (now.st_dev, now.st_ino) != (entry.device, entry.inode):
            raise FileNotFoundError(2, "the file was replaced while it was read")
        if (now.st_mtime_ns, now.st_ctime_ns) != (entry.modified, entry.changed) or now.st_size != entry.size:
            self.monitor.finding(
                Finding(
                    code="source-changed",
                    subject="/" + os.fsdecode(entry.path),
                    detail="changed while it was read; it was kept as it was read",
                )
            )

    def _take_over(self, entry: Entry, same: _Content) -> None:
        entry.offset, entry.extents, entry.content = same.offset, same.extents, same.content
        entry.size = same.size
        self._rows.append(_Row(entry, same.units))

    def _skip(self, entry: Entry, error: OSError) -> None:
        self.monitor.finding(
            Finding(
                code="source-unreadable",
                subject="/" + os.fsdecode(entry.path),
                detail=error.strerror or type(error).__name__,
            )
        )

    def _close_bundle(self) -> None:
        if (unit := self._bundler.close()) is not None:
            self._sealing.submit(unit)

    def _deliver(self, sealed: Sealed) -> None:
        if sealed.record is not None:
            self._content.add(CONTENT, sealed.chunk, sealed.record, sealed.record_digest)
        self._emit()

    def _store_metadata(self, sealed: Sealed) -> None:
        assert sealed.record is not None
        self._metadata.add(CATALOG, sealed.chunk, sealed.record, sealed.record_digest)

    def _emit(self) -> None:
        """Hand on rows whose chunks are all named. Units are named in order, so the last one tells."""
        rows = self._rows
        while rows:
            row = rows[0]
            if row.units and not all(unit.id for unit in row.units[-1:]):
                return
            rows.popleft()
            for part in _parts(row):
                self._catalog.add(part)


def _parts(row: _Row) -> Iterator[Entry]:
    """The row with its chunk references; a file of very many chunks as several."""
    entry, units = row.entry, row.units
    if not units:
        yield entry
        return
    in_bundle = bool(entry.content)
    for number, at in enumerate(range(0, len(units), ROW_CHUNKS_MAX)):
        some = units[at : at + ROW_CHUNKS_MAX]
        part = entry if number == 0 else Entry(entry.path, entry.type, part=number)
        part.chunks = b"".join(_named(unit) for unit in some)
        part.lengths = b"" if in_bundle else b"".join(u.size.to_bytes(4, "little") for u in some)
        yield part


def _named(unit: Unit) -> ChunkId:
    assert unit.id is not None
    return unit.id
