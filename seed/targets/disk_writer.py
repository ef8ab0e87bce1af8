"""One disk of a set while it is written: first the label, then archives, each journalled once it is durable.

The folder `offseed/<set>-<number>/` belongs to one set and one disk. Other files on the disk are left alone.
The label identifies a disk, not the path of its mount.
"""

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from formats import layout
from formats.disks import check_disk, number_at, set_folder
from formats.documents import envelope
from formats.documents.disk import Label
from formats.errors import MediaError, UsageError
from formats.ids import hex_digest, random_id
from formats.monitor import Monitor
from formats.records import unwritable, write_private
from formats.store.failures import told
from formats.store.local import LocalStore
from formats.tables.archive import Archive
from formats.tables.sections import Section
from seed.home.disk_sets import DiskState, KeptSet
from seed.home.home import Home
from seed.source.source_rules import mounted_kinds
from seed.tables.archive_indexes import read_section, read_sections

ROOM_MIN = 1 << 20  # with less, a disk is full
RESERVE_BASE = 4 << 20  # kept for metadata, plus the two reserves below for each entry and chunk so far
LEAST = RESERVE_BASE + ROOM_MIN  # free bytes that a disk needs at its beginning
RESERVE_ENTRY = 40
RESERVE_CHUNK = 100
RECHECKED = 4  # a resumed run reads the newest objects again until this many in a row are whole

README = """This disk carries a backup made by offseed: folders below offseed/, one for each server.

All content is encrypted; without its owner's passphrase nothing in it can be read. If you found this disk,
please do not change it. `importer inspect <this disk>` shows which machine and which vault it belongs to.

To look at it:        importer inspect <this disk>
To import it:         importer import <this disk> --vault <vault>      (no passphrase is needed)
To restore from it:   seed restore latest --from <this disk> --target <folder>
"""


@dataclass
class PointSize:
    """The size of a point so far. Each disk keeps room for the metadata that will describe it."""

    entries: int = 0
    chunks: int = 0

    @property
    def reserve(self) -> int:
        return RESERVE_BASE + RESERVE_ENTRY * self.entries + RESERVE_CHUNK * self.chunks


