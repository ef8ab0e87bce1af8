"""What every run over earlier points works on: the vault, the home's cache, the way to the vault, and what of those points
may be built upon.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from formats import layout
from formats.documents import envelope
from formats.documents.manifest import Manifest
from formats.errors import FormatError, IntegrityError, MediaError, NameHeldByOtherError, StoreError
from formats.ids import HexDigest, hex_digest
from formats.keyed.catalog import Entry, PageRow
from formats.monitor import Finding, Monitor
from formats.replaced import Stock
from formats.store.contract import Store
from formats.store.local import LocalStore
from formats.tables.needs import Need
from seed import basis
from seed.commit import settle_sequence
from seed.disk_sets import kept_sets
from seed.home import Home
from seed.machines import check_active, own_machines
from seed.new_point import Description
from seed.placing import MetadataCache
from seed.reading import Point, PointReader, Union, points
from seed.rebuilding import rebuild
from seed.register import put_request
from seed.reuse import SAMPLE, SAMPLE_REBUILT, Reusable, reusable
from seed.uplink import Uplink


@dataclass
class Work:
    """What all steps of a backup work on. `folder` holds what a stopped run has done, `kept` what the home knows of this
    machine's points, `own` all that is known of them: from the home, and what is not there from the vault."""

    home: Home
    vault: Store
    kept: Union
    own: Union
    cache: MetadataCache
    uplink: Uplink
    folder: Path
    monitor: Monitor
    described: tuple[Need, ...] = ()  # by a partial point of this run

    @classmethod
    @contextmanager
    def open(cls, home: Home, vault: Store, monitor: Monitor) -> Iterator["Work"]:
        with ExitStack() as stack:
            yield cls._opened(home, vault, monitor, stack)

    @classmethod
    def _opened(cls, home: Home, vault: Store, monitor: Monitor, stack: ExitStack) -> "Work":
        key_id = home.identity.master.key_id
        folder = home.path / "run"
        folder.mkdir(mode=0o700, exist_ok=True)
        cache = MetadataCache(home.path / "cache", home.identity.machine, key_id, take_up=False)
        stack.callback(cache.close)
        stores: list[Store] = [cache.store]
        for kept in kept_sets(home):
            if kept.state.status != "finished" or not kept.cache.is_dir():
                continue  # it may never become a point; or the vault has what the home has lost
            store = LocalStore.open(str(kept.cache), read_only=True)
            stack.callback(store.close)
            stores.append(store)
        uplink = Uplink(vault, folder / "sent", monitor)
        stack.callback(uplink.close)
        own = Union([*stores, vault], believed(home))
        return cls(home, vault, Union(stores), own, cache, uplink, folder, monitor)

    def points(self) -> list[Point]:
        """All points of this machine, and of those whose place it took."""
        machines = own_machines(self.home.identity, [self.vault], self.monitor)
        return points(self.own, machines, self.monitor)

    def stock(self) -> Stock:
        """What the vault holds, and what stands in for others there."""
        key_id = self.home.identity.master.key_id
        return Union([self.vault], believed(self.home)).stock(key_id.hex())

    def settle(self) -> None:
        """Have the vault know what this machine has told it: a run was killed, or the vault was rolled back or made again."""
        put_request(self.vault, self.home.identity)
        settle_sequence(self.home)
        prefix = layout.manifest_prefix(self.home.identity.machine)
        there = {name for name, _ in self.vault.list(prefix)}
        missing = [name for name, _ in self.cache.store.list(prefix) if name not in there]
        for folder in ("archives", "indexes", "needs") if missing else ():
            for name, _ in self.cache.store.list(folder):
                self._put_again(name)
        for name in missing:
            if layout.is_name_of(name, self.home.state.acknowledged or HexDigest("")):
                detail = (
                    "the vault lists it no longer: it was rolled back, or has lost it; it is put there again"
                )
                self._find("vault-lost", f"{self.vault.address}/{name}", detail)
            self._put_again(name)

    def publish(self, described: Description, signed: bytes) -> Manifest:
        """From a new manifest's metadata to the manifest in the vault.

        Raises VaultError machine-replaced where another machine took this one's place meanwhile.
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
        manifest = envelope.read(signed, "manifest").peek(Manifest)
        found = hex_digest(signed)
        name = layout.numbered(layout.manifest_prefix(manifest.machine), manifest.sequence, found)
        self.home.spend(manifest.sequence, found)
        self.cache.put(name, signed)
        self.vault.put_new(name, signed)
        return manifest

    def forget(self) -> None:
        """What is finished is not gone on with."""
        self.uplink.close()
        basis.forget(self.folder)
        (self.folder / "sent").unlink(missing_ok=True)

    def _put_again(self, name: str) -> None:
        """Put an object of the cache, if it is whole there; what the vault holds under its name stays."""
        data = self.cache.store.get(name)
        try:
            if not layout.is_name_of(name, hex_digest(data)):
                raise IntegrityError(
                    "object-damaged", "the home's copy is damaged, and was not put there again"
                )
            self.vault.put_new(name, data)
        except (IntegrityError, NameHeldByOtherError) as error:
            self._find(error.code, f"{self.vault.address}/{name}", error.what)

    def _find(self, code: str, subject: str, detail: str) -> None:
        self.monitor.finding(Finding(code=code, subject=subject, detail=detail))


def believed(home: Home) -> dict[str, bytes]:
    """Whose replacements this machine builds upon: the authority's, and its own. Anybody else's might name an archive that
    only claims to hold what is then not sent."""
    identity = home.identity
    return {
        layout.REPLACEMENTS: bytes.fromhex(identity.authority),
        layout.offers_prefix(identity.machine): identity.public_key,
    }


@dataclass(frozen=True)
class Before:
    """What this point follows: the last of the usual items, the last of any, and the partial ones after it; and what of
    them may be reused."""

    readers: tuple[PointReader, ...] = ()
    reuse: Reusable = field(default_factory=Reusable)

    @classmethod
    def of(cls, work: Work) -> "Before":
        found = work.points()
        if found:  # another home of this machine, or the one before, may have made the newest
            work.home.spend(found[-1].manifest.sequence, found[-1].digest)
        whole = [p for p in found if p.manifest.point_kind != "partial"][-1:]
        usual = [p for p in found if p.manifest.point == work.home.state.usual and p not in whole]
        partial = found[found.index(whole[0]) + 1 :] if whole else found
        readers = tuple(PointReader(work.own, p, work.monitor) for p in (*usual, *whole, *partial))
        sample = SAMPLE_REBUILT if rebuild(readers, work.kept, work.vault, work.cache) else SAMPLE
        reuse = reusable(work.home, readers, found, work.vault, work.own, work.monitor, sample=sample)
        return cls(readers, reuse)

    def rows(self, monitor: Monitor) -> Iterator[tuple[Entry, basis.Origin]]:
        """The catalogs of these points as one. One that cannot be read ends early: files are read anew then."""
        rows: Iterator[tuple[Entry, basis.Origin]] = iter(())
        for reader in self.readers:
            rows = basis.over(rows, basis.of_segments(_readable(reader, monitor)))
        return rows


def _readable(reader: PointReader, monitor: Monitor) -> Iterator[tuple[PageRow, list[Entry]]]:
    try:
        yield from reader.segments()
    except (FormatError, IntegrityError, StoreError, MediaError) as error:
        subject = f"catalog of point {reader.point.manifest.point[:8]}"
        detail = f"{error.what}; files that it lists from there on are read again"
        monitor.finding(Finding(code=error.code, subject=subject, detail=detail))
