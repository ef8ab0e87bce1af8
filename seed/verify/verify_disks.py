"""The verification of disks: they are read back with the keys, before they leave, and certified.

The certificate is the inventory of the next generation: the same list, and the figures of the reading. Only
the machine that wrote a disk can sign one, and only for a disk that an inventory closes. It is put last,
after the whole reading. A stopped reading leaves nothing behind.

If a set is still open, damaged archives are struck from the home's journal of durable archives, and small
objects are removed. So the same export writes them again.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from mmap import mmap

from formats import layout
from formats.documents import envelope
from formats.documents.disk import Inventory, Verified
from formats.errors import Interrupted, MediaError, OffseedError, StoreError
from formats.ids import SetId, hex_digest
from formats.monitor import Monitor
from formats.records import write_private
from formats.store.clock import SYSTEM, Clock
from formats.tables.archive import ARCHIVE_SIZE_MAX
from seed.home.disk_sets import DiskState, KeptSet
from seed.home.home import Home
from seed.targets.disk_writer import read_journal
from seed.verify.readback import Folder, KnownDisk, MasterKeys, Readback


@dataclass(frozen=True)
class DiskVerdict:
    """The result of verifying one folder: the reading, or an `error` that ended it.

    `generation` belongs to the inventory that closes the disk now, 0 without one. `certified` says that this
    verification wrote it.
    """

    folder: Folder
    read: Readback
    seconds: float = 0.0
    generation: int = 0
    certified: bool = False
    error: OffseedError | None = None


def is_of(home: Home, folder: Folder) -> bool:
    """Return whether the folder belongs to this home's machine, which wrote it or got it from a vault."""
    if folder.label is None:
        return home.set_folder(folder.set).exists()
    return folder.label.machine == home.identity.machine


def is_own(home: Home, folder: Folder) -> bool:
    """Return whether the machine of this home wrote the folder."""
    return is_of(home, folder) and (folder.label is None or folder.label.authority is None)


def verify(
    disks: Sequence[Sequence[Folder]], keys: MasterKeys, home: Home | None, monitor: Monitor
) -> list[DiskVerdict]:
    """Read back the folders on each of `disks`, all disks at once.

    Certify those that the machine of `home` wrote. The caller has locked the home. Raises Interrupted,
    HomeError.
    """
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool, ThreadPoolExecutor(len(disks)) as threads:
        clock = home.clock if home is not None else SYSTEM
        work = _Work(keys, home, _kept_sets(home, disks), pool, monitor, clock)
        running = [threads.submit(work.disk, folders) for folders in disks]
        return [verdict for disk in running for verdict in disk.result()]


def _kept_sets(home: Home | None, disks: Sequence[Sequence[Folder]]) -> dict[SetId, KeptSet]:
    """Return the home's state of its own sets among these."""
    if home is None:
        return {}
    sets = {f.set for folders in disks for f in folders if is_own(home, f)}
    return {s: KeptSet.read(home.set_folder(s)) for s in sets if home.set_folder(s).exists()}


