"""The paths and exclusions that an export is asked for, judged before anything is written."""

import os
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from formats.errors import HomeError, UsageError
from formats.monitor import Monitor
from formats.words import size
from seed.home.home import ITEMS_MAX, Home, LeftOut
from seed.source.excludes import anchored, resolved
from seed.source.links import real_place
from seed.source.source_rules import Patterns, SourceRules

HOME_ROOM_BASE = 32 << 20  # bytes; each MiB of data needs `HOME_ROOM_MIB` more, for the rows of its chunks
HOME_ROOM_MIB = 200
CACHE_SHARE_ADVISED = 0.05  # the share of the data that the Azure agent asks for


@dataclass(frozen=True)
class Scope:
    """The absolute paths to back up, and the exclusions below them.

    The home remembers both, unless they are for `once`.
    """

    items: tuple[bytes, ...]
    left_out: LeftOut
    once: bool = False

    def rules(self, own: Set[tuple[int, int]], *further: str) -> SourceRules:
        """Return the rules of the walk.

        `own` are the (device, inode) pairs of the folders that this program writes, `further` are globs of
        them.
        """
        found = resolved(map(os.fsdecode, self.left_out.excludes), self.items)
        excludes = Patterns(found.globs, [*found.further, *further])
        return SourceRules(
            excludes, self.left_out.one_file_system, self.left_out.exclude_caches, own, tuple(found.notes)
        )

    def exactly(self, left_out: LeftOut) -> "Scope":
        """Return the same paths, to be remembered with these exclusions and no others."""
        return Scope(self.items, in_any_folder(left_out))

    def remember(self, home: Home, monitor: Monitor | None = None) -> None:
        if not self.once:
            if (
                monitor is not None
                and home.state.items == self.items
                and home.state.left_out != self.left_out
            ):
                monitor.notice(
                    "the exclusions are remembered with the paths, for later runs too; `seed items show` lists them, and "
                    "`seed items set` changes them"
                )
            home.save_state(replace(home.state, items=self.items, left_out=self.left_out))


def choose_scope(home: Home, paths: Sequence[str], left_out: LeftOut, *, once: bool) -> Scope:
    """Return the paths that were named, else those remembered. Raises UsageError.

    For remembered paths, the exclusions remembered with them apply again.
    """
    left_out = in_any_folder(left_out)
    items = _choose_items(home, paths, once=once)
    known = home.state.left_out if home.state.items == items else LeftOut()
    return Scope(items, known | left_out, once)


def in_any_folder(left_out: LeftOut) -> LeftOut:
    """Return the exclusions in words that do not depend on the current folder.

    Raises UsageError for an invalid glob.
    """
    globs = [anchored(os.fsdecode(glob)) for glob in left_out.excludes]
    Patterns(resolved(globs).globs)
    return replace(left_out, excludes=tuple(map(os.fsencode, globs)))


def _choose_items(home: Home, paths: Sequence[str], *, once: bool) -> tuple[bytes, ...]:
    """Return the absolute paths to back up. Raises UsageError."""
    known = home.state.items
    if not paths:
        if not known:
            raise UsageError(
                "nothing-to-back-up",
                "no path was named and none is remembered",
                hint="name the paths to back up, as /srv /etc; later runs need no paths",
            )
        return known
    items = locate(paths)
    if known and set(known) != set(items) and not once:
        raise UsageError(
            "items-differ",
            "this machine backs up other paths",
            subject=" ".join(os.fsdecode(i) for i in known),
            hint="run without paths to use them, add --once to take these this time only, or change them for good by "
            "`seed items set`",
        )
    check_there([item for item in items if item not in known])
    return items


def located(paths: Sequence[str]) -> tuple[bytes, ...]:
    """Return the absolute paths of named items, after a check that all exist. Raises UsageError."""
    items = locate(paths)
    check_there(items)
    return items


def locate(paths: Sequence[str]) -> tuple[bytes, ...]:
    """Return the absolute paths of named items, whether they exist or not. Raises UsageError."""
    items = tuple(sorted({real_place(p) for p in paths}))
    if len(items) > ITEMS_MAX:
        raise UsageError(
            "usage",
            f"{len(items):,} paths are too many, {ITEMS_MAX:,} are possible",
            hint="name the folders that they lie in",
        )
    return items


