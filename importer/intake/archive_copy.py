"""The copying of archives from a shipped disk into the vault: whole, or the whole records of damaged ones."""

import mmap
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from formats import layout
from formats.documents.damage import Replaced
from formats.documents.manifest import Manifest
from formats.errors import (
    FormatError,
    IntegrityError,
    MediaError,
    NameHeldByOtherError,
    StoreError,
    VaultError,
    damage_aside,
)
from formats.ids import KeyId
from formats.monitor import Finding, Monitor
from formats.rules.replacements import Stock, index_objects, joined, sections, stand_in
from formats.store.contract import Guarded, Octets
from formats.tables.archive import ARCHIVE_SIZE_MAX, METADATA_CLASS
from formats.tables.holdings import Holding
from formats.tables.needs import Need, all_of
from formats.tables.sections import Section, section_of
from importer.intake.import_result import ImportResult, ObjectOutcome
from importer.intake.intake import Disk, fetch_archive
from importer.vault.archives import own_index, read_whole
from importer.vault.points import load_needs
from importer.vault.salvage import salvage
from importer.vault.vault import Vault, put_whole
from importer.vault.want_lists import put_saved, sections_in, sign_replacements

T = TypeVar("T")

PUTS_MAX = 4  # archives in flight to a vault that lies behind a network (PROTOCOL 3)
SALVAGED = ("object-damaged", "io-error", "ARCH-1", "ARCH-2", "ARCH-3", "IDX-1", "IDX-2", "IDX-3", "IDX-4")


def side_by_side(threads: int, action: Callable[[T], None], items: Iterable[T]) -> None:
    """Do `action` for each item, in so many threads.

    Raises the first error after the running actions have ended. No further action begins.
    """
    with ThreadPoolExecutor(threads, thread_name_prefix="import") as pool:
        try:
            for _ in pool.map(action, items):
                pass
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class ReadBuffer(threading.local):
    """The memory into which a thread reads archives: each has its own, and unused pages cost nothing."""

    def __init__(self) -> None:
        self.view = memoryview(mmap.mmap(-1, ARCHIVE_SIZE_MAX))


