"""One motion: source → chunking → dedup → sealing → packing → placing; the commit is the caller's next step.

Rows are handed to the catalog in the order of the walk, each as soon as all its chunks are named. What an earlier run
found and that is unchanged, by its row in the basis, is not opened again, as far as its chunks are known.
"""

import errno
import os
from collections import deque
from collections.abc import Iterable, Sequence

from formats.errors import Interrupted
from formats.ids import ContentId
from formats.keyed.catalog import FILE, Entry, in_parts
from formats.keyed.chunk import ChunkSealer
from formats.monitor import Finding, Monitor
from formats.tables.index import CATALOG, CONTENT
from seed.basis import Basis, Origin, RowJournal
from seed.bundling import Bundling
from seed.cataloguing import Catalogued, Cataloguing
from seed.chunking import Cutter, Pieces, Sealed, Unit
from seed.gathering import Gathering
from seed.home import Identity
from seed.packing import Packer
from seed.reading import PointReader
from seed.row import Row, packed, shrunk
from seed.sealing import Known, Sealing
from seed.small_files import Place
from seed.source.stream import SourceError, Stream, reading
from seed.source.system import Folders, Found, Got, Wanted, data_extents, found_at, read_into
from seed.unchanged import Unchanged, seen

PENDING_ROWS_MAX = 20_000
ATTEMPTS = 2  # at a file that is replaced while it is read
LONG = 64 << 20  # a file so long is journalled while it is read
PROGRESS_STEP = 4 << 20
PROGRESS_FILES = 1000


