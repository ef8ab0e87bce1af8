"""The destinations of archives: content goes to any ready disk of the set, metadata into the home.

Metadata stays in the home until the run ends. Each disk has a thread of its own, which takes the next archive
that fits. A disk that can take no further archive while another can is full: it is closed at once, and may be
removed. If a disk fails, or fills unforeseen, its unwritten archives go to the other disks. They are packed
anew if they are too large for these. When no disk has room, the station is asked for another disk.

One thread calls `room` and `place`; it is the one that waits, packs anew and asks.
"""

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from formats.errors import HomeError, Interrupted, MediaError, OffseedError
from formats.ids import KeyId
from formats.layout import archive_name
from formats.monitor import Finding, Monitor
from formats.store.local import LocalStore
from formats.tables.archive import Archive
from formats.tables.sections import Section
from seed.pipeline.packing import Buffer, BufferPool, split
from seed.tables.archive_indexes import read_section
from seed.targets.disk_writer import ROOM_MIN, DiskWriter, PointSize

RECHECK = 1.0  # seconds


class Station(Protocol):
    """The place where the disks of a set come and go."""

    def left(self) -> str:
        """Return in words how much is still to be read."""

    def further(self, words: str) -> DiskWriter | None:
        """Return a further disk, begun; None if nobody gives one. `words` say why one is needed."""

    def release(self, disk: DiskWriter) -> None:
        """Close a full disk. Raises OffseedError."""


@dataclass(eq=False)
class _Load:
    """An archive on its way to a disk, and the buffer that holds it."""

    archive: Archive
    pool: BufferPool
    buffer: Buffer

    def done(self) -> None:
        self.archive.data.release()
        self.pool.give(self.buffer)


