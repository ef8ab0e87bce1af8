"""One motion: source → chunking → dedup → sealing → packing → placing; the commit is the caller's next step.

The catalog receives rows in the order of the walk, each as soon as all its chunks are named. A file that is
unchanged since an earlier run, by its row in the basis, is not opened again if its chunks are known.
"""

import errno
import os
from collections import deque
from collections.abc import Iterable, Sequence

from formats.errors import Interrupted
from formats.ids import ContentId
from formats.keyed.catalog import FILE, CatalogEntry, in_parts
from formats.keyed.chunk import ChunkSealer
from formats.monitor import Finding, Monitor
from formats.tables.index import CATALOG, CONTENT
from seed.home.home import Identity
from seed.pipeline.catalog_writer import CatalogResult, Cataloguing
from seed.pipeline.change_detection import ChangeDetection, seen, timed_as
from seed.pipeline.chunking import FileChunks, PendingChunk, Sealed
from seed.pipeline.content_index import ContentIndex
from seed.pipeline.large_files import LargeFiles
from seed.pipeline.packing import Packer
from seed.pipeline.remembered_contents import RememberedContents
from seed.pipeline.row import PlacedEntry, packed
from seed.pipeline.sealing import KnownChunks, Sealing
from seed.pipeline.small_file_batches import SmallFileBatches, WorkerQueue
from seed.pipeline.small_file_worker import Worker
from seed.points.previous_rows import Basis, Origin, RowJournal
from seed.source.clocks import Clocks, changed_ns
from seed.source.stream import SourceError, Stream, reading
from seed.source.system import BatchResult, FolderOpener, FoundEntry, Odd, data_extents, found_at, wanted
from seed.source.xattrs import why

PENDING_ROWS_MAX = 20_000
LONG = 64 << 20  # a file so long is journalled while it is read
PROGRESS_STEP = 4 << 20
PROGRESS_FILES = 1000


