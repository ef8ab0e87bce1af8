"""Doubts about a backup: an item is empty or mostly gone now, perhaps because a file system is not mounted.

The user may not know this. A run compares its source with the last good point, and signs its doubts. A
doubted point replaces no other point (RET-5). Files that are left out on purpose raise no doubt. Neither do
device numbers, which change by themselves. A doubt ends by the user's word, or when three runs over seven
days have seen the same state.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from formats.errors import FormatError, IntegrityError, MediaError, StoreError
from formats.ids import PointId
from formats.keyed.catalog import CatalogEntry
from formats.keyed.root import Doubt
from formats.monitor import Finding, Monitor, Tally
from formats.rules.retention import read_kept
from formats.store.contract import Store
from formats.store.local import LocalStore
from formats.words import counted, one_line
from seed.home.disk_sets import kept_sets
from seed.home.doubt_records import ItemCount, PointCounts, UsualItems, shown, told
from seed.home.home import Home
from seed.home.items import Scope
from seed.points.item_totals import by_item, count_rows, is_mount, tagged_folders, without
from seed.points.layered_store import LayeredStore
from seed.points.machine_keys import own_machines
from seed.points.point_reader import PointReader
from seed.points.points import Point, points
from seed.source.source_rules import outermost

FEW = 16  # entries; of an item with fewer, no share says anything
RUNS, SPAN = 3, 7 * 86_400  # a doubt ends after this many runs with the same state, over this many seconds
CANDIDATES = 10  # last good points in which to look for the items, if the home does not know the good one


class DoubtCheck:
    """A comparison of the source that a run found with the last good point of the same items."""

    def __init__(
        self, home: Home, scope: Scope, union: LayeredStore, found: Sequence[Point], monitor: Monitor
    ) -> None:
        """Choose the good point. `found` are the points in `union` that have not expired.

        They belong to this machine, and to the machines that it replaced.
        """
        self._home, self._scope, self._union, self._monitor = home, scope, union, monitor
        self._items = _places(scope.items)
        self._known = UsualItems.of(home)
        whole = [point for point in found if point.manifest.point_kind != "partial"]
        self._good = self._choose(whole)
        later = whole[whole.index(self._good) + 1 :] if self._good is not None else []
        doubted = [point for point in later if point.manifest.doubted]
        self._before = {doubt.item: doubt for point in doubted[-1:] for doubt in point.root.doubts or ()}

    def judge(self, held: Sequence[ItemCount]) -> tuple[Doubt, ...]:
        """Return the doubts about a point that holds `held` of its items. Each doubt is a finding."""
        held = [replace(one, mounted=is_mount(one.item)) for one in held]
        self._held = tuple(held)
        if self._good is None:
            return ()
        try:
            doubts = [d for doubt in self._compare(self._good, by_item(held)) for d in self._settle(doubt)]
        except (FormatError, IntegrityError, StoreError, MediaError) as error:
            detail = f"{error.what}; what this run found cannot be compared with it"
            self._find(error.code, f"catalog of point {self._good.manifest.point[:8]}", detail)
            return ()
        for doubt in doubts:
            detail = f"{told(doubt)}. If that is right: `seed items confirm`"
            self._find("item-doubted", shown(doubt), detail)
        return tuple(doubts)

    def remember(self, point: PointId, doubts: tuple[Doubt, ...]) -> None:
        """Keep the items that this run found, once its point is there. Raises HomeError."""
        if self._scope.once:
            return
        last = PointCounts(point=point, items=self._held)
        good = last if not doubts else self._known.good
        if doubts and good is None and self._good is not None:
            good = PointCounts(point=self._good.manifest.point, items=self._good_held or ())
        UsualItems(good=good, last=last if doubts else None, doubts=doubts).save(self._home)

    _held: tuple[ItemCount, ...] = ()
    _good_held: tuple[ItemCount, ...] | None = None

    def _choose(self, whole: Sequence[Point]) -> Point | None:
        """Return the point to compare with.

        It is the good point of the home, or else the last good point with any of the items.
        """
        if self._known.good is not None and not self._scope.once:
            for point in whole:
                if point.manifest.point == self._known.good.point:
                    return point
        good = [point for point in whole if not point.manifest.doubted]
        return next(filter(self._covers, good[: -CANDIDATES - 1 : -1]), None)

    def _covers(self, point: Point) -> bool:
        """Return whether a point holds anything of the items.

        Return True for a point that cannot be read, because the comparison reports it.
        """
        items = [item.strip(b"/") for item in self._items]
        try:
            rows = list(PointReader(self._union, point, Tally()).page_rows())
        except (FormatError, IntegrityError, StoreError, MediaError):
            return True
        keys = [(_key(row.first), _key(row.last)) for row in rows]
        return any(
            first <= _key(item) + b"\1" and _key(item) <= last for item in items for first, last in keys
        )

    def _compare(self, good: Point, held: dict[bytes, ItemCount]) -> Iterator[Doubt]:
        before = self._held_by(good)
        moved = _gained(before, held)
        for item in self._items:
            then = before.get(item)
            now = held.get(item) or ItemCount(item=item, entries=0, size=0, mounted=False)
            if then is None or not then.entries:
                continue
            why = _why(then, now, moved)
            if why is not None and (why == "unmounted" or self._is_unexplained(then, now, moved)):
                yield self._doubt(item, why, then, now)
            elif why is None:
                yield from (
                    self._doubt(path, "unmounted", None, None) for path in then.mounts if self._is_lost(path)
                )

    def _held_by(self, good: Point) -> dict[bytes, ItemCount]:
        """Return how much the items held in the good point.

        The home remembers it, or else the catalog of the point tells it.
        """
        known = self._known.good
        if known is None or known.point != good.manifest.point or self._scope.once:
            known = PointCounts(point=good.manifest.point, items=count_rows(self._items, self._rows(good)))
        self._good_held = known.items
        found = by_item(known.items)
        if missing := [item for item in self._items if item not in found]:
            found |= by_item(count_rows(missing, self._rows(good)))
        return found

    def _rows(self, point: Point) -> Iterator[CatalogEntry]:
        for _, entries in PointReader(self._union, point, self._monitor).segments():
            yield from entries

    def _is_unexplained(self, then: ItemCount, now: ItemCount, moved: tuple[int, int]) -> bool:
        """Return whether the patterns and options that leave files out do not explain a smaller item.

        If they explain it, a notice says so.
        """
        left_out = self._scope.left_out
        if self._good is None or left_out == type(left_out)():
            return True
        tagged = tagged_folders(self._rows(self._good)) if left_out.exclude_caches else frozenset()
        (expected,) = count_rows([then.item], without(then.item, self._rows(self._good), left_out, tagged))
        if expected.entries and _why(replace(expected, mounted=now.mounted), now, moved) is not None:
            return True
        self._monitor.notice(
            f"{one_line(os.fsdecode(then.item))}: of {counted(then.entries, 'entry')} of the point before, "
            f"{then.entries - expected.entries:,} are left out now, as the patterns and options say"
        )
        return False

    def _is_lost(self, path: bytes) -> bool:
        """Return whether a folder that was a mount point is empty now, or cannot be read.

        A folder that is gone or left out says nothing.
        """
        left_out = self._scope.left_out
        if left_out.one_file_system or self._is_excluded(path):
            return False
        try:
            return stat.S_ISDIR(os.lstat(path).st_mode) and not is_mount(path) and not os.listdir(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True

    def _is_excluded(self, path: bytes) -> bool:
        excludes = self._scope.rules(frozenset()).excludes
        parts = path.strip(b"/").split(b"/")
        return bool(excludes) and any(
            excludes.match(b"/" + b"/".join(parts[: n + 1])) for n in range(len(parts))
        )

    def _doubt(self, item: bytes, why: str, then: ItemCount | None, now: ItemCount | None) -> Doubt:
        assert self._good is not None
        return Doubt(
            item=item[:1024],
            why=why,
            than=self._good.manifest.point,
            before=then.entries if then else 0,
            bytes_before=then.size if then else 0,
            entries=now.entries if now else 0,
            bytes=now.size if now else 0,
            since=int(self._home.clock.now()),
            runs=1,
        )

    def _settle(self, doubt: Doubt) -> Iterator[Doubt]:
        """Yield the doubt with the results of earlier runs.

        Yield nothing if enough runs saw the same state.
        """
        before = self._before.get(doubt.item)
        if before is not None and _is_same(before, doubt):
            span = doubt.since - before.since
            doubt = replace(doubt, since=before.since, runs=before.runs + 1)
            if doubt.runs >= RUNS and span >= SPAN:
                self._monitor.notice(
                    f"{shown(doubt)}: {told(doubt)}; {doubt.runs} runs over {span // 86_400} days saw it so, and it is taken "
                    "for right"
                )
                return
        yield doubt

    def _find(self, code: str, subject: str, detail: str) -> None:
        self._monitor.finding(Finding(code=code, subject=subject, detail=detail))


@contextmanager
def doubting(home: Home, scope: Scope, vault: Store | None, monitor: Monitor) -> Iterator[DoubtCheck]:
    """Compare with the points that the home keeps, and with those of the vault if it is reached."""
    with ExitStack() as stack:
        folders = [home.path / "cache", *(k.cache for k in kept_sets(home) if k.state.status == "finished")]
        stores: list[Store] = []
        for folder in folders:
            if folder.is_dir():
                store = LocalStore.open(str(folder), read_only=True)
                stack.callback(store.close)
                stores.append(store)
        union = LayeredStore([*stores, *([vault] if vault is not None else [])])
        machines = own_machines(home.identity, union.stores, Tally())
        expired = {
            point
            for machine in machines
            if vault is not None
            for point in read_kept(home.identity.view(vault), machine.machine, Tally()).expired
        }
        found = [p for p in points(union, machines, Tally()) if p.manifest.point not in expired]
        yield DoubtCheck(home, scope, union, found, monitor)


def _places(items: Sequence[bytes]) -> list[bytes]:
    """Return the items and the targets of links among them, whether a target exists or not."""
    return outermost([*items, *(os.path.realpath(item) for item in items if os.path.islink(item))])


def _gained(before: dict[bytes, ItemCount], now: dict[bytes, ItemCount]) -> tuple[int, int]:
    """Return the entries and bytes that items have gained. Files that moved to another item are not gone."""
    pairs = [(before.get(item), held) for item, held in now.items()]
    entries = sum(max(0, held.entries - (then.entries if then else 0)) for then, held in pairs)
    return entries, sum(max(0, held.size - (then.size if then else 0)) for then, held in pairs)


def _why(then: ItemCount, now: ItemCount, moved: tuple[int, int]) -> str | None:
    """Return why an item that held something is doubted, or None.

    Up to `moved` may have moved to other items.
    """
    if not now.entries and not os.path.lexists(now.item):
        return "gone"
    if then.mounted and not now.mounted:
        return "unmounted"
    if not now.entries or (now.entries == 1 and then.size and not now.size):
        return "empty"
    found = (now.entries + moved[0], now.size + moved[1])
    return "shrank" if _shrank((then.entries, then.size), found) else None


def _shrank(then: tuple[int, int], now: tuple[int, int]) -> bool:
    """Return whether most of the entries, or most of the bytes, are gone."""
    return then[0] >= FEW and any(2 * after < before for before, after in zip(then, now, strict=True))


def _is_same(before: Doubt, now: Doubt) -> bool:
    """Return whether two runs saw the same state: the same reason, and nothing more is gone."""
    return before.why == now.why and not _shrank((before.entries, before.bytes), (now.entries, now.bytes))


def _key(path: bytes) -> bytes:
    return path.replace(b"/", b"\0")
