"""One disk of a set while it is written: label first, then archives, each journalled once it is durable.

The folder `offseed/<set>-<number>/` belongs to one set and one disk; what else lies on the disk is left alone.
"""

import os
import queue
import threading
import time
from dataclasses import replace
from pathlib import Path

from formats import layout
from formats.documents import envelope
from formats.documents.disk import Label
from formats.errors import FormatError, IntegrityError, MediaError, OffseedError
from formats.ids import ArchiveName, digest, hex_digest
from formats.monitor import Monitor
from formats.store.failures import meaning
from formats.store.local import LocalStore
from formats.tables.archive import CONTENT_CLASS, Archive, parse
from formats.tables.holdings import Holding
from formats.tables.sections import Section, scan
from seed.home import Home, SetState, write_private, write_record
from seed.packing import Buffer, BufferPool

ROOM_MIN = 1 << 20  # with less, a disk is full
RESERVE_BASE = 4 << 20  # kept for metadata, with what follows for each entry and chunk so far
RESERVE_ENTRY = 40
RESERVE_CHUNK = 100
RESERVE_DOCUMENTS = 512 << 10  # of that reserve, what metadata archives leave to documents and index objects
RESERVE_INDEX = 70
RECHECKED = 4  # on resume the newest objects are read again until so many in a row are whole

README = """This disk carries a backup made by offseed: folders below offseed/, one for each server.

All content is encrypted; without its owner's passphrase nothing in it can be read. If you found this disk,
please do not change it. `importer inspect <this disk>` shows which machine and which vault it belongs to.

To look at it:        importer inspect <this disk>
To import it:         importer import <this disk> --vault <vault>      (no passphrase is needed)
To restore from it:   seed restore latest --from <this disk> --target <folder>
"""


