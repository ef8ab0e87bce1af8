"""The way to the vault: a few archives at a time go there, while the next ones are packed.

The home journals the sent archives, so that the next run does not send them again.
"""

import threading
from collections import deque
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from formats.layout import archive_name
from formats.monitor import Monitor
from formats.records import unwritable, write_private
from formats.store.contract import Store
from formats.tables.archive import Archive
from formats.tables.sections import Section
from seed.pipeline.packing import Buffer, BufferPool
from seed.tables.archive_indexes import read_sections

PUTS_MAX = 4  # in flight (PROTOCOL 3)
BUFFERS = PUTS_MAX + 2
ARCHIVE_SIZE = 16 << 20


class Uplink:
    """A `Placer` for the content of a network run. `sections` are the durable archives of this run.

    The file `journal` keeps them. A section of an earlier run counts if the vault holds its archive and has
    not condemned it.
    """

    def __init__(
        self, store: Store, journal: Path, monitor: Monitor, condemned: Collection[str] = ()
    ) -> None:
        damaged = "the journal of the run before is damaged; what it had sent is sent again"
        self.sections = [
            section
            for section in read_sections(journal, damaged, monitor)
            if archive_name(section.archive.name) not in condemned and _is_there(store, section)
        ]
        self._store = store
        self._monitor = monitor
        self._lock = threading.Lock()
        self._path = journal
        # Without torn sections, and archives that never came.
        write_private(journal, b"".join(s.encode() for s in self.sections))
        self._journal = open(journal, "ab")  # noqa: SIM115  held until close
        self._pool = ThreadPoolExecutor(PUTS_MAX, thread_name_prefix="uplink")
        self._sending: deque[Future[None]] = deque()

    def room(self, least: int, most: int) -> int:  # noqa: ARG002  a full vault fails at the next put
        self._settle()
        return most

    def place(self, archive: Archive, done: BufferPool, buffer: Buffer) -> None:
        """Send an archive.

        Raises the error of an archive that was sent before: StoreError, MediaError, HomeError.
        """
        self._sending.append(self._pool.submit(self._send, archive, done, buffer))

    def drain(self) -> None:
        """Wait until all placed archives are durable. Raises as `place`."""
        while self._sending:
            self._sending.popleft().result()

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._journal.close()

    def _settle(self) -> None:
        while self._sending and self._sending[0].done():
            self._sending.popleft().result()

    def _send(self, archive: Archive, done: BufferPool, buffer: Buffer) -> None:
        section = Section.of(archive)
        try:
            # Journal before the archive: a section counts only if the vault holds its archive.
            self._journal_section(section)
            self._store.put_new(archive_name(archive.name), archive.data)
        finally:
            archive.data.release()
            done.give(buffer)
        self._monitor.progress(stored=archive.size)
        with self._lock:
            self.sections.append(section)

    def _journal_section(self, section: Section) -> None:
        with self._lock:
            try:
                self._journal.write(section.encode())
                self._journal.flush()
            except OSError as error:
                raise unwritable(self._path, error) from error


def _is_there(store: Store, section: Section) -> bool:
    return store.head(archive_name(section.archive.name)) == section.archive.size
