"""The common state of every run over earlier points.

It holds the vault, the home's cache, the way to the vault, and the parts of those points on which the run may
build.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from formats import layout
from formats.documents import envelope
from formats.documents.manifest import Manifest
from formats.errors import (
    IntegrityError,
    NameHeldByOtherError,
    NotFoundError,
    VaultError,
    damage_aside,
)
from formats.ids import ArchiveName, HexDigest, MachineId, PointId, hex_digest
from formats.monitor import Finding, Monitor
from formats.rules.replacements import Stock
from formats.rules.retention import RetentionTerms, condemned, read_kept
from formats.store.clock import Clock
from formats.store.contract import Store
from formats.store.local import LocalStore
from formats.tables.needs import Need
from formats.tables.sections import Section
from formats.view.copies import put_document
from seed.home.broken_records import found_broken
from seed.home.disk_sets import kept_sets
from seed.home.home import Home
from seed.identity.join_request import put_request
from seed.points import previous_rows as basis
from seed.points.layered_store import LayeredStore, believed
from seed.points.machine_keys import check_active, own_machines
from seed.points.points import Point, points
from seed.session.awaited_archives import promised
from seed.session.commit import settle_sequence
from seed.session.new_manifest import Description
from seed.targets.cache_trim import needed_in, trim
from seed.targets.disk_pool import MetadataCache
from seed.targets.vault_upload import Uplink

REACH = 3600.0  # seconds from the last look at the condemned list to the manifest, at most (SWEEP-3)


class ChangedError(VaultError):
    """An error: archives on which a run builds were condemned while it went on."""

    def __init__(self, vault: str, archives: int) -> None:
        super().__init__(
            code="vault-changed",
            what=f"while this went on, the datacenter condemned what it builds upon ({archives:,} archives)",
            subject=vault,
            hint="run the same command again: it reads the condemned data and sends it anew",
        )


class _Moment:
    """A time on two clocks. Nobody sets the first; the second goes on while the machine sleeps."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.elapsed(), clock.now()

    @property
    def is_late(self) -> bool:
        """Whether it is too late to put a manifest after a reading at that time."""
        clock, (elapsed, now) = self._clock, self._began
        return max(clock.elapsed() - elapsed, clock.now() - now) > REACH