@dataclass(frozen=True)
class _Work:
    """The state that the threads share."""

    keys: MasterKeys
    home: Home | None
    sets: dict[SetId, KeptSet]
    pool: ThreadPoolExecutor
    monitor: Monitor
    clock: Clock

    def disk(self, folders: Sequence[Folder]) -> list[DiskVerdict]:
        buffer = memoryview(mmap(-1, ARCHIVE_SIZE_MAX))  # page-aligned; unused pages take no memory
        return [self._folder(folder, buffer) for folder in folders]

    def _folder(self, folder: Folder, buffer: memoryview) -> DiskVerdict:
        began = self.clock.elapsed()
        kept = self.sets.get(folder.set)
        state = _known(kept, folder)
        known = None
        if kept is not None and state is not None:
            journal = read_journal(kept, folder.number, self.monitor)
            known = KnownDisk(state, tuple(section.archive for section in journal))
        read = Readback(folder, self.keys, self.pool, buffer, self.monitor, known)
        verdict = DiskVerdict(folder, read)
        try:
            read.run()
            certified = self._certify(read, state)
            if kept is not None and state is not None and read.damaged:
                self._strike(kept, read)
        except Interrupted:
            raise
        except OffseedError as error:
            return replace(verdict, error=error, seconds=self.clock.elapsed() - began)
        generation = read.closed.inventory.generation if read.closed is not None else 0
        return replace(
            verdict,
            seconds=self.clock.elapsed() - began,
            generation=generation + 1 if certified else generation,
            certified=certified,
        )

    def _certify(self, read: Readback, state: DiskState | None) -> bool:
        """Put the next inventory if possible. Otherwise report the reason."""
        folder, home = read.folder, self.home
        why = ""
        if home is None or not is_own(home, folder):
            why = "only the machine that wrote it can sign one, with its own home"
        elif read.closed is None:
            why = "no inventory that can be believed closes it"
            if (kept := self.sets.get(folder.set)) is not None and kept.state.status == "open":
                why += "; the same export, run again, does"
        elif folder.set in self.sets and state is None:
            why = (
                "it is none of the disks that this home has written for the set, or was given up by --without"
            )
        else:
            try:
                self._put(home, read)
            except (MediaError, StoreError) as error:
                why = error.what
        if why:
            which = f"disk {folder.number} of set {folder.set[:8]}, at {folder.disk}"
            self.monitor.notice(f"cannot sign the result onto {which}: {why}")
        return not why

    def _put(self, home: Home, read: Readback) -> None:
        """Put the next inventory with the figures of the reading.

        Raises MediaError, StoreError, HomeError.
        """
        assert read.closed is not None
        folder, now = read.folder, int(home.clock.now())
        inventory: Inventory = replace(
            read.closed.inventory,
            generation=read.closed.inventory.generation + 1,
            previous=read.closed.digest,
            created=now,
            verified=Verified(
                objects=read.objects,
                bytes=read.bytes,
                records=read.records,
                damaged=len(read.damaged),
                cached=read.cached,
                finished=now,
            ),
        )
        data = envelope.sign(inventory, home.identity.signing_key)
        name = layout.numbered("inventories", inventory.generation, hex_digest(data))
        folder.store.put_new(name, data)
        if (kept := self.sets.get(folder.set)) is not None:
            state = _known(kept, folder)
            assert state is not None
            digest = hex_digest(data)
            kept.know(replace(state, generation=inventory.generation, inventory=digest, verified_at=now))

    def _strike(self, kept: KeptSet, read: Readback) -> None:
        """Make the export continue with the damaged objects, if it can. Tell the operator the next step."""
        folder, home = read.folder, self.home
        where = f"disk {folder.number} of set {folder.set[:8]}, at {folder.disk},"
        assert home is not None
        if kept.state.status != "open" or home.state.set != folder.set:
            self.monitor.notice(
                f"{where} is damaged, and its export has ended: its whole objects can still be imported; to write "
                "everything anew, begin another set with `seed export --again`"
            )
            return
        journal = read_journal(kept, folder.number, self.monitor)
        whole = [s for s in journal if layout.archive_name(s.archive.name) not in read.damaged]
        if len(whole) < len(journal):
            write_private(kept.journal(folder.number), b"".join(s.encode() for s in whole))
        state = _known(kept, folder)
        assert state is not None
        kept.know(replace(state, inventory=None))  # the export closes it anew
        with suppress(MediaError, StoreError):
            _make_way(home, read)
        hint = "run the same export again with this disk: it writes again what is damaged"
        if "label" in read.damaged:
            hint = f"nobody will believe its label: run the same export with another disk and --without {folder.number}"
        self.monitor.notice(f"{where} is damaged, and its export goes on: {hint}")


def _make_way(home: Home, read: Readback) -> None:
    """Remove damaged objects that are written again when the disk is closed.

    Write damaged documents of the machine again, because the closing would not.
    """
    folder, documents = read.folder, home.identity.documents
    for name in read.damaged:
        if name != "label" and not name.startswith("archives/"):
            folder.store.delete(name)
            if name in documents:
                folder.store.put_new(name, documents[name])


def _known(kept: KeptSet | None, folder: Folder) -> DiskState | None:
    """Return the home's state of this very disk, unless it was given up."""
    for disk in kept.state.disks if kept is not None else ():
        same = folder.label is None or folder.label.disk == disk.disk
        if disk.number == folder.number and same and not disk.dropped:
            return disk
    return None
