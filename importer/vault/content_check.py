"""The content of archives, read once before a point earns a term: a name and a size prove nothing (SEEN-5).

An archive is not read again if a disk brought it, because an import reads each archive. It is not read again
either if a point that has its term needs it. A service that tells its own time has checked each upload. In
its vaults, an archive is read only if it came after a manifest that names it. Before that manifest, no other
machine can know its name.
"""

import mmap
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from formats import layout
from formats.errors import damage_aside
from formats.ids import ArchiveName, digest
from formats.monitor import Finding, Monitor
from formats.rules.replacements import Stock
from formats.store.contract import Guarded
from formats.tables.archive import ARCHIVE_SIZE_MAX
from formats.tables.needs import Need
from importer.vault.points import History, received_archives


class ContentCheck:
    """A check that archives in the vault have the content of their names; each is read once at most."""

    def __init__(self, history: History, there: Stock, monitor: Monitor) -> None:
        self._history = history
        self._store = history.vault.store
        self._there = there
        self._monitor = monitor
        self._wrong: set[ArchiveName] = set()
        self._read: set[ArchiveName] = set()

    def are_whole(self, needed: Iterable[Need]) -> bool:
        """Return whether the archives that a point needs have the content of their names. Raises StoreError.

        The caller names all archives that the point needs. Archives that replace one of them were read
        before.
        """
        for need in needed:
            name = need.archive.name
            if name in self._vouched or name in self._read or not self._there.holds(need.archive):
                continue
            self._read.add(name)
            if not self._is_whole(name):
                self._wrong.add(name)
                detail = "its bytes are not those of its name, so no point earns a term by it; `importer validate` deals with it"
                subject = layout.archive_name(name)
                self._monitor.finding(Finding(code="object-damaged", subject=subject, detail=detail))
        return self._wrong.isdisjoint(need.archive.name for need in needed)

    @cached_property
    def _vouched(self) -> set[ArchiveName]:
        history = self._history
        machines = {member.machine for member in history.line}
        listed = received_archives(history.vault, whole=True)
        found = {holding.name for holding, machine in listed if machine in machines}
        for manifest, signed in history.found:
            if manifest.point in history.kept.terms:
                found |= {need.archive.name for need in history.needed(signed) or ()}
        return found

    def _is_whole(self, name: ArchiveName) -> bool:
        store, place = self._store, layout.archive_name(name)
        if isinstance(store, Guarded):
            written = store.written(place)
            if written is not None and written.timestamp() < self._named.get(name, 0.0):
                return True
        with damage_aside():
            return digest(self._space[: store.get_into(place, self._space)]) == bytes(name)
        return False

    @cached_property
    def _named(self) -> Mapping[ArchiveName, float]:
        """The times, by the store's clock, at which the first manifest came that names an archive."""
        found: dict[ArchiveName, float] = {}
        for at, needed in self._came():
            for need in needed:
                found[need.archive.name] = min(at, found.get(need.archive.name, at))
        return found

    def _came(self) -> Iterator[tuple[float, list[Need]]]:
        for manifest, signed in self._history.all:
            prefix = layout.manifest_prefix(manifest.machine)
            written = self._store.written(layout.numbered(prefix, manifest.sequence, signed.digest))
            if written is not None:
                yield written.timestamp(), self._history.needed(signed) or []

    @cached_property
    def _space(self) -> memoryview:
        return memoryview(mmap.mmap(-1, ARCHIVE_SIZE_MAX))