class Pipeline:
    """A run that reads entries and sends archives on by two packers; `finish` ends the catalog."""

    def __init__(
        self,
        identity: Identity,
        workers: Sequence[Worker],
        content: Packer,
        metadata: Packer,
        known: KnownChunks,
        basis: Basis,
        journal: RowJournal,
        monitor: Monitor,
        level: int,
        contents: RememberedContents | None = None,
        items: Sequence[bytes] = (),
    ) -> None:
        """Prepare the run.

        `contents` knows where small files of earlier points lie, if there are any. `items` are counted one by
        one.
        """
        master, parameters = identity.master, identity.chunking
        self.monitor = monitor
        self.unchanged = ChangeDetection(known)
        self._small_max = parameters.small_file_max
        self._content = content
        self._metadata = metadata
        self._known = known
        self._basis = basis
        self._journal = journal
        sealer = ChunkSealer(master, level)
        self._sealing = Sealing(sealer, known, CONTENT, self._deliver)
        self._large = LargeFiles(master, parameters, known, self._sealing.submit, self._keep)
        self._batches = SmallFileBatches(workers, parameters.bundle_size, self._take_in, self._sealed)
        self._stored = ContentIndex(known, contents)
        self._catalog = Cataloguing(master, sealer, known, self._store_metadata, journal.append, items)
        self._rows: deque[PlacedEntry] = deque()
        self._reading: PlacedEntry | None = None  # a long file
        self._missed: deque[tuple[PlacedEntry, int]] = (
            deque()
        )  # rows of files that could not be read, and the errors
        self._folders = FolderOpener()
        self._clocks = Clocks()
        self._links: dict[tuple[int, int], PlacedEntry] = {}
        self._done = self._files = self._kept = 0
        self._beside = 0  # bytes of larger files since all small ones were sealed

    @property
    def entries(self) -> int:
        return self._catalog.entries

    def read(self, source: Iterable[FoundEntry]) -> None:
        """Take in a whole source. Raises Interrupted when the user asks to stop."""
        for found in source:
            if self.monitor.stopping():
                raise Interrupted(2)
            before, origin = self._basis.at(found.path)
            if (
                before is not None
                and origin is not None
                and self.unchanged.stands(found.looked, before, origin)
            ):
                self._rows.append(PlacedEntry(before, origin=origin))
                self._kept += before.size
            elif found.type == FILE:
                self._read_file(found, before, origin)
            else:
                self._take_other(found, before, origin)
            self._files += 1
            if self._files >= PROGRESS_FILES:
                self._progress(0)
            if self._missed:
                self._read_missed()
            if len(self._rows) > PENDING_ROWS_MAX:
                self._settle()
            if self._rows and self._rows[0].named:
                self._emit()

    def finish(self) -> CatalogResult:
        """Seal and send on everything that is still held; return the facts of the catalog."""
        self.flush()
        self._emit()
        self._tell_progress()
        assert not self._rows
        catalogued = self._catalog.finish()
        self._metadata.flush()
        return catalogued

    def so_far(self) -> CatalogResult:
        """Send on as `flush` does; return the facts of the catalog so far. More may be read afterwards."""
        self.flush()
        catalogued = self._catalog.so_far()
        self._metadata.flush()
        return catalogued

    def flush(self) -> None:
        """Send on the content read so far: the work of a stopped run is not done again."""
        self._settle()
        self._content.flush()
        self.checkpoint()

    def checkpoint(self) -> None:
        """Journal the rows so far. The archives of their chunks need not be durable yet."""
        self._emit()
        self._catalog.checkpoint(self._reading.so_far() if self._reading is not None else ())

    def close(self) -> None:
        self._folders.close()
        self._sealing.close()
        self._catalog.close()
        self._journal.close()

    def _progress(self, done: int) -> None:
        """Report progress, but not for every file."""
        self._done += done
        if self._done >= PROGRESS_STEP or self._files >= PROGRESS_FILES:
            self._tell_progress()

    def _tell_progress(self) -> None:
        self.monitor.progress(done=self._done, files=self._files, kept=self._kept)
        self._done = self._files = self._kept = 0

    def _keep(self, size: int) -> None:
        self._kept += size

    def _hides(self, found: FoundEntry) -> bool:
        """Return whether a change from now on may leave an entry with the time of change that it has."""
        looked = found.looked
        return self._clocks.may_hide(looked[10] * 10**9 + looked[11], looked[12])

    def _described(self, found: FoundEntry) -> CatalogEntry | None:
        try:
            return found.described()
        except OSError as error:
            self._skip(found.path, error.strerror or type(error).__name__)
            return None

    def _take_other(self, found: FoundEntry, before: CatalogEntry | None, origin: Origin) -> None:
        """Take in an entry without content."""
        hides = self._hides(found)
        if (entry := self._described(found)) is None:
            return
        if before is not None and self.unchanged.is_same(entry, before):
            entry = self.unchanged.settled(entry, before)
            if found.above:  # it changes with files outside the backup: its row would be sent for nothing
                entry = timed_as(entry, before)
        hides |= found.lacking
        self._rows.append(PlacedEntry(entry, hides, origin=None if hides or entry != before else origin))

    def _read_file(self, found: FoundEntry, before: CatalogEntry | None, origin: Origin) -> None:
        looked = found.looked
        links = looked[14]
        if links > 1 and (same := self._links.get(found.number)) is not None and not same.gone:
            row = PlacedEntry(CatalogEntry(*looked), same=same, before=before, origin=origin)
            if seen(same.entry) == seen(row.entry):
                self._take_over(row, same)
                return
        if before is not None and self.unchanged.is_changed(CatalogEntry(*looked), before):
            before = None
        hides = self._hides(found)
        if 0 < looked[7] <= self._small_max and before is None:
            row = PlacedEntry(CatalogEntry(*looked), hides, awaited=True)
            self._batches.add(row, wanted(looked))
        elif (entry := self._described(found)) is None:
            return
        elif before is not None and (reused := self._reused(entry, before)) is not None:
            row = PlacedEntry(reused, found.lacking, origin=origin if reused == before else None)
        elif 0 < entry.size <= self._small_max:
            row = PlacedEntry(entry, hides, awaited=True)
            self._batches.add(row, wanted(looked))
        else:
            row = self._opened(found, PlacedEntry(entry, hides or found.lacking), before)
        self._rows.append(row)
        if links > 1:
            self._links[found.number] = row

    def _take_over(self, row: PlacedEntry, same: PlacedEntry) -> None:
        """Take in a further name of a file: its content is not read again."""
        self._rows.append(row)
        same.others = [*(same.others or ()), row]
        if len(same.others) + 1 >= row.entry.links:
            del self._links[row.entry.device, row.entry.inode]

    def _reused(self, entry: CatalogEntry, before: CatalogEntry) -> CatalogEntry | None:
        """Return the entry of an unchanged file if all its chunks are known; None if it must be read."""
        reused = self.unchanged.reused(entry, before)
        if reused is not None:
            self._stored.remember(reused.content, reused.chunks, reused.offset)
            self._kept += reused.size
        return reused

    def _take_in(self, queue: WorkerQueue, rows: Sequence[PlacedEntry], got: BatchResult) -> None:
        """Take in a batch of small files, as far as it could be read. Contents not stored yet are kept."""
        contents = [ContentId(got.contents[at : at + 16]) for at in range(0, len(got.contents), 16)]
        stored = self._stored
        places = stored.find(contents)
        for at, (row, size, content, place) in enumerate(
            zip(rows, got.lengths, contents, places, strict=True)
        ):
            row.awaited = False
            if at in got.odd:
                self._take_odd(row, got.odd[at])
            if size != row.entry.size and not row.awaited:
                row.entry = row.entry._replace(size=size)
            if not size:
                queue.skip()
                continue
            row.content = content
            if place is None and (place := stored.get_new(content)) is None:
                place = queue.lay(size)
                stored.put(content, place)
            else:
                queue.skip()
            row.bundle, row.offset = place
        self._progress(sum(got.lengths))

    def _take_odd(self, row: PlacedEntry, odd: Odd) -> None:
        xattrs, stayed, xattrs_failure, failure = odd
        if failure:
            row.awaited = True
            self._missed.append((row, failure))
            return
        row.entry = row.entry._replace(xattrs=xattrs)
        if not stayed:
            self._tell_changed(row.entry)
        if xattrs_failure:
            row.hides = True
            self._tell(row.entry.path, why(xattrs_failure), code="source-xattrs")

    def _read_missed(self) -> None:
        """Read files that were saved anew since the walk met them, as they are now; give up the others."""
        while self._missed:
            row, failure = self._missed.popleft()
            again = failure == errno.ENOENT and row.attempts
            fresh = found_at(row.entry.path, self._folders) if again else None
            if fresh is None:
                self._lose(row, os.strerror(failure))
                continue
            row.attempts -= 1
            row.hides = self._hides(fresh)
            row.pieces = None
            if 0 < fresh.looked[7] <= self._small_max:
                row.entry = CatalogEntry(*fresh.looked)
                self._batches.add(row, wanted(fresh.looked))
                continue
            try:
                row.entry = fresh.described()
                row.hides |= fresh.lacking
            except OSError as error:
                self._missed.append((row, error.errno or errno.EIO))
            else:
                self._opened(fresh, row, None, in_order=False)

    def _lose(self, row: PlacedEntry, why: str) -> None:
        """Leave out a file that cannot be read; try its next name, if it has one."""
        self._skip(row.entry.path, why)
        row.gone, row.awaited = True, False
        if row.others:
            first, *first.others = row.others
            first.same, first.awaited = None, True
            for other in first.others:
                other.same = first
            self._missed.append((first, errno.ENOENT))

    def _opened(
        self, found: FoundEntry, row: PlacedEntry, before: CatalogEntry | None, *, in_order: bool = True
    ) -> PlacedEntry:
        """Read a file that is large or empty; if that fails, note it as missed."""
        row.awaited = True
        handle = -1
        try:
            if row.entry.size:
                with reading():
                    handle = found.open()
                self._read_large(row, handle, before, in_order=in_order)
                self._check_unchanged(row.entry, handle)
            row.awaited = False
        except SourceError as error:
            self._missed.append((row, error.errno or errno.EIO))
        finally:
            self._reading = None
            if handle >= 0:
                os.close(handle)
        return row

    def _read_large(
        self, row: PlacedEntry, handle: int, before: CatalogEntry | None, *, in_order: bool
    ) -> None:
        entry = row.entry
        with reading():
            regions = data_extents(handle, entry.size)
        if regions != [(0, entry.size)]:
            row.entry = entry._replace(extents=packed(regions))
        self._beside += entry.size
        if in_order and self._beside > LONG:  # then all rows before this one can be journalled before it
            self._read_all()
        if in_order and entry.size > LONG:
            self._reading = row
        row.pieces = FileChunks(entry.size)
        stream = Stream(handle, regions, self._while_reading)
        row.entry = self._large.read(row.entry, stream, row.pieces, before)

    def _while_reading(self, got: int) -> None:
        self._progress(got)
        self._batches.hear()
        if self.monitor.stopping():
            raise Interrupted(2)

    def _check_unchanged(self, entry: CatalogEntry, handle: int) -> None:
        """Raise SourceError if it is no longer the file that the walk met."""
        with reading():
            now = os.fstat(handle)
        if (now.st_dev, now.st_ino) != (entry.device, entry.inode):
            raise SourceError(errno.ENOENT, "the file was replaced while it was read")
        if (now.st_mtime_ns, changed_ns(now)) != (entry.modified, entry.changed) or now.st_size != entry.size:
            self._tell_changed(entry)

    def _tell_changed(self, entry: CatalogEntry) -> None:
        self._tell(entry.path, "changed while it was read; it was kept as it was read", code="source-changed")

    def _skip(self, path: bytes, why: str) -> None:
        self._tell(path, why, code="source-unreadable")

    def _tell(self, path: bytes, detail: str, code: str) -> None:
        self.monitor.finding(Finding(code=code, subject="/" + os.fsdecode(path), detail=detail))

    def _settle(self) -> None:
        """Read, seal and name everything that is on its way."""
        self._read_all()
        self._sealing.drain()

    def _read_all(self) -> None:
        """Read and seal all small files so far."""
        self._beside = 0
        self._batches.drain()
        while self._missed:
            self._read_missed()
            self._batches.drain()

    def _sealed(self, unit: PendingChunk, sealed: Sealed) -> None:
        """Store the sealed bundle unless it is a duplicate."""
        self._deliver(unit, sealed if self._known.claim(sealed.chunk) else Sealed(sealed.chunk))

    def _deliver(self, unit: PendingChunk, sealed: Sealed) -> None:
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
        """Hand on the rows with all chunks named. Units are named in order."""
        rows = self._rows
        while rows and rows[0].named:
            row = rows.popleft()
            if row.gone:
                continue
            entry = row.finished()
            origin = row.origin if row.same is None or entry is row.before else None
            for part in in_parts(entry):
                self._catalog.add(part, origin, first=row.same is None)
