"""Export: a disk set from paths. What was begun is gone on with; what is finished is said to be."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from formats.documents import envelope
from formats.documents.manifest import Manifest
from formats.errors import FormatError, HomeError, IntegrityError, Interrupted, MediaError, UsageError
from formats.ids import PointId, SetId, random_id
from formats.keyed.chunk import LEVEL
from formats.monitor import Monitor
from seed.commit import Committed, close_disk, commit_point, finish_export
from seed.disk import DiskWriter, check_disk
from seed.home import Home, SetState, read_record, write_record
from seed.run import Run
from seed.sealing import Known
from seed.source.rules import Patterns, Rules
from seed.source.system import Found, Walk

HOME_ROOM_BASE = 32 << 20  # bytes, and for each MiB of data the rows of the chunks it becomes
HOME_ROOM_MIB = 200
CACHE_SHARE_ADVISED = 0.05  # the Azure agent asks for so much of the data


@dataclass(frozen=True)
class Options:
    """What decides how an export is made. `excludes` are globs."""

    excludes: tuple[str, ...] = ()
    one_file_system: bool = False
    exclude_caches: bool = False
    slots_on_disk: bool = True
    again: bool = False
    once: bool = False
    level: int = LEVEL


@dataclass(frozen=True)
class Exported:
    """How an export ended. `already` where it had been finished before; `read_bytes` of this run."""

    state: SetState
    committed: Committed
    already: bool
    resumed: bool


def export(home: Home, paths: Sequence[str], target: Path, options: Options, monitor: Monitor) -> Exported:
    """Write `paths` (or the remembered items) to the disk at `target` as one set.

    Raises UsageError, HomeError, MediaError, Interrupted; the same call goes on where it ended.
    """
    check_disk(target)
    items = _items(home, paths, once=options.once)
    state, resumed = _open_set(home, options)
    folder = home.set_folder(state.set)
    if state.status == "finished":
        return Exported(state, _finished(home, state), True, False)
    _check_target(target, items)
    _check_home_room(home, items, monitor)
    write_record(folder / "set.json", state)
    home.save_state(
        replace(home.state, set=state.set)
    )  # first of all: a run killed from here on is gone on with
    disk = DiskWriter(home, state, target, 1, monitor)
    try:
        disk.begin()
        remembered = home.state.items if options.once else items
        home.save_state(replace(home.state, items=remembered))
        if not (folder / "manifest").exists():
            _write_point(home, disk, items, options, monitor)
        committed = finish_export(home, disk, _signed(home, state)[0])
    finally:
        disk.close()
    return Exported(state, committed, False, resumed)


def _write_point(
    home: Home, disk: DiskWriter, items: Sequence[bytes], options: Options, monitor: Monitor
) -> None:
    identity = home.identity
    known = Known()
    for section in disk.sections:
        for row in section.rows("journal"):
            known.add(row.chunk)
    rules = Rules(
        excludes=Patterns(options.excludes),
        one_file_system=options.one_file_system,
        exclude_caches=options.exclude_caches,
        pruned=_own_folders(home, disk),
    )
    run = Run(identity.master, identity.chunking, disk, known, monitor, options.level)
    try:
        run.read(_counted(Walk(items, rules, monitor), disk))
        catalogued = run.finish()
        disk.drain()
    except (Interrupted, MediaError) as error:
        _stop(home, disk, run, error)
        raise
    finally:
        run.close()
    commit_point(home, disk, catalogued)


def _stop(home: Home, disk: DiskWriter, run: Run, error: Exception) -> None:
    """Keep what is done, and close the disk, so that it can be shipped or gone on with."""
    with suppress(MediaError):  # the first error is the one to tell of
        if isinstance(error, Interrupted):
            run.flush()
        disk.drain()
    with suppress(MediaError):
        close_disk(home, disk)


def _items(home: Home, paths: Sequence[str], *, once: bool) -> tuple[bytes, ...]:
    """The absolute paths to back up. Raises UsageError."""
    known = home.state.items
    if not paths:
        if not known:
            raise UsageError(
                "nothing-to-back-up",
                "no path was named and none is remembered",
                hint="name what to back up: seed export /srv /etc --to DISK",
            )
        return known
    items = tuple(os.fsencode(os.path.abspath(p)) for p in paths)
    _check_there(items)
    if known and set(known) != set(items) and not once:
        raise UsageError(
            "items-differ",
            "this machine backs up other paths",
            subject=" ".join(os.fsdecode(i) for i in known),
            hint="run without paths to use them, or add --once to take these this time only",
        )
    return items


def _open_set(home: Home, options: Options) -> tuple[SetState, bool]:
    """The set to go on with, or a new one; whether it was begun before."""
    if home.state.set is not None and not options.again:
        state = read_record(home.set_folder(home.state.set) / "set.json", SetState)
        if state.label is None:  # nothing is on a disk yet
            return replace(state, slots_on_disk=options.slots_on_disk), False
        return state, True
    state = SetState(
        set=SetId(random_id()),
        point=PointId(random_id()),
        disk=random_id(),
        slots_on_disk=options.slots_on_disk,
    )
    return state, False


def _finished(home: Home, state: SetState) -> Committed:
    signed, manifest = _signed(home, state)
    return Committed(manifest, envelope.read(signed, "manifest").digest, 0, 0)


def _signed(home: Home, state: SetState) -> tuple[bytes, Manifest]:
    """The manifest as this home has signed it. Raises HomeError home-damaged."""
    path = home.set_folder(state.set) / "manifest"
    try:
        signed = path.read_bytes()
        return signed, envelope.read(signed, "manifest").verify(Manifest, home.identity.public_key)
    except (FormatError, IntegrityError, OSError) as error:
        raise HomeError(
            "home-damaged",
            "the manifest of the last export cannot be read",
            subject=str(path),
            hint="bring this file back from a copy, or begin a new set with --again; what is on the disk stays good",
        ) from error


def _check_there(items: Sequence[bytes]) -> None:
    for item in items:
        if not os.path.lexists(item):
            raise UsageError(
                "path-not-found",
                "there is nothing at this path",
                subject=os.fsdecode(item),
                hint="check the path; if it is gone for good, name the others and add --once",
            )


def _check_target(target: Path, items: Sequence[bytes]) -> None:
    """Raises UsageError where nothing would be left to read once the target is left out."""
    _check_there(items)
    for item in items:
        if os.path.samestat(os.stat(target), os.lstat(item)):
            raise UsageError(
                "target-inside-source",
                "the disk and what is to be backed up are the same folder",
                subject=str(target),
                hint="name the mount point of the disk by --to",
            )


def _check_home_room(home: Home, items: Sequence[bytes], monitor: Monitor) -> None:
    """The journal takes little, but without it nothing can be gone on with. Raises HomeError home-room.

    How much data there is nobody knows before it is read; what the file systems hold is the most it can be.
    """
    devices = {os.lstat(i).st_dev: os.path.dirname(i) if os.path.islink(i) else i for i in items}
    data = sum(psutil.disk_usage(os.fsdecode(item)).used for item in devices.values())
    needed = HOME_ROOM_BASE + (data >> 20) * HOME_ROOM_MIB
    free = psutil.disk_usage(str(home.path)).free
    if free < needed:
        raise HomeError(
            "home-room",
            f"the home has {free >> 20} MiB left, and up to {needed >> 20} MiB may be needed",
            subject=str(home.path),
            hint="make room there, or move the home and name it by SEED_HOME",
        )
    if free < data * CACHE_SHARE_ADVISED:
        monitor.notice(
            f"the home {home.path} has {free >> 20} MiB left, less than 5 % of the {data >> 20} MiB in use where "
            "the data lies; it is enough for now"
        )


def _own_folders(home: Home, disk: DiskWriter) -> frozenset[tuple[int, int]]:
    """(device, inode) of what must not be read because it is being written."""
    found = set()
    for path in (disk.path, home.path):
        status = os.stat(path)
        found.add((status.st_dev, status.st_ino))
    return frozenset(found)


def _counted(source: Iterable[Found], disk: DiskWriter) -> Iterator[Found]:
    for found in source:
        disk.entries += 1
        yield found