class DiskPool:
    """The disks that an export writes to: a `Placer` for content.

    It writes archives from as many `buffers` at once. A further disk comes from the `station`, and a full one
    goes there.
    """

    def __init__(
        self,
        disks: Sequence[DiskWriter],
        station: Station,
        buffers: int,
        key_id: KeyId,
        extent: PointSize,
        monitor: Monitor,
    ) -> None:
        self.extent = extent
        self.disks: list[DiskWriter] = []  # all that were attached in this run
        self.full: list[DiskWriter] = []
        self.failed: dict[DiskWriter, OffseedError] = {}
        self._buffers = buffers
        self._key_id = key_id
        self._station = station
        self._monitor = monitor
        self._changed = threading.Condition()
        self._pending: deque[_Load] = deque()
        self._written: set[DiskWriter] = set()  # disks with a write in progress
        self._threads: dict[DiskWriter, threading.Thread] = {}
        self._ending = False
        self._fault: HomeError | None = None
        for disk in disks:
            self._start(disk)

    @property
    def open(self) -> list[DiskWriter]:
        """The disks that are neither full nor failed."""
        return [d for d in self.disks if d not in self.full and d not in self.failed]

    def room(self, least: int, most: int) -> int:
        with self._changed:
            while True:
                self._settle()
                rooms = self._rooms()
                for load in self._pending:
                    if rooms:
                        rooms[max(rooms, key=lambda d: rooms[d])] -= load.archive.size
                best = max(rooms.values(), default=0)
                if best < max(least, ROOM_MIN) and not self._in_use:
                    self._another()
                elif best < max(least, ROOM_MIN) or self._in_use >= self._buffers:
                    self._changed.wait(RECHECK)  # room may come back without a signal
                else:
                    self._retire(rooms, most)
                    return min(best, most)

    def place(self, archive: Archive, done: BufferPool, buffer: Buffer) -> None:
        with self._changed:
            self._pending.append(_Load(archive, done, buffer))
            self.extent.chunks += archive.records
            self._changed.notify_all()

    def drain(self) -> None:
        """Wait until all placed archives are durable. Raises MediaError if they cannot be."""
        with self._changed:
            while True:
                self._settle()
                if not self._in_use:
                    return
                self._changed.wait(RECHECK)  # room may come back without a signal

    def stop(self) -> None:
        """End the threads of the disks; drop placed archives that are not written."""
        with self._changed:
            while self._pending:
                self._pending.popleft().done()
            self._ending = True
            self._changed.notify_all()
        for thread in self._threads.values():
            thread.join()

    @property
    def _in_use(self) -> int:
        """The number of archives that are not durable yet."""
        return len(self._pending) + len(self._written)

    def _start(self, disk: DiskWriter) -> None:
        self.disks.append(disk)
        thread = threading.Thread(target=self._serve, args=(disk,), name=f"disk-{disk.number}", daemon=True)
        self._threads[disk] = thread
        thread.start()

    def _rooms(self) -> dict[DiskWriter, int]:
        """Return the room of each open disk. A disk that cannot even tell has failed."""
        rooms = {}
        for disk in self.open:
            try:
                rooms[disk] = disk.room(self.extent.reserve)
            except OffseedError as error:
                self._fail(disk, error)
        return rooms

    def _retire(self, left: Mapping[DiskWriter, int], size: int) -> None:
        """Mark a disk as full if it cannot take a whole archive and another disk can.

        The other disk must have that room besides the archives that are promised to it.
        """
        for disk, room in self._rooms().items():
            others = max((rest for other, rest in left.items() if other is not disk), default=0)
            if room < size <= others and disk not in self._written:
                self.full.append(disk)
                self._changed.notify_all()

    def _settle(self) -> None:
        """Pack anew the archives that fit no disk as they are, or find another disk for them."""
        while True:
            if self._fault is not None:
                raise self._fault
            best = max(self._rooms().values(), default=0)
            stuck = next((load for load in self._pending if load.archive.size > best), None)
            if stuck is None or self._written:  # it is looked at again after the present writes
                return
            if best < ROOM_MIN or stuck.archive.records == 1:
                self._another()
                continue
            at = self._pending.index(stuck)
            del self._pending[at]
            for part in split(stuck.archive, self._key_id, best):
                self._pending.insert(at, _Load(*part))
                at += 1
            stuck.done()
            self._changed.notify_all()

    def _another(self) -> None:
        """Ask for another disk: all disks are full or have failed. Raises MediaError if there is none."""
        failures = list(self.failed.values())
        for disk in self.open:
            self.full.append(disk)
        self._changed.notify_all()
        self._changed.release()  # meanwhile their threads close the disks, and say so
        try:
            for disk in self.full:
                self._threads[disk].join()
            added = self._ask(failures)
        finally:
            self._changed.acquire()
        self._start(added)

    def _ask(self, failures: Sequence[OffseedError]) -> DiskWriter:
        left = self._station.left()
        full = "all disks are full"
        if any(disk.limited for disk in self.disks):
            full += ", or hold what --use-at-most grants"
        words = (str(failures[0]) if failures else full) + (f", {left}" if left else "")
        if (further := self._station.further(words)) is not None:
            return further
        if self._monitor.stopping():
            raise Interrupted(2)
        if failures:
            raise failures[0]
        raise MediaError(
            "disk-full",
            words,
            subject=", ".join(str(d.path) for d in self.disks),
            hint="mount the next disk, and run the same command with its path after --to; the full disks stay good",
        )

    def _serve(self, disk: DiskWriter) -> None:
        """Write to one disk until it is full or has failed, or until the run ends."""
        while (load := self._take(disk)) is not None:
            error = self._write(disk, load)
            with self._changed:
                self._written.discard(disk)
                if error is None:
                    load.done()
                else:
                    self._pending.appendleft(load)
                    if isinstance(error, HomeError):
                        self._fault = error
                        self._changed.notify_all()
                        return
                    if error.code == "disk-full":
                        self.full.append(disk)
                    else:
                        self._fail(disk, error)
                self._changed.notify_all()
        if disk in self.full:
            with self._failing(disk):
                self._station.release(disk)

    def _take(self, disk: DiskWriter) -> _Load | None:
        with self._changed:
            while not (self._ending or disk in self.full or disk in self.failed):
                with self._failing(disk):
                    room = disk.room(self.extent.reserve) if self._pending else 0
                    for load in self._pending:
                        if load.archive.size <= room:
                            self._pending.remove(load)
                            self._written.add(disk)
                            return load
                if disk not in self.failed:
                    self._changed.wait(RECHECK)  # room may come back without a signal
            return None

    def _write(self, disk: DiskWriter, load: _Load) -> OffseedError | None:
        try:
            disk.write(load.archive)
        except OffseedError as error:
            return error
        except Exception as error:
            return OffseedError("internal", f"a fault while writing ({error!r})", subject=str(disk.path))
        return None

    def _fail(self, disk: DiskWriter, error: OffseedError) -> None:
        if disk in self.failed:
            return
        self.failed[disk] = error
        detail = f"{error.what}; what it could not take goes to the other disks"
        self._monitor.finding(Finding(code=error.code, subject=str(disk.path), detail=detail))

    @contextmanager
    def _failing(self, disk: DiskWriter) -> Iterator[None]:
        """Take an error inside as a failure of this disk, and of no other."""
        try:
            yield
        except OffseedError as error:
            with self._changed:
                self._fail(disk, error)
                self._changed.notify_all()


class MetadataCache:
    """The archives of catalogs, kept in the home: a `Placer` for metadata.

    They go to the disks when the run ends.
    """

    def __init__(self, path: Path, writer: str, key_id: KeyId, *, take_up: bool = True) -> None:
        """Open the cache. With `take_up`, archives that lie there count as written by this run."""
        path.mkdir(mode=0o700, exist_ok=True)
        self.store = LocalStore.open(str(path), writer=writer)
        self.store.sweep()
        self.sections: list[Section] = []
        for name, _ in self.store.list("archives") if take_up else ():
            if (section := read_section(self.store, name, key_id)) is not None:
                self.sections.append(section)
            else:
                self.store.delete(name)

    def room(self, least: int, most: int) -> int:  # noqa: ARG002  the home's room was judged before
        return most

    def place(self, archive: Archive, done: BufferPool, buffer: Buffer) -> None:
        try:
            self.put(archive_name(archive.name), archive.data)
        finally:
            archive.data.release()
            done.give(buffer)
        self.sections.append(Section.of(archive))

    def put(self, name: str, data: bytes | memoryview) -> None:
        """Put an object. Raises HomeError home-room, home-damaged."""
        try:
            self.store.put_new(name, data)
        except MediaError as error:
            raise HomeError(
                "home-room" if error.code == "disk-full" else "home-damaged",
                f"the home cannot be written ({error.what})",
                subject=self.store.address,
                hint="make room there and run the same command again; it goes on where it was",
            ) from error

    def close(self) -> None:
        self.store.close()
