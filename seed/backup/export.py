"""Export: a disk set from paths. It continues a begun set, and reports a finished one."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from formats import layout
from formats.disks import check_disk, number_at
from formats.documents.manifest import Manifest
from formats.errors import HomeError, Interrupted, OffseedError, UsageError, each
from formats.ids import PointId, SetId, hex_digest, random_id
from formats.keyed.chunk import LEVEL
from formats.keyed.root import Doubt
from formats.monitor import Monitor, Recorder
from formats.tables.archive import CONTENT_CLASS, METADATA_CLASS
from formats.words import counted
from seed.backup.chunk_sizes import choose_chunk_sizes
from seed.backup.disk_station import DiskStation, DiskSupply
from seed.backup.doubting import DoubtCheck, doubting
from seed.backup.scan_totals import Measuring
from seed.disks.abandonment import abandon
from seed.home.disk_sets import KeptSet, SetState, current_set
from seed.home.home import Home
from seed.home.items import Scope, check_home_room, check_targets
from seed.pipeline.known_chunks import KnownChunks
from seed.pipeline.packing import METADATA_SIZE, POOL_BYTES, BufferPool, OpenArchives, Packer, archive_size
from seed.pipeline.pipeline import EarlierWork, Pipeline, PipelineOptions
from seed.pipeline.small_file_worker import small_file_workers
from seed.points import previous_rows as basis
from seed.session.commit import Commit, CommitResult, settle_sequence, signed_manifest
from seed.session.previous_points import PreviousPoints
from seed.source.system import FoundEntry, Walk
from seed.targets.disk_pool import DiskPool, MetadataCache
from seed.targets.disk_writer import PointSize, check_grant


@dataclass(frozen=True)
class ExportOptions:
    """The options of an export. `without` holds the numbers of disks that are given up.

    `resends` names, in the words of the command, the disks that the export replaces. `before` and `after` are
    commands that the set remembers for the caller.
    """

    slots_on_disk: bool = True
    again: bool = False
    resends: str | None = None
    without: tuple[int, ...] = ()
    use_at_most: int | None = None
    level: int = LEVEL
    before: str = ""
    after: str = ""


@dataclass(frozen=True)
class ExportResult:
    """The result of an export.

    `already` means that it was finished before; `resumed` means that it was begun before. `whole` is the
    share of files that lie whole on one disk, or None if an earlier run counted it.
    """

    state: SetState
    committed: CommitResult
    already: bool
    resumed: bool
    whole: float | None = None


def export(
    home: Home,
    scope: Scope,
    supply: DiskSupply,
    options: ExportOptions,
    monitor: Monitor,
    over: PreviousPoints | None = None,
) -> ExportResult:
    """Write `scope` to disks as one set, on top of `over`, the points before.

    The archives of those points are not written again. The export compares its source with the home's earlier
    points, and with those of the vault if `over` has it.

    Raises UsageError, HomeError, MediaError, Interrupted. The same call continues where it ended.
    """
    monitor = Recorder(monitor)
    each(check_disk, supply.at)
    check_grant(options.use_at_most)
    over = over or PreviousPoints()
    settle_sequence(home)
    kept, resumed = _open_set(home, scope.items, options, monitor)
    if kept.state.status == "finished":
        if kept.state.warnings:
            monitor.notice(f"it ended with {counted(kept.state.warnings, 'warning')}, which it listed then")
        return ExportResult(kept.state, _finished(home, kept), True, False)
    check_targets(supply.at, scope.items)
    check_home_room(home, scope.items, monitor)
    _check_without(kept, options.without, supply.at)
    kept.state = replace(kept.state, left_out=scope.left_out, before=options.before, after=options.after)
    kept.save()
    home.save_state(replace(home.state, set=kept.state.set))  # a run killed from here on continues
    for number in options.without:
        kept.know(replace(kept.state.disks_by_number[number], dropped=True))
    with ExitStack() as stack:
        cache = MetadataCache(kept.cache, kept.state.set, home.identity.master.key_id)
        stack.callback(cache.close)
        commit = Commit(home, kept, cache, [], monitor, over.reuse)
        station = DiskStation(commit, supply.attendant, options.use_at_most)
        stack.callback(station.close)
        station.attach_all(supply.at)
        scope.remember(home, monitor)
        signed = _still_signed(commit)
        whole: float | None = None
        if signed is not None:
            commit.take_up(signed[1])
            committed = commit.finish(signed[0])
        else:
            compare = stack.enter_context(doubting(home, scope, over.vault, monitor))
            rules = scope.rules(station.own, f"{layout.DISK_FOLDER}/{kept.state.set}-*")
            whole, doubts = _write_point(
                station, over, Walk(scope.items, rules, monitor), compare, options.level
            )
            kept.change(warnings=len(monitor.findings))
            committed = commit.finish(_signed(home, kept)[0])
            compare.remember(committed.manifest.point, doubts)
    basis.forget(kept.folder)
    return ExportResult(kept.state, committed, False, resumed, whole)


def _still_signed(commit: Commit) -> tuple[bytes, Manifest] | None:
    """Return the manifest that a stopped run signed, if the disks still hold its archives."""
    signed = signed_manifest(commit.home, commit.kept)
    if signed is None or commit.holds(signed[1]):
        return signed
    commit.monitor.notice("the disks lost a part of the written data; it is written again")
    commit.forget(signed[0])
    return None


def is_finished(home: Home, scope: Callable[[], Scope], *, again: bool) -> bool:
    """Return whether this export was finished before, so that it reads nothing. Raises HomeError."""
    kept = current_set(home)
    if kept is None or again or kept.state.status != "finished":
        return False
    with suppress(UsageError):  # its paths may exist only after the command before has run
        return scope().items == kept.state.items
    return False


def _write_point(
    station: DiskStation, over: PreviousPoints, walk: Walk, compare: DoubtCheck, level: int
) -> tuple[float | None, tuple[Doubt, ...]]:
    """Read the source onto the disks, and sign the manifest. The finished work stays, however the run ends.

    Return the share of files that lie whole on one disk, if all lie on these. Return also the doubts about
    the point.
    """
    commit, monitor = station.commit, station.commit.monitor
    identity, key_id = commit.home.identity, commit.home.identity.master.key_id
    choose_chunk_sizes(commit.home, walk, monitor)
    with ExitStack() as stack:
        workers = stack.enter_context(
            small_file_workers(identity.master, level, commit.home.chunking.bundle_size)
        )
        known, extent = KnownChunks(), PointSize()
        for section in commit.sections():
            extent.chunks += section.archive.records
            known.add_all(section.chunks())
        for section in over.reuse.sections:
            known.add_all(section.chunks())
        buffer = archive_size(len(commit.disks))
        pool = BufferPool(buffer, min(len(commit.disks) + 1, POOL_BYTES // buffer))
        disks = DiskPool(commit.disks, station, pool.count, key_id, extent, monitor)
        stack.callback(disks.stop)
        archives = OpenArchives(
            Packer(pool, disks, CONTENT_CLASS, key_id),
            Packer(BufferPool(METADATA_SIZE, 2), commit.cache, METADATA_CLASS, key_id),
        )
        rows, journal = basis.begin(commit.kept.folder, over.rows(monitor))
        earlier = EarlierWork(known, rows, journal, over.contents)
        how = PipelineOptions(walk.roots, level)
        run = Pipeline(commit.home, workers, earlier, archives, how, monitor)
        stack.callback(run.close)
        stack.enter_context(Measuring(walk, monitor, commit.home.clock))
        try:
            run.read(_counted(walk, extent))
            catalogued = run.finish()
            disks.drain()
            disks.stop()
            commit.disks = disks.open
            doubts = compare.judge(catalogued.held)
            commit.point(catalogued, doubts)
            return None if over.readers else catalogued.spread.whole(commit.on_disks()), doubts
        except Exception as error:
            _stop(commit, disks, run, error)
            raise


def _stop(commit: Commit, disks: DiskPool, run: Pipeline, error: Exception) -> None:
    """Keep the finished work, and close the disks, so that they can be shipped or continued."""
    with suppress(OffseedError):  # report only the first error
        run.checkpoint()
        if isinstance(error, Interrupted):
            run.flush()
            disks.drain()
    disks.stop()
    for disk in disks.open:
        with suppress(OffseedError):
            if disk.state.inventory is None:
                commit.close(disk)


def _check_without(kept: KeptSet, numbers: Sequence[int], targets: Sequence[Path]) -> None:
    """Raise UsageError for a disk that the set lacks, or that is to be written."""
    known = kept.state.disks_by_number
    attached = {number_at(target, kept.state.set) for target in targets}
    for number in numbers:
        if number in known and number in attached:
            raise UsageError(
                "usage", f"disk {number} is named by --to as well", subject=f"--without {number}",
                hint="leave out the one or the other",
            )  # fmt: skip
        if number not in known:
            raise UsageError(
                "usage", f"the set has no disk {number}", subject=f"--without {number}",
                hint=f"its disks are {', '.join(map(str, known)) or 'none yet'}",
            )  # fmt: skip


def _open_set(
    home: Home, items: tuple[bytes, ...], options: ExportOptions, monitor: Monitor
) -> tuple[KeptSet, bool]:
    """Return the set to continue, or a new one, and whether it was begun before.

    Raises UsageError items-differ.
    """
    kept = current_set(home)
    begun = kept is not None and kept.state.goes_on
    if kept is not None and begun and kept.state.resends != options.resends:
        raise _unfinished(kept.state)
    if kept is not None and options.again and _goes_on(kept.state, items):
        monitor.notice(
            f"set {kept.state.set[:8]}, which --again began, is not finished, and goes on; to give it up instead: "
            "seed set abandon"
        )
        return kept, True
    if kept is not None and not options.again:
        if not kept.state.written:  # nothing is on a disk yet
            kept.state = replace(kept.state, items=items, slots_on_disk=options.slots_on_disk)
            return kept, False
        if kept.state.items == items:
            if kept.state.status == "finished" and options.without:
                raise UsageError(
                    "usage", "the export is finished, and counts on all its disks", subject="--without",
                    hint=f"a disk that will never come is given up by: seed resend {kept.state.set[:8]}/{options.without[0]}",
                )  # fmt: skip
            return kept, True
        if kept.state.status == "open":
            raise UsageError(
                "items-differ",
                "an export of other paths was begun and is not finished",
                subject=" ".join(os.fsdecode(i) for i in kept.state.items),
                hint="finish it by naming these paths, with --once if need be; or give it up with --again",
            )
    state = SetState(
        set=SetId(random_id()),
        point=PointId(random_id()),
        began=int(home.clock.now()),
        items=items,
        slots_on_disk=options.slots_on_disk,
        again=options.again,
        resends=options.resends,
    )
    if kept is not None and kept.state.goes_on:
        monitor.notice(
            f"set {kept.state.set[:8]} was begun and not finished; it is given up, and its disks with it"
        )
        abandon(home, kept)
    return KeptSet(home.set_folder(state.set), state), False


def _unfinished(state: SetState) -> UsageError:
    """Return the error for an unfinished export before a resend, or an unfinished resend before an export."""
    begun = f"seed resend {state.resends}" if state.resends else "seed export"
    return UsageError(
        "items-differ",
        "other disks were begun and are not finished",
        subject=f"set {state.set[:8]}",
        hint=f"finish them by the same `{begun}`, or give them up by `seed set abandon`",
    )


def _goes_on(state: SetState, items: tuple[bytes, ...]) -> bool:
    """Return whether the user repeats `--again` for a set that it has begun."""
    return state.again and state.status == "open" and state.items == items


def _finished(home: Home, kept: KeptSet) -> CommitResult:
    signed, manifest = _signed(home, kept)
    return CommitResult(manifest, hex_digest(signed))


def _signed(home: Home, kept: KeptSet) -> tuple[bytes, Manifest]:
    """Return the manifest of a written set. Raises HomeError home-damaged."""
    signed = signed_manifest(home, kept)
    if signed is None:
        raise HomeError(
            "home-damaged", "the manifest of the last export is gone", subject=str(kept.folder / "manifest"),
            hint="bring this file back from a copy, or begin a new set with --again",
        )  # fmt: skip
    return signed


def _counted(source: Iterable[FoundEntry], extent: PointSize) -> Iterator[FoundEntry]:
    for found in source:
        extent.entries += 1
        yield found
