"""Export: a disk set from paths. What was begun is gone on with; what is finished is said to be."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from formats import layout
from formats.documents import envelope
from formats.documents.manifest import Manifest
from formats.errors import FormatError, HomeError, IntegrityError, Interrupted, MediaError, UsageError
from formats.ids import PointId, SetId, hex_digest, random_id
from formats.keyed.chunk import LEVEL
from formats.monitor import Monitor
from seed.commit import Committed, close_disk, commit_point, finish_export, forget_point, holds_point
from seed.disk import DiskWriter, check_disk
from seed.home import ITEMS_MAX, Home, SetState, read_record, write_record
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
    _settle_sequence(home)
    state, resumed = _open_set(home, items, options)
    folder = home.set_folder(state.set)
    if state.status == "finished":
        return Exported(state, _finished(home, state), True, False)
    _check_target(target, items)
    _check_home_room(home, items, monitor)
    write_record(folder / "set.json", state)
    home.save_state(replace(home.state, set=state.set))  # a run killed from here on is gone on with
    disk = DiskWriter(home, state, target, 1, monitor)
    try:
        disk.begin()
        remembered = home.state.items if options.once else items
        home.save_state(replace(home.state, items=remembered))
        if (folder / "manifest").exists() and not holds_point(disk, _signed(home, state)[1]):
            monitor.notice("the disk lost a part of what was written; the rest is written again")
            forget_point(home, disk, _signed(home, state)[0])
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
    items = tuple(sorted({_located(p) for p in paths}))
    if len(items) > ITEMS_MAX:
        raise UsageError(
            "usage",
            f"{len(items):,} paths are too many, {ITEMS_MAX:,} are possible",
            hint="name the folders that they lie in",
        )
    _check_there(items)
    if known and set(known) != set(items) and not once:
        raise UsageError(
            "items-differ",
            "this machine backs up other paths",
            subject=" ".join(os.fsdecode(i) for i in known),
            hint="run without paths to use them, or add --once to take these this time only",
        )
    return items


def _located(path: str) -> bytes:
    """Where `path` really lies: links on the way are followed, one at its end is what is backed up."""
    parent, name = os.path.split(os.path.abspath(path))
    return os.fsencode("/" + os.path.join(os.path.realpath(parent), name).lstrip("/"))


def _open_set(home: Home, items: tuple[bytes, ...], options: Options) -> tuple[SetState, bool]:
    """The set to go on with, or a new one; whether it was begun before. Raises UsageError items-differ."""
    if home.state.set is not None and not options.again:
        state = read_record(home.set_folder(home.state.set) / "set.json", SetState)
        if state.label is None:  # nothing is on a disk yet
            return replace(state, items=items, slots_on_disk=options.slots_on_disk), False
        if state.items == items:
            return state, True
        if state.status == "open":
            raise UsageError(
                "items-differ",
                "an export of other paths was begun and is not finished",
                subject=" ".join(os.fsdecode(i) for i in state.items),
                hint="finish it by naming these paths, with --once if need be; or give it up with --again",
            )
    state = SetState(
        set=SetId(random_id()),
        point=PointId(random_id()),
        disk=random_id(),
        items=items,
        slots_on_disk=options.slots_on_disk,
    )
    return state, False


def _settle_sequence(home: Home) -> None:
    """A run that was killed after it signed a manifest has used that sequence number."""
    if home.state.set is not None and (home.set_folder(home.state.set) / "manifest").exists():
        signed = (home.set_folder(home.state.set) / "manifest").read_bytes()
        try:
            manifest = envelope.read(signed, "manifest").peek(Manifest)
        except FormatError:
            return  # said by whoever needs it
        home.spend(manifest.sequence, hex_digest(signed))


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
    own = disk.path if os.path.ismount(disk.path) else disk.path / layout.DISK_FOLDER
    for path in (own, home.path):
        status = os.stat(path)
        found.add((status.st_dev, status.st_ino))
    return frozenset(found)


def _counted(source: Iterable[Found], disk: DiskWriter) -> Iterator[Found]:
    for found in source:
        disk.entries += 1
        yield found