class Run:
    """Reads entries, sends archives on by two packers; `finish` returns what the catalog amounts to."""

    def __init__(
        self,
        identity: Identity,
        content: Packer,
        metadata: Packer,
        known: Known,
        basis: Basis,
        journal: RowJournal,
        monitor: Monitor,
        level: int,
        last: Sequence[PointReader] = (),
    ) -> None:
        """`last` are the points whose catalogs the basis is, if it is any."""
        master, parameters = identity.master, identity.chunking
        self.monitor = monitor
        self.unchanged = Unchanged(known)
        self.parameters = parameters
        self._sealer = sealer = ChunkSealer(master, level)
        self._content = content
        self._metadata = metadata
        self._known = known
        self._basis = basis
        self._journal = journal
        self._sealing = Sealing(sealer, known, CONTENT, self._deliver)
        self._catalog = Cataloguing(master, sealer, known, self._store_metadata, journal.append)
        self._cutter = Cutter(master, parameters)
        self._bundling = Bundling(parameters, known, last, self._sealing.submit)
        self._rows: deque[Row] = deque()
        self._reading: Row | None = None  # a long file
        self._gathering = Gathering(master, self._gathered, monitor)
        self._folders = Folders()
        self._links: dict[tuple[int, int], Row] = {}
        self._done = self._files = self._kept = 0
        self._beside = 0  # bytes of larger files since the open bundle was begun

    @property
    def entries(self) -> int:
        return self._catalog.entries

    def read(self, source: Iterable[Found]) -> None:
        """Take in a whole source. Raises Interrupted once the user asks to stop."""
        for found in source:
            if self.monitor.stopping():
                raise Interrupted(2)
            before, origin = self._basis.at(found.path)
            looked = found.looked()
            if before is not None and origin is not None and self.unchanged.stands(looked, before, origin):
                self._rows.append(Row(before, origin=origin))
                self._kept += before.size
            elif self._is_new_small(entry := Entry(*looked), before):
                self._gather(entry)
            elif (described := self._described(found)) is None:
                continue
            elif entry.type == FILE:
                self._read_file(found, described, before, origin)
            else:
                if before is not None and self.unchanged.is_same(described, before):
                    described = self.unchanged.settled(described, before)
                self._rows.append(Row(described, origin=origin if described == before else None))
            self._files += 1
            if self._files >= PROGRESS_FILES:
                self._progress(0)
            if len(self._rows) > PENDING_ROWS_MAX:
                self._settle()
            if self._rows and self._rows[0].named:
                self._emit()

    def finish(self) -> Catalogued:
        """Seal and send on all that is still held."""
        self.flush()
        self._emit()
        self._tell_progress()
        assert not self._rows
        catalogued = self._catalog.finish()
        self._metadata.flush()
        return catalogued

    def so_far(self) -> Catalogued:
        """What all that was read until now amounts to; sent on as `flush` does. More may be read after it."""
        self.flush()
        catalogued = self._catalog.so_far()
        self._metadata.flush()
        return catalogued

    def flush(self) -> None:
        """Send on the content read so far: what a stopped run has done is not done again."""
        self._settle()
        self._content.flush()
        self.checkpoint()

    def checkpoint(self) -> None:
        """Journal the rows so far. What their chunks lie in need not be durable yet."""
        self._emit()
        self._catalog.checkpoint(self._reading.so_far() if self._reading is not None else ())

    def close(self) -> None:
        self._gathering.close()
        self._folders.close()
        self._sealing.close()
        self._catalog.close()
        self._journal.close()

    def _progress(self, done: int) -> None:
        """Say what was read, not for every file."""
        self._done += done
        if self._done >= PROGRESS_STEP or self._files >= PROGRESS_FILES:
            self._tell_progress()

    def _tell_progress(self) -> None:
        self.monitor.progress(done=self._done, files=self._files, kept=self._kept)
        self._done = self._files = self._kept = 0

    def _described(self, found: Found) -> Entry | None:
        try:
            return found.described()
        except OSError as error:
            self._skip(found.path, error)
            return None

    def _is_new_small(self, entry: Entry, before: Entry | None) -> bool:
        """Whether a file is to be gathered, by what a look tells."""
        is_small = entry.type == FILE and 0 < entry.size <= self.parameters.small_file_max
        return is_small and entry.links == 1 and (before is None or self.unchanged.is_changed(entry, before))

    def _gather(self, entry: Entry) -> None:
        row = Row(entry, awaited=True)
        self._rows.append(row)
        self._gathering.add(row, _wanted(entry))

    def _read_file(self, found: Found, entry: Entry, before: Entry | None, origin: Origin) -> None:
        same = self._links.get((entry.device, entry.inode)) if entry.links > 1 else None
        if same is not None and seen(same.entry) == seen(entry):
            self._take_over(entry, same, before, origin)
            return
        if before is not None and self.unchanged.is_changed(entry, before):
            before = None
        row = self._reused(entry, before, origin) if before is not None else None
        if row is None and self._is_new_small(entry, None):
            self._gather(entry)
            return
        if row is None:
            row = self._opened(found, entry, before)
        if row is None:
            return
        self._rows.append(row)
        if row.entry.links > 1:
            self._links[row.entry.device, row.entry.inode] = row

    def _opened(
        self, found: Found, entry: Entry, before: Entry | None, attempts: int = ATTEMPTS
    ) -> Row | None:
        """Read a file; None, and a finding, where it cannot be read. One that was saved anew is read as it is now."""
        handle = -1
        try:
            if not entry.size:
                return Row(entry)
            with reading():
                handle = found.open()
            if entry.size <= self.parameters.small_file_max:
                row = self._read_small(entry, handle)
            else:
                row = self._read_large(entry, handle, before)
            self._check_unchanged(entry, handle)
            return row
        except SourceError as error:
            self._reading = None
            if error.errno == errno.ENOENT and attempts and (fresh := found.renewed()) is not None:
                return self._again_from(fresh, attempts - 1)
            self._skip(entry.path, error)
            return None
        finally:
            if handle >= 0:
                os.close(handle)

    def _again_from(self, fresh: Found, attempts: int) -> Row | None:
        entry = self._described(fresh)
        return self._opened(fresh, entry, None, attempts) if entry is not None else None

    def _reused(self, entry: Entry, before: Entry, origin: Origin) -> Row | None:
        """The row of an unchanged file of which all chunks are known; None where it must be read."""
        reused = self.unchanged.reused(entry, before)
        if reused is None:
            return None
        self._bundling.remember(reused.content, reused.chunks, reused.offset)
        self._kept += reused.size
        return Row(reused, origin=origin if reused == before else None)

    def _gathered(
        self, rows: Sequence[Row], wanted: Sequence[Wanted], got: Sequence[Got], data: memoryview
    ) -> None:
        """A batch of small files was read, as far as it could be."""
        places = self._bundling.find([one.content for one in got])
        at = 0
        for row, file, one, place in zip(rows, wanted, got, places, strict=True):
            self._take_in(row, file, one, data[at : at + one.length], place)
            at += one.length

    def _take_in(self, row: Row, wanted: Wanted, got: Got, data: memoryview, place: Place | None) -> None:
        if got.errno == errno.ENOENT and (fresh := found_at(wanted.path, self._folders)) is not None:
            again = self._again_from(fresh, ATTEMPTS - 1)
            row.gone = again is None
            if again is not None:
                row.entry, row.bundle, row.pieces = again.entry, again.bundle, again.pieces
                row.offset, row.content = again.offset, again.content
        elif got.errno:
            row.gone = True
            self._skip(wanted.path, OSError(got.errno, os.strerror(got.errno)))
        else:
            if got.xattrs != row.entry.xattrs:
                row.entry = row.entry._replace(xattrs=got.xattrs)
            self._keep_small(row, got.content, data, place)
            if not got.stayed:
                self._tell_changed(row.entry)
            if got.xattrs_errno:
                self._tell(wanted.path, os.strerror(got.xattrs_errno), code="source-xattrs")
        row.awaited = False

    def _keep_small(self, row: Row, content: ContentId, data: memoryview, place: Place | None) -> None:
        """Lay a file into the bundle, unless its content is stored already: at `place`, if that was found."""
        size = len(data)
        if size != row.entry.size:
            row.entry = row.entry._replace(size=size)
        self._progress(size)
        if not size:
            return
        row.content = content
        row.bundle, row.offset = self._bundling.keep(content, data, place)

    def _read_small(self, entry: Entry, handle: int) -> Row:
        data = memoryview(bytearray(entry.size + 1))
        length = 0
        with reading():
            while length <= entry.size and (got := read_into(handle, data[length:])):
                length += got
        row = Row(entry)
        content = self._sealer.content_id(data[:length])
        self._keep_small(row, content, data[:length], *self._bundling.find([content]))
        return row

    def _read_large(self, entry: Entry, handle: int, before: Entry | None) -> Row:
        """A file of its own chunks. Of one that was read before, what is known is passed over, the rest cut there again."""
        with reading():
            regions = data_extents(handle, entry.size)
        if regions != [(0, entry.size)]:
            entry = entry._replace(extents=packed(regions))
        stream = Stream(handle, regions, self._while_reading)
        row = Row(entry, pieces=Pieces(entry.size))
        self._beside += entry.size
        if self._beside > LONG // 4:  # so that all rows before this one can be journalled before it
            self._gathering.drain()
            self._close_bundle()
        if entry.size > LONG:
            self._reading = row
        if before is None or before.extents != entry.extents or self._again(before, stream, row):
            for unit in self._cutter.cut(stream.read, entry.size - stream.at):
                self._expect(row, unit)
        self._reading = None
        if stream.end is not None:
            row.entry = shrunk(entry, regions, stream.at)
        return row

    def _again(self, before: Entry, stream: Stream, row: Row) -> bool:
        """Go through the chunks that were cut before, reading what is not known. False where the file ended."""
        assert row.pieces is not None
        for chunk, length in zip(before.chunk_ids(), before.chunk_lengths(), strict=True):
            if chunk in self._known:
                row.pieces.append(chunk, length)
                stream.skip(length)
                self.monitor.progress(kept=length)
                continue
            if (unit := self._cutter.take(stream.read, length)) is not None:
                self._expect(row, unit)
            if unit is None or unit.size < length:
                return False
        return True

    def _expect(self, row: Row, unit: Unit) -> None:
        assert row.pieces is not None
        row.pieces.expect(unit)
        self._sealing.submit(unit)

    def _while_reading(self, got: int) -> None:
        self._progress(got)
        if self.monitor.stopping():
            raise Interrupted(2)

    def _check_unchanged(self, entry: Entry, handle: int) -> None:
        """Raises SourceError where it is no longer the file that the walk met."""
        with reading():
            now = os.fstat(handle)
        if (now.st_dev, now.st_ino) != (entry.device, entry.inode):
            raise SourceError(errno.ENOENT, "the file was replaced while it was read")
        if (now.st_mtime_ns, now.st_ctime_ns) != (entry.modified, entry.changed) or now.st_size != entry.size:
            self._tell_changed(entry)

    def _tell_changed(self, entry: Entry) -> None:
        self._tell(entry.path, "changed while it was read; it was kept as it was read", code="source-changed")

    def _take_over(self, entry: Entry, same: Row, before: Entry | None, origin: Origin) -> None:
        """A further name of a file: its content is not read again."""
        first = same.entry
        entry = entry._replace(size=first.size, extents=first.extents).holding(
            first.chunks, first.lengths, first.offset, first.content
        )
        stands = origin if entry == before else None
        places = same.bundle, same.pieces, same.offset, same.content
        self._rows.append(Row(entry, *places, stands, first=False))
        same.links += 1
        if same.links >= entry.links:
            del self._links[entry.device, entry.inode]

    def _skip(self, path: bytes, error: OSError) -> None:
        self._tell(path, error.strerror or type(error).__name__, code="source-unreadable")

    def _tell(self, path: bytes, detail: str, code: str) -> None:
        self.monitor.finding(Finding(code=code, subject="/" + os.fsdecode(path), detail=detail))

    def _settle(self) -> None:
        """Read, seal and name all that is on its way."""
        self._gathering.drain()
        self._close_bundle()
        self._sealing.drain()

    def _close_bundle(self) -> None:
        self._beside = 0
        self._bundling.close()

    def _deliver(self, unit: Unit, sealed: Sealed) -> None:
        sent = False
        if sealed.record is not None:
            if unit.pieces is not None and unit.at == 0:
                sent = self._content.keep_together(unit.pieces.size)
            sent |= self._content.add(CONTENT, sealed.chunk, sealed.record, sealed.record_digest)
        if sent:
            self.checkpoint()
        else:
            self._emit()

    def _store_metadata(self, sealed: Sealed) -> None:
        assert sealed.record is not None
        self._metadata.add(CATALOG, sealed.chunk, sealed.record, sealed.record_digest)

    def _emit(self) -> None:
        """Hand on rows whose chunks are all named. Units are named in order."""
        rows = self._rows
        while rows and rows[0].named:
            row = rows.popleft()
            if row.gone:
                continue
            for part in in_parts(row.finished()):
                self._catalog.add(part, row.origin, first=row.first)


def _wanted(entry: Entry) -> Wanted:
    return Wanted(entry.path, entry.device, entry.inode, entry.size, entry.modified, entry.changed)