class ImportState:
    """The state that the imports of several disks share.

    `stocks` are the vault's archives by key. `held` maps the names of archives in the vault to their sizes,
    and grows with the import. `takers` threads take archives from each disk: one thread for a local vault.
    Over a network, the disks share `PUTS_MAX` archives in flight to the vault.
    """

    def __init__(
        self, vault: Vault, stocks: Mapping[str, Stock], held: Iterable[tuple[str, int]], disks: int
    ) -> None:
        self.vault = vault
        self.stocks = stocks
        self.held = dict(held)
        self.replaced: list[tuple[str, Replaced]] = []  # by key id
        self.lock = threading.Lock()
        self.takers = max(1, PUTS_MAX // disks) if isinstance(vault.store, Guarded) else 1
        self.puts = threading.Semaphore(PUTS_MAX)
        self.space = ReadBuffer()

    def has(self, need: Need, key_id: str) -> bool:
        """Return whether the vault holds all live records of an archive, in it or in others."""
        if self.held.get(layout.archive_name(need.archive.name)) == need.archive.size:
            return True
        return self.stocks[key_id].lacking(need) is None

    def has_copied(self, need: Need, key_id: str) -> bool:
        """Return whether the authority itself copied all live records of an archive into others.

        Then no disk need bring the archive.
        """
        return self.stocks[key_id].proven.lacking(need) is None

    def sign_replacements(self) -> None:
        with self.lock:
            entries, self.replaced = self.replaced, []
            for key_id in sorted({key_id for key_id, _ in entries}):
                signed = [entry for key, entry in entries if key == key_id]
                sign_replacements(self.vault, key_id, signed, copied=True)


def put(result: ImportResult, vault: Vault, name: str, data: Octets, monitor: Monitor) -> None:
    """Put an object, also if the vault holds other bytes under its name.

    Those bytes are damaged: they are a finding, and the disk's bytes replace them.
    """
    if put_whole(vault, name, data):
        result.healed.add(f"vault/{name}")
        find(
            monitor,
            "object-damaged",
            f"vault/{name}",
            "its bytes are not those of its name; the disk's take their place",
        )


def find(monitor: Monitor, code: str, subject: str, detail: str) -> None:
    monitor.finding(Finding(code=code, subject=subject, detail=detail))


def load(disk: Disk, manifest: Manifest, monitor: Monitor) -> list[Need]:
    """Return the need list of a manifest; an unreadable list is a finding, and counts as empty."""
    try:
        return load_needs(disk.store, manifest, disk.buckets)
    except (FormatError, IntegrityError, StoreError, MediaError) as error:
        find(monitor, error.code, f"{disk.name}: need list", error.what)
        return []


def needed_of(disk: Disk, monitor: Monitor, result: ImportResult) -> list[Need]:
    """Return the needs that this disk can meet, and count its other archives in `result.not_needed`.

    The needs are those of the manifests on the disk. In an open set, they are all archives that the inventory
    lists. Only welcome archives count.
    """
    listed = [all_of(holding) for holding in disk.archives.values()]
    wanted: list[Need] = [] if disk.manifests else listed
    for manifest, _ in disk.manifests:
        wanted += load(disk, manifest, monitor) or listed  # without its need list, all archives
    needed = [n for n in joined(wanted) if disk.welcome is None or n.archive.name in disk.welcome]
    result.not_needed = len(disk.archives.keys() - {need.archive.name for need in needed})
    return [
        need
        for need in needed
        if need.archive.name in disk.archives or layout.archive_name(need.archive.name) in disk.listed
    ]


def take_archive(
    work: ImportState, result: ImportResult, need: Need, reading: threading.Lock, monitor: Monitor
) -> None:
    """Put an archive if the vault lacks it or holds other bytes under its name."""
    holding = need.archive
    name = layout.archive_name(holding.name)
    size = work.held.get(name)
    if size is not None and _is_whole(work, holding):
        with work.lock:
            result.announced += holding.archive_class == METADATA_CLASS
            result.already += 1
        result.objects[name] = ObjectOutcome("there", holding.size)
        if holding.archive_class == METADATA_CLASS:  # such an archive lies on every disk, and is small
            _check_copy(work, result, holding, reading, monitor)
        return
    if size is not None:
        find(
            monitor,
            "object-damaged",
            f"vault/{name}",
            "the vault's copy is not what its name says; the disk's takes its place",
        )
    elif work.has_copied(need, result.member.key_id):
        _note_elsewhere(work, result, holding)
        return
    try:
        with reading:
            data = fetch_archive(result.disk, holding, work.space.view)
        section, key_id = section_of(data, holding.name, name)
        if key_id.hex() != result.member.key_id:
            raise VaultError("archive-foreign", "the archive was sealed by another machine", subject=name)
        if section.archive != holding:
            raise IntegrityError("object-damaged", "the archive is not the one that is needed", subject=name)
    except (FormatError, IntegrityError, VaultError, StoreError, MediaError) as error:
        if size is None and work.has(
            need, result.member.key_id
        ):  # its machine sent the damaged records again
            _note_elsewhere(work, result, holding)
        elif error.code != "not-found":  # a listed archive that is not there is a finding already
            told = error.what
            if error.code in SALVAGED and size is None:
                told += _salvage(work, result, need, reading)
            find(monitor, error.code, f"{result.disk.name}/{name}", told)
        return
    with work.puts:
        if size is not None:  # safe: the disk holds it until this import says otherwise
            work.vault.store.delete(name)
        new = _put(work.vault, name, data)
    work.held[name] = holding.size
    result.objects[name] = ObjectOutcome("imported" if new else "there", holding.size)
    with work.lock:
        result.copied += new
        result.copied_bytes += len(data) if new else 0
        result.already += not new  # another disk of this import brought it
    monitor.progress(done=len(data), stored=len(data) if new else 0, files=1)


def _put(vault: Vault, name: str, data: Octets) -> bool:
    """Put an archive, also if somebody has put other bytes under its name since the listing. Return whether it is new."""
    try:
        return vault.store.put_new(name, data)
    except NameHeldByOtherError:
        return put_whole(vault, name, data)


def _note_elsewhere(work: ImportState, result: ImportResult, holding: Holding) -> None:
    """Note that other archives of the vault hold the needed records of an archive."""
    with work.lock:
        result.already += 1
    detail = "other archives hold what is needed of it"
    result.objects[layout.archive_name(holding.name)] = ObjectOutcome("there", holding.size, detail=detail)


def _check_copy(
    work: ImportState, result: ImportResult, holding: Holding, reading: threading.Lock, monitor: Monitor
) -> None:
    """Report damage of a disk's archive that the vault holds already: the disk differs from its inventory."""
    try:
        with reading:
            fetch_archive(result.disk, holding, work.space.view)
    except (IntegrityError, StoreError, MediaError) as error:
        if error.code != "not-found":  # a finding already
            find(monitor, error.code, f"{result.disk.name}/{layout.archive_name(holding.name)}", error.what)


def _is_whole(work: ImportState, holding: Holding) -> bool:
    """Return whether the vault's own copy of an archive is whole.

    Any machine may have put it, and a receipt will vouch for it.
    """
    for _ in range(2):
        with damage_aside():
            read_whole(work.vault.store, holding, work.space.view)
            return True
    return False


def _salvage(work: ImportState, result: ImportResult, need: Need, reading: threading.Lock) -> str:
    """Put the whole records of a damaged archive that the vault lacks, and return the result in words."""
    disk, holding, key_id = result.disk, need.archive, result.member.key_id
    section = _index_on(disk, holding) or sections_in(work.vault, [holding]).get(holding.name)
    if section is None:
        return "; no index of it is to be had, so none of its records can be believed"
    stock = work.stocks[key_id]
    short = stock.lacking(need)
    wanted = short.is_live if short else _none
    try:
        with reading:
            saved = salvage(disk.store, holding, section, KeyId(bytes.fromhex(key_id)), wanted)
    except (FormatError, StoreError, MediaError) as error:
        return f"; nothing of it was saved: {error.what}"
    result.objects[layout.archive_name(holding.name)] = ObjectOutcome(
        "damaged", holding.size, saved.records, len(saved.whole), saved.damaged
    )
    if saved.archive is not None:
        with work.puts:
            new = put_saved(work.vault, saved.archive)
        entries = stand_in([(need, section)], Section.of(saved.archive))
        with work.lock:
            work.replaced += [(key_id, entry) for entry in entries]
            stock.there.add((layout.archive_name(saved.archive.name), saved.archive.size))
            stock.add(entries, copied=True)
            result.salvaged += saved.archive.records if new else 0
            result.copied_bytes += saved.archive.size if new else 0
    return f"; {saved.words()}"


def _none(_: int) -> bool:
    return False


def _index_on(disk: Disk, holding: Holding) -> Section | None:
    """Return the index of an archive from its own end, or from the disk's index objects.

    Return None if the disk does not give it. The vault may still have it.
    """
    with suppress(StoreError, MediaError):
        if (section := own_index(disk.store, holding)) is not None:
            return section
    with suppress(StoreError, MediaError):
        return sections(index_objects(disk.store), [holding])[0].get(holding.name)
    return None