def out_of_reach(items: Sequence[bytes]) -> dict[bytes, OSError]:
    """Return the items that the system cannot look at, each with its reason."""
    found: dict[bytes, OSError] = {}
    for item in items:
        try:
            os.lstat(item)
        except OSError as error:
            found[item] = error
    return found


def check_there(items: Sequence[bytes]) -> None:
    """Raise UsageError path-not-found if one of the items is out of reach."""
    for item, error in out_of_reach(items).items():
        raise _not_there(item, error)


def check_any_there(items: Sequence[bytes]) -> None:
    """Raise UsageError path-not-found if all items are out of reach: a run would back up nothing.

    Else the run backs up the items that it can reach. The walk reports each of the others as a finding.
    """
    missing = out_of_reach(items)
    if items and len(missing) == len(items):
        raise _not_there(*next(iter(missing.items())))


def _not_there(item: bytes, error: OSError) -> UsageError:
    gone = isinstance(error, FileNotFoundError | NotADirectoryError)
    return UsageError(
        "path-not-found",
        "there is nothing at this path" if gone else f"cannot look at this path: {error.strerror}",
        subject=os.fsdecode(item),
        hint="check the path; change the items for good by `seed items set`, or for one run by --once"
        if gone
        else "mount its disk or share again, or ask for the right to read it",
    )


def identity_of(path: Path) -> tuple[int, int]:
    """Return (device, inode): by these the walk skips the files and folders that this program writes."""
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _place_of(item: bytes) -> tuple[int, int] | None:
    """Return the device and inode of an item, or of its link's target; None while that is out of reach."""
    try:
        status = os.stat(item)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def own_folders(home: Home, vault: str) -> set[tuple[int, int]]:
    """Return the identities of the folders that this program writes: the home, and a vault in a folder.

    They are no part of a backup.
    """
    folders = [home.path, Path(vault.removeprefix("file://"))]
    return {identity_of(folder) for folder in folders if folder.is_dir()}


def check_targets(targets: Sequence[Path], items: Sequence[bytes]) -> None:
    """Raise UsageError if a target is named twice, or nothing is left to read without the targets."""
    check_any_there(items)
    seen: set[tuple[int, int]] = set()
    for target in targets:
        status = os.stat(target)
        place = (status.st_dev, status.st_ino)
        if place in seen:
            raise UsageError(
                "usage", "this disk is named twice", subject=str(target), hint="name each disk by one --to"
            )
        seen.add(place)
        for item in items:
            if place == _place_of(item):
                raise UsageError(
                    "target-inside-source",
                    "the disk and an item to back up are the same folder",
                    subject=str(target),
                    hint="name the mount point of the disk by --to",
                )


def check_home_room(home: Home, items: Sequence[bytes], monitor: Monitor) -> None:
    """Raise HomeError home-room if the home has too little room.

    The journal takes little, but without it no run can continue. The size of the data is unknown before it is
    read. The bytes in use on the file systems are the most that it can be.
    """
    data = sum({place[0]: _used(item) for item in items if (place := _place_of(item))}.values())
    needed = HOME_ROOM_BASE + (data >> 20) * HOME_ROOM_MIB
    free = psutil.disk_usage(str(home.path)).free
    if free < needed:
        raise HomeError(
            "home-room",
            f"the home has {size(free)} left, and up to {size(needed)} may be needed",
            subject=str(home.path),
            hint="make room there, or move the home and name it by SEED_HOME",
        )
    if free < data * CACHE_SHARE_ADVISED:
        monitor.notice(
            f"the home {home.path} has {size(free)} left, less than 5 % of the {size(data)} in use where the data lies; "
            "it is enough for now"
        )


def _used(item: bytes) -> int:
    """Return the bytes in use on the file system of an item, 0 if the system does not tell."""
    try:
        return int(psutil.disk_usage(os.fsdecode(item)).used)
    except OSError:
        return 0