class DiskWriter:
    """A writer of one disk. One thread at a time uses it, except for `room`."""

    def __init__(
        self,
        home: Home,
        kept: KeptSet,
        disk: DiskState,
        path: Path,
        monitor: Monitor,
        use_at_most: int | None = None,
    ) -> None:
        self.path = path
        self.number = disk.number
        self.sections: list[Section] = []
        self._identity = home.identity
        self._clock = home.clock
        self._kept = kept
        self._disk = disk
        self._monitor = monitor
        self._use_at_most = use_at_most
        self._used = 0  # bytes of archives
        self._writing = 0
        self._write_bytes, self._write_seconds = disk.write_bytes, disk.write_ms / 1000
        self._folder = set_folder(path, layout.disk_folder(kept.state.set, disk.number))
        self.store = LocalStore.open(str(self._folder), writer=disk.disk)

    @property
    def limited(self) -> bool:
        """Whether a limit restricts the use of the disk."""
        return self._use_at_most is not None

    @property
    def state(self) -> DiskState:
        """The facts that the home keeps of this disk."""
        return self._disk

    def begin(self) -> None:
        """Put the label, or check the one that is there. Then take up the archives of earlier runs."""
        self.store.sweep()
        label = self._read_label()
        if self._disk.label is not None if label is None else label.disk != self._disk.disk:
            raise _foreign(self.path)
        if label is None:
            self._put_label()
        if self._disk.label is None:  # a run may have been killed before it knew
            self._know(label=hex_digest(self.store.get("label")), begun=int(self._clock.now()))
        self._put_documents()
        self.sections = self._take_up()
        self._used = sum(s.archive.size for s in self.sections)
        journal = self._kept.journal(self.number)
        write_private(journal, b"".join(s.encode() for s in self.sections))
        self._journal = open(journal, "ab")  # noqa: SIM115  held until close

    def room(self, reserve: int) -> int:
        """Return the number of bytes that a further archive may take. Raises MediaError, StoreError."""
        free = self.store.free_bytes()
        if self._use_at_most is not None:
            free = min(free, self._use_at_most - self._used)
        return max(free - self._writing - reserve, 0)

    def write(self, archive: Archive) -> None:
        """Put an archive, and journal it once it is durable. Raises MediaError, StoreError, HomeError."""
        self.adopt(Section.of(archive), archive.data)

    def adopt(self, section: Section, data: bytes | memoryview) -> None:
        """Put an archive, as `write` does, if its index is at hand as a section."""
        self._writing = section.archive.size
        began = self._clock.elapsed()
        try:
            self.put(layout.archive_name(section.archive.name), data)
            self._record(section)
            self._used += section.archive.size
            self._write_bytes += section.archive.size
            self._write_seconds += self._clock.elapsed() - began
        finally:
            self._writing = 0

    def put(self, name: str, data: bytes | memoryview) -> None:
        """Put an object. An earlier inventory no longer closes the disk."""
        if self._disk.inventory is not None:
            self._know(inventory=None)
        self.put_last(name, data)

    def ensure(self, name: str, data: bytes) -> None:
        """Put an object that may be there before, whole or torn. If it is whole, write nothing."""
        size = self.store.head(name)
        if size is not None:
            if size == len(data) and self.store.get(name) == data:
                return
            self.remove(name)
        self.put(name, data)

    def remove(self, name: str) -> None:
        """Remove an object. An earlier inventory no longer closes the disk."""
        if self._disk.inventory is not None:
            self._know(inventory=None)
        self.store.delete(name)

    def put_last(self, name: str, data: bytes | memoryview) -> None:
        """Put an object that no inventory lists."""
        self._check_there()
        self.store.put_new(name, data)
        self._monitor.progress(stored=len(data))

    def closed(self, generation: int, inventory: str) -> None:
        """Keep which inventory closes the disk."""
        self._know(
            generation=generation,
            inventory=inventory,
            closed_by=generation,
            closed_with=inventory,
            closed_at=int(self._clock.now()),
            write_ms=round(1000 * self._write_seconds),
            write_bytes=self._write_bytes,
        )

    def erase(self) -> None:
        """Remove the set's folder from a disk that holds nothing of the set, so that nobody ships it.

        Raises StoreError, MediaError.
        """
        self.close()
        with told(str(self._folder)):
            shutil.rmtree(self._folder)
        with suppress(OSError):  # if another set has a folder there, the note belongs to that set
            self._folder.parent.rmdir()
            (self.path / layout.DISK_README).unlink()
        self._kept.forget(self._disk)

    def close(self) -> None:
        if hasattr(self, "_journal"):
            with suppress(OSError):  # an earlier call has reported failed writes
                self._journal.close()
        self.store.close()

    def _know(self, **changes: object) -> None:
        self._disk = replace(self._disk, **changes)  # type: ignore[arg-type]
        self._kept.know(self._disk)

    def _check_there(self) -> None:
        """Raise MediaError disk-missing unless the disk that was opened still lies at the path."""
        if not self.store.lies_at(str(self._folder)):
            raise MediaError(
                "disk-missing",
                f"disk {self.number} is no longer there",
                subject=str(self.path),
                hint="attach it again and run the same command; it goes on from the written data",
            )

    def _record(self, section: Section) -> None:
        """Journal an archive only now that it is durable, because a resumed run believes the journal."""
        try:
            self._journal.write(section.encode())
            self._journal.flush()
            os.fsync(self._journal.fileno())
        except OSError as error:
            raise unwritable(self._kept.journal(self.number), error) from error
        self.sections.append(section)

    def _read_label(self) -> Label | None:
        if self.store.head("label") is None:
            return None
        signed = envelope.read(self.store.get("label"), f"{self.store.address}/label")
        return signed.verify(Label, self._identity.public_key)

    def _put_documents(self) -> None:
        for name, data in self._identity.documents.items():
            if self._kept.state.slots_on_disk or not name.startswith("slots/"):
                self.ensure(name, data)
        readme = self.path / layout.DISK_README
        with told(str(readme)), suppress(FileExistsError), open(readme, "x", encoding="utf-8") as file:
            file.write(README)

    def _put_label(self) -> None:
        identity = self._identity
        label = Label(
            vault=identity.vault,
            vault_name=identity.vault_name,
            machine=identity.machine,
            machine_name=identity.name,
            public_key=identity.public_key.hex(),
            set=self._kept.state.set,
            number=self.number,
            disk=self._disk.disk,
            created=int(self._clock.now()),
        )
        self.put("label", envelope.sign(label, identity.signing_key))

    def _take_up(self) -> list[Section]:
        """Return the archives of earlier runs on which this run can build.

        An archive in the journal counts if it is listed with the right size; the newest of them are read
        again. An archive that never reached the journal is read whole. Damaged archives are removed and
        written again.
        """
        listed = dict(self.store.list("archives"))
        journal = read_journal(self._kept, self.number, self._monitor)
        kept = [s for s in journal if listed.get(layout.archive_name(s.archive.name)) == s.archive.size]
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
        return read_section(self.store, name, self._identity.master.key_id)