class DiskWriter:
    """Writes one disk in a thread of its own; a `Placer`."""

    def __init__(self, home: Home, state: SetState, path: Path, number: int, monitor: Monitor) -> None:
        check_disk(path)
        self.number = number
        self.path = path
        self.state = state
        self._monitor = monitor
        self._identity = home.identity
        folder = path / layout.DISK_FOLDER / layout.disk_folder(state.set, number)
        if state.label is not None and not folder.is_dir():
            raise _not_begun_here(path)
        self._folder = home.set_folder(state.set)
        self._journal_path = self._folder / f"disk-{number}.journal"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise meaning(error, str(folder)) from error
        self.store = LocalStore.open(str(folder), writer=state.disk)
        self.store.sweep()
        self.sections: list[Section] = []
        self.chunks = 0
        self.entries = 0
        self._failure: OffseedError | None = None
        self._placed = self._written = 0  # bytes of archives; each counted by one thread
        self._queue: queue.Queue[tuple[Archive, BufferPool, Buffer] | None] = queue.Queue()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Put the label, or find it as it was put; then take up what earlier runs have written."""
        label = self._read_label()
        if self.state.label is not None if label is None else label.disk != self.state.disk:
            raise _not_begun_here(self.path)
        if self.state.label is None:  # a run may have been killed between two of them
            self._put_documents(labelled=label is not None)
        self.state = replace(self.state, label=hex_digest(self.store.get("label")))
        write_record(self._folder / "set.json", self.state)
        self.sections = self._take_up()
        self.chunks = sum(s.archive.records for s in self.sections)
        write_private(self._journal_path, b"".join(s.encode() for s in self.sections))
        self._journal = open(self._journal_path, "ab")  # noqa: SIM115  held until close
        self._thread = threading.Thread(target=self._write, name=f"disk-{self.number}", daemon=True)
        self._thread.start()

    def room(self, archive_class: int, least: int, most: int) -> int:
        """Bytes the next archive may take: of the reserve for metadata, content never gets any.

        Raises MediaError disk-full.
        """
        self._check()
        reserve = RESERVE_DOCUMENTS + RESERVE_INDEX * self.chunks
        if archive_class == CONTENT_CLASS:
            reserve = RESERVE_BASE + RESERVE_ENTRY * self.entries + RESERVE_CHUNK * self.chunks
            least = max(least, ROOM_MIN)
        free = self.store.free_bytes() - (self._placed - self._written) - reserve
        if free < least:
            raise MediaError(
                "disk-full",
                "the disk is full",
                subject=str(self.path),
                hint="what is on it stays good; make room and run the same command again to go on",
            )
        return min(most, free)

    def place(self, archive: Archive, done: BufferPool, buffer: Buffer) -> None:
        self._check()
        self._placed += archive.size
        self._queue.put((archive, done, buffer))

    def drain(self) -> None:
        """Wait until all that was placed is durable. Raises what went wrong."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None
        self._check()

    def close(self) -> None:
        try:
            self.drain()
        except OffseedError:
            pass  # said before, or being raised
        if hasattr(self, "_journal"):
            self._journal.close()
        self.store.close()

    def put(self, name: str, data: bytes) -> None:
        """Put an object that is no archive."""
        self.store.put_new(name, data)
        self._monitor.progress(stored=len(data))

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _write(self) -> None:
        while (item := self._queue.get()) is not None:
            archive, pool, buffer = item
            try:
                if self._failure is None:
                    self.store.put_new(layout.archive_name(archive.name), archive.data)
                    self._record(archive)
            except OffseedError as error:
                self._failure = error
            except OSError as error:
                self._failure = meaning(error, str(self._journal_path))
            except Exception as error:
                self._failure = OffseedError("internal", f"a fault while writing ({error!r})")
            finally:
                archive.data.release()
                self._written += archive.size
                pool.give(buffer)

    def _record(self, archive: Archive) -> None:
        """Journal an archive, only now that it is durable: a resumed run believes the journal."""
        section = Section(
            Holding(archive.name, archive.index_digest, archive.size, archive.records, archive.archive_class),
            archive.index,
        )
        self._journal.write(section.encode())
        self._sync_journal()
        self.sections.append(section)
        self.chunks += archive.records
        self._monitor.progress(stored=archive.size)

    def _sync_journal(self) -> None:
        self._journal.flush()
        os.fsync(self._journal.fileno())

    def _read_label(self) -> Label | None:
        if self.store.head("label") is None:
            return None
        signed = envelope.read(self.store.get("label"), f"{self.store.address}/label")
        return signed.verify(Label, self._identity.public_key)

    def _put_documents(self, *, labelled: bool) -> None:
        identity = self._identity
        if not labelled:
            self._put_label()
        documents = {"requests": identity.request}
        if self.state.slots_on_disk:
            documents[layout.slot_prefix(identity.machine)] = identity.slots
        for prefix, data in documents.items():
            self.put(layout.numbered(prefix, 1, hex_digest(data)), data)
        readme = self.path / layout.DISK_README
        if not readme.exists():
            readme.write_text(README, encoding="utf-8")

    def _put_label(self) -> None:
        identity = self._identity
        label = Label(
            vault=identity.vault,
            vault_name=identity.vault_name,
            machine=identity.machine,
            machine_name=identity.name,
            public_key=identity.public_key.hex(),
            set=self.state.set,
            number=self.number,
            disk=self.state.disk,
            created=int(time.time()),
        )
        self.put("label", envelope.sign(label, identity.signing_key))

    def _take_up(self) -> list[Section]:
        """The archives of earlier runs, to be built upon: those in the journal that are listed with the right size,
        the newest of them read again, and those that never reached the journal, read whole. What is damaged is
        removed and written again."""
        sections: list[Section] = []
        try:
            sections, _ = scan(memoryview(self._journal_path.read_bytes()), str(self._journal_path))
        except FileNotFoundError:
            pass
        except (FormatError, IntegrityError) as error:
            self._monitor.notice(f"the journal of this export is damaged; the disk is read instead: {error}")
        listed = dict(self.store.list("archives"))
        kept = [s for s in sections if listed.get(layout.archive_name(s.archive.name)) == s.archive.size]
        whole = 0
        for section in reversed(kept[:]):
            if whole == RECHECKED:
                break
            whole += 1
            if self._read_section(layout.archive_name(section.archive.name)) is None:
                whole = 0
                kept.remove(section)
        journalled = {layout.archive_name(s.archive.name) for s in kept}
        for name in sorted(listed.keys() - journalled):
            if (found := self._read_section(name)) is not None:
                kept.append(found)
            else:
                self.store.delete(name)
        return kept

    def _read_section(self, name: str) -> Section | None:
        """The index of an archive that is whole on the disk; None where it is damaged. Raises MediaError."""
        data = self.store.get(name)
        try:
            parsed = parse(data, name)
        except (FormatError, IntegrityError):
            return None
        if layout.archive_name(digest(data)) != name or parsed.key_id != self._identity.master.key_id:
            return None
        holding = Holding(
            ArchiveName(digest(data)), parsed.index_digest, len(data), len(parsed.rows), parsed.archive_class
        )
        return Section(holding, parsed.index)


def _not_begun_here(path: Path) -> MediaError:
    return MediaError(
        "disk-foreign",
        "this is not the disk that the export was begun on",
        subject=str(path),
        hint="attach that disk and run the same command again, or begin anew with --again",
    )


def check_disk(path: Path) -> None:
    """Raises MediaError disk-missing where `path` is no folder: a mount point that is not there is never made."""
    if not path.is_dir():
        what = (
            "this is a file, not the folder of a disk" if path.exists() else "there is no disk at this path"
        )
        raise MediaError(
            "disk-missing", what, subject=str(path), hint="mount the disk and give the path it is mounted at"
        )