@dataclass
class Session:
    """The common state of all steps of a backup.

    `folder` holds the work of a stopped run. `kept` holds the home's knowledge of this machine's points.
    `own` holds all knowledge of them: from the home, and the rest from the vault.
    """

    home: Home
    vault: Store
    kept: LayeredStore
    own: LayeredStore
    cache: MetadataCache
    uplink: Uplink
    folder: Path
    monitor: Monitor
    described: tuple[Need, ...] = ()  # of a partial point of this run
    _terms: dict[MachineId, RetentionTerms] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def open(cls, home: Home, vault: Store, monitor: Monitor) -> Iterator["Session"]:
        with ExitStack() as stack:
            yield cls._opened(home, vault, monitor, stack)

    @classmethod
    def _opened(cls, home: Home, vault: Store, monitor: Monitor, stack: ExitStack) -> "Session":
        key_id = home.identity.master.key_id
        folder = home.path / "run"
        folder.mkdir(mode=0o700, exist_ok=True)
        cache = MetadataCache(home.path / "cache", home.identity.machine, key_id, take_up=False)
        stack.callback(cache.close)
        stores: list[Store] = [cache.store]
        for kept in kept_sets(home):
            if kept.state.status != "finished" or not kept.cache.is_dir():
                continue  # it may never become a point; or the vault has the objects that the home has lost
            store = LocalStore.open(str(kept.cache), read_only=True)
            stack.callback(store.close)
            stores.append(store)
        gone = condemned(home.identity.view(vault), monitor)
        uplink = Uplink(vault, folder / "sent", monitor, gone)
        stack.callback(uplink.close)
        own = LayeredStore([*stores, vault], believed(home), gone)
        return cls(home, vault, LayeredStore(stores), own, cache, uplink, folder, monitor)

    def points(self) -> list[Point]:
        """Return all unexpired points of this machine, and of the machines that it replaced."""
        machines = own_machines(self.home.identity, [self.vault], self.monitor)
        expired = self._expired()
        found = points(self.own, machines, self.monitor)
        return [point for point in found if point.manifest.point not in expired]

    def stock(self) -> Stock:
        """Return the vault's archives that are not condemned by now, and their replacements there."""
        return self._stock(self._condemned())

    def _stock(self, gone: Collection[str]) -> Stock:
        key_id = self.home.identity.master.key_id
        found = LayeredStore([self.vault], believed(self.home), gone).stock(key_id.hex())
        # If a broken archive is not in the vault, its replacements were found to be untrue.
        for need in found_broken(self.home):
            if not found.holds(need.archive):
                found.replaced.pop(need.archive, None)
        return found

    def _condemned(self) -> frozenset[str]:
        return condemned(self.home.identity.view(self.vault), self.monitor)

    def kept_of(self, machine: MachineId) -> RetentionTerms:
        """Return the authority's decisions about a machine's points. Read them once. Raises StoreError."""
        if machine not in self._terms:
            view = self.home.identity.view(self.vault)
            self._terms[machine] = read_kept(view, machine, self.monitor)
        return self._terms[machine]

    def _expired(self) -> set[PointId]:
        """Return the expired points of this machine, and of the machines that it replaced."""
        identity = self.home.identity
        return {
            p for machine in (identity.machine, *identity.replaced) for p in self.kept_of(machine).expired
        }

    def settle(self) -> None:
        """Put again the objects of this machine that the vault lacks.

        A run may have been killed before it put them, or the vault was rolled back or made again.
        """
        for name in put_request(self.vault, self.home.identity):
            detail = "damaged there; have the datacenter run `importer validate`, and the next backup puts it again"
            self._find("object-damaged", f"{self.vault.address}/{name}", detail)
        settle_sequence(self.home)
        standing_in = {e.by.holding.name for said in self.own.replacements() for e in said.replaced}
        trim(self.cache.store, self._expired(), standing_in)
        prefix = layout.manifest_prefix(self.home.identity.machine)
        there = {name for name, _ in self.vault.list(prefix)}
        lacking = [name for name, _ in self.cache.store.list(prefix) if name not in there]
        missing = [name for name in lacking if self._may_put(name)]
        for folder in ("archives", "indexes", "needs") if missing else ():
            for name, _ in self.cache.store.list(folder):
                self._put_again(name)
        for name in filter(self._may_put, missing):  # ask again, because the steps before may have taken long
            if layout.is_name_of(name, self.home.state.acknowledged or HexDigest("")):
                detail = (
                    "the vault lists it no longer: it was rolled back, or has lost it; it is put there again"
                )
                self._find("vault-lost", f"{self.vault.address}/{name}", detail)
            self._put_again(name)

    def _may_put(self, name: str) -> bool:
        """Return whether a manifest that the vault lacks may be put now.

        A manifest that the vault never took is given up if archives on which it builds were condemned or
        deleted meanwhile (SWEEP-3). The next point has all that is there.
        """
        known = self.home.state.acknowledged or HexDigest("")
        taken = [n for n, _ in self.cache.store.list("manifests") if layout.is_name_of(n, known)]
        if any(layout.number_of(name) <= layout.number_of(n) for n in taken):
            return True
        gone = self._condemned()
        with damage_aside():
            manifest = envelope.read(self.cache.store.get(name), name).peek(Manifest)
            needed, objects = needed_in(self.cache.store, manifest)
            found = promised(self.home, self.points(), self.vault, self.own, self.monitor)
            waiting = {name for name, _ in found}
            if gone.isdisjoint(objects) and not self._lacking(needed, waiting, gone):
                return True
        self.monitor.notice(
            "a point that the vault never took builds upon data that is condemned or gone, and is given up"
        )
        self.cache.store.delete(name)
        return False

    def take_up(self, catalogs: list[Section]) -> None:
        """Reuse the catalog archives of a run that stopped because of condemned archives.

        The catalog archives that this run seals are added to `catalogs`.
        """
        there = {n for n, _ in self.cache.store.list("archives") if n not in self.own.condemned}
        catalogs[:] = [s for s in catalogs if layout.archive_name(s.archive.name) in there]
        self.cache.sections = catalogs

    @contextmanager
    def ground(self) -> Iterator[None]:
        """Treat unreadable indexes of archives on which the run builds as condemned. Raises ChangedError."""
        try:
            yield
        except (IntegrityError, NotFoundError) as error:
            raise ChangedError(self.vault.address, 1) from error

    def publish(
        self, described: Description, signed: bytes, waiting: Collection[ArchiveName] = ()
    ) -> Manifest:
        """Write from a new manifest's metadata to the manifest in the vault.

        The vault may lack the `waiting` archives. Raises VaultError machine-replaced if another machine
        replaced this one meanwhile. Raises ChangedError.
        """
        check_active(self.home.identity, self.vault, self.monitor)
        for section in self.cache.sections:
            if section.archive.name in described.archives:
                name = layout.archive_name(section.archive.name)
                self.vault.put_new(name, self.cache.store.get(name))
        listed = dict(self.vault.list("needs"))  # most of a need list is that of the point before
        for name, data in described.objects.items():
            self.cache.put(name, data)
            if listed.get(name) != len(data):
                self.vault.put_new(name, data)
        looked = self._look_again(described, waiting)
        manifest = envelope.read(signed, "manifest").peek(Manifest)
        found = hex_digest(signed)
        name = layout.numbered(layout.manifest_prefix(manifest.machine), manifest.sequence, found)
        self.home.spend(manifest.sequence, found)
        self.cache.put(name, signed)
        if looked.is_late:  # this machine was asleep
            self._look_again(described, waiting)
        put_document(self.vault, name, signed)
        return manifest

    def _look_again(self, described: Description, waiting: Collection[ArchiveName]) -> "_Moment":
        """Check last before a manifest that nothing on which it builds is condemned or gone (SWEEP-3).

        Prune looks again before it deletes an object that was condemned after this reading. By that time the
        manifest is there. Return the time when the reading began. Raises ChangedError.
        """
        while True:
            began, gone = _Moment(self.home.clock), self._condemned()
            lacking = self._lacking(described.needed, waiting, gone)
            if lacking or not gone.isdisjoint(described.objects):
                raise ChangedError(self.vault.address, len(lacking))
            if not began.is_late:
                return began

    def _lacking(
        self, needed: Iterable[Need], waiting: Collection[ArchiveName], gone: Collection[str]
    ) -> list[Need]:
        """Return the needs that are not `waiting` to come, and are missing or condemned in the vault."""
        there = self._stock(gone)
        return [n for n in needed if n.archive.name not in waiting and there.lacking(n) is not None]

    def forget(self) -> None:
        """Delete the state of a finished run."""
        self.uplink.close()
        basis.forget(self.folder)
        (self.folder / "sent").unlink(missing_ok=True)

    def _put_again(self, name: str) -> None:
        """Put an object of the cache, if it is whole there. The vault's object under its name stays."""
        data = self.cache.store.get(name)
        try:
            if not layout.is_name_of(name, hex_digest(data)):
                raise IntegrityError(
                    "object-damaged", "the home's copy is damaged, and was not put there again"
                )
            put_document(self.vault, name, data)
        except (IntegrityError, NameHeldByOtherError) as error:
            self._find(error.code, f"{self.vault.address}/{name}", error.what)

    def _find(self, code: str, subject: str, detail: str) -> None:
        self.monitor.finding(Finding(code=code, subject=subject, detail=detail))