def read_journal(kept: KeptSet, number: int, monitor: Monitor) -> list[Section]:
    """Return the durable archives of a disk, as the home knows them. The disk need not be attached."""
    damaged = f"the journal of disk {number} is damaged; what it held is read or written again"
    return read_sections(kept.journal(number), damaged, monitor)


def attach(
    home: Home, kept: KeptSet, path: Path, monitor: Monitor, use_at_most: int | None = None
) -> DiskWriter:
    """Return the disk of the set at `path`, known by its label, or begin the set's next disk.

    Raises MediaError, StoreError, UsageError.
    """
    check_disk(path)
    number = number_at(path, kept.state.set)
    known = kept.state.disks_by_number
    if number is None:
        begun = [d for d in kept.state.disks if d.label is not None]
        disk = DiskState(
            number=max((d.number for d in begun), default=0) + 1,
            disk=random_id(),
            mounted=_has_own_file_system(path, home),
        )
        if not disk.mounted and any(d.mounted for d in begun if not d.dropped):
            raise MediaError(
                "disk-missing",
                "no disk is mounted at this path",
                subject=str(path),
                hint="it is a folder of the system's own disk, and the other disks of this set were mounted: "
                "mount the next one, and give its path",
            )
        _check_size(path, use_at_most)
        kept.know(disk)
    elif number not in known:
        raise _foreign(path)
    elif (disk := known[number]).dropped:
        raise MediaError(
            "disk-foreign",
            f"this is disk {number} of the set, which was given up",
            subject=str(path),
            hint="give another disk; or clear this one first",
        )
    writer = DiskWriter(home, kept, disk, path, monitor, use_at_most)
    try:
        writer.begin()
    except BaseException:
        writer.close()
        raise
    return writer


def check_grant(use_at_most: int | None) -> None:
    """Raise UsageError if --use-at-most grants less than any disk needs."""
    if use_at_most is not None and use_at_most < LEAST:
        raise UsageError(
            "usage",
            f"no disk could hold anything: {use_at_most >> 10:,} KiB are granted, and at least {LEAST >> 10:,} KiB are needed",
            subject="--use-at-most",
            hint="grant more, or leave the option out",
        )


def _check_size(path: Path, use_at_most: int | None) -> None:
    """Raise MediaError disk-small if a disk has no room even to begin with.

    Raises UsageError as `check_grant`.
    """
    check_grant(use_at_most)
    with LocalStore.open(str(path), read_only=True) as store:
        room = store.free_bytes()
    if room < LEAST:
        raise MediaError(
            "disk-small",
            f"the disk has {room >> 10:,} KiB left, and at least {LEAST >> 10:,} KiB are needed",
            subject=str(path),
            hint="make room on it, or give another disk; the same command goes on",
        )


def _has_own_file_system(path: Path, home: Home) -> bool:
    """Return whether `path` lies on a medium other than the system's own disk and its memory.

    /run and /media may lie in memory.
    """
    device = os.stat(path).st_dev
    own = {os.stat(p).st_dev for p in (os.path.abspath(os.sep), home.path)}
    return device not in own and mounted_kinds().get(device) not in ("tmpfs", "ramfs")


def _foreign(path: Path) -> MediaError:
    return MediaError(
        "disk-foreign",
        "this disk carries the name of the set that this home is writing, and is not one of its disks",
        subject=str(path),
        hint="attach the disk that the export was begun on and run the same command again; another disk needs its "
        f"folder {layout.DISK_FOLDER}/ moved away first",
    )
