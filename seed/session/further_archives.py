"""The archives that a run may reuse beside those of the last points: all that any staying point needs.

A point stays if it will not expire within two days. So a run seldom loses archives on which it builds. The
need lists, and the indexes of their archives, come from the vault once. From then on they lie in the home's
cache, each under its digest. A run reads the indexes there when it needs them. Meanwhile they take no memory.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain

from formats import layout
from formats.errors import damage_aside
from formats.ids import ArchiveName, Digest, MachineId, digest
from formats.monitor import Monitor, damage_told
from formats.rules.retention import DAY, RetentionTerms
from formats.tables import needs
from formats.tables.holdings import Holding, decode_rows
from formats.tables.sections import Section, decode_object, encode_objects
from seed.home.home import Home
from seed.identity.retention_policy import calendar
from seed.points.layered_store import LayeredStore
from seed.points.point_reader import own_index
from seed.points.points import Point
from seed.targets.disk_pool import MetadataCache

STAYS = 2 * DAY  # seconds


def staying(
    home: Home,
    found: Sequence[Point],
    kept: Callable[[MachineId], RetentionTerms],
    is_complete: Callable[[Point], bool],
) -> list[Point]:
    """Return the points that will not expire within two days. `kept` tells the terms of a machine's points.

    A point without a term is judged by the term that it would get now. The last complete point of a machine
    stays, and all points after it stay. The clock of this machine counts. If it is wrong, too little is
    reused, or a part of a run is done again.
    """
    now = int(home.clock.now())
    machines = defaultdict[MachineId, list[Point]](list)
    for point in found:
        machines[point.manifest.machine].append(point)
    stay = set[str]()
    for machine, points in machines.items():
        whole = [point for point in points if point.manifest.point_kind != "partial"]
        last = next((p.manifest.sequence for p in reversed(whole) if is_complete(p)), 0)
        for plan in calendar(home, kept(machine), [(p.manifest, True) for p in points], now):
            if plan.manifest.sequence >= last or (plan.until or 0) > now + STAYS:
                stay.add(plan.manifest.point)
    return [point for point in found if point.manifest.point in stay]


@dataclass(frozen=True)
class FurtherArchives:
    """Archives that may be reused, each with the name of the object in `union` that holds its index."""

    places: Mapping[ArchiveName, str] = field(default_factory=dict)
    union: LayeredStore | None = None

    def without(self, names: Collection[ArchiveName]) -> "FurtherArchives":
        """Return the same without some archives."""
        return FurtherArchives({n: place for n, place in self.places.items() if n not in names}, self.union)

    def sections(self) -> Iterator[Section]:
        """Read the indexes of all these archives.

        Raises IntegrityError, NotFoundError, StoreError, MediaError.
        """
        for name in dict.fromkeys(self.places.values()):
            yield from self._read(name)

    def section(self, archive: ArchiveName) -> Section:
        """Read the index of one of them. Raises as `sections`."""
        return next(s for s in self._read(self.places[archive]) if s.archive.name == archive)

    def _read(self, name: str) -> Iterator[Section]:
        assert self.union is not None
        for section in decode_object(self.union.get_checked(name, _said(name)), name):
            if self.places.get(section.archive.name) == name:
                yield section


class Cached:
    """The objects of a vault by way of the home's cache. A fetched object is not fetched again."""

    def __init__(
        self, kept: LayeredStore, vault: LayeredStore, cache: MetadataCache, monitor: Monitor
    ) -> None:
        """Prepare the cache.

        `kept` is all that the home has; its part `cache` takes in the objects of the `vault`.
        """
        self._kept = kept
        self._vault = vault
        self._cache = cache
        self._monitor = monitor
        self._listed = {prefix: set(kept.list(prefix)) for prefix in ("manifests", "needs", "indexes")}

    def get(self, name: str, expected: bytes) -> bytes:
        """Return an object of that digest.

        Raises IntegrityError, NotFoundError, StoreError, MediaError, HomeError.
        """
        if name in self._listed[name.partition("/")[0]]:
            with damage_aside():
                return self._kept.get_checked(name, expected)
        data = self._vault.get_checked(name, expected)
        self._keep(name, data, anew=True)
        return data

    def holdings(self, points: Iterable[Point]) -> list[Holding]:
        """Return the archives that the points need.

        An unreadable need list is a finding, and costs its point only. Raises StoreError, MediaError if the
        vault does not answer.
        """
        rows, known = set[bytes](), set[Digest]()
        for point in points:
            manifest = point.manifest
            prefix = layout.manifest_prefix(manifest.machine)
            name = layout.numbered(prefix, manifest.sequence, point.digest)
            with damage_told(self._monitor, f"{name}: what this point needs; it is not built upon"):
                if name not in self._listed["manifests"]:
                    self._keep(name, self._vault.get_document(name))
                needs.add_rows(Digest(bytes.fromhex(manifest.needs)), self._need, name, rows, known)
        found: list[Holding] = []
        for row in sorted(rows):
            with damage_told(self._monitor, "need lists"):
                found += decode_rows(row, "need lists")
        return found

    def indexes(self, wanted: Iterable[Holding]) -> Iterator[tuple[str, list[Section]]]:
        """Yield the indexes of the `wanted` archives, by the objects that hold them.

        If no object holds the index of an archive, it is read from the archive's end. The cache keeps it as
        an object of its own. Raises StoreError, MediaError if the vault does not answer.
        """
        left = {archive.name: archive for archive in wanted}
        for name, data in self._index_objects() if left else ():
            found: list[Section] = []
            with damage_aside():
                found = [s for s in decode_object(data, name) if left.get(s.archive.name) == s.archive]
            for section in found:
                left.pop(section.archive.name, None)
            if found:
                self._keep(name, data)
                yield name, found
            if not left:
                return
        lone = [s for archive in left.values() if (s := own_index(self._vault, archive, self._monitor))]
        for data in encode_objects(lone):
            name = layout.index_name(digest(data))
            self._keep(name, data, anew=True)
            yield name, decode_object(data, name)

    def further(self, wanted: Iterable[Holding]) -> FurtherArchives:
        """Find the indexes of the `wanted` archives and their places. Raises as `indexes`."""
        places = {s.archive.name: name for name, found in self.indexes(wanted) for s in found}
        return FurtherArchives(places, LayeredStore([*self._kept.stores, *self._vault.stores]))

    def _index_objects(self) -> Iterator[tuple[str, bytes]]:
        """Yield the whole index objects: first those in the home, then those in the vault alone."""
        mine = self._listed["indexes"]
        names = chain(sorted(mine), (name for name in self._vault.list("indexes") if name not in mine))
        for name in names:
            with suppress(ValueError), damage_aside():
                yield name, (self._kept if name in mine else self._vault).get_checked(name, _said(name))

    def _need(self, wanted: Digest) -> bytes:
        return self.get(layout.need_name(wanted), wanted)

    def _keep(self, name: str, data: bytes, *, anew: bool = False) -> None:
        """Keep an object. With `anew`, replace a damaged one that has its name in the cache."""
        listed = self._listed[name.partition("/")[0]]
        if name in listed:
            if not anew:
                return
            self._cache.store.delete(name)
        self._cache.put(name, data)
        listed.add(name)


NOTHING_FURTHER = FurtherArchives()


def _said(name: str) -> bytes:
    """Return the digest in the name of an object."""
    return bytes.fromhex(name.rpartition("/")[2])
