"""The place where the disks of a set are attached while it is written, and released when they are full."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from formats import layout
from formats.disks import number_at
from formats.errors import OffseedError, UsageError, each
from formats.words import counted, size
from seed.home.items import identity_of, own_folders
from seed.session.commit import Commit
from seed.targets.disk_writer import DiskWriter, attach


class Attendant(Protocol):
    """The person or program that changes the disks."""

    def next_disk(self, words: str) -> Path | None:
        """Return the path at which a further disk is mounted; None without a disk or a person to ask."""

    def left(self) -> str:
        """Return in words how much is still to be read."""


@dataclass(frozen=True)
class DiskSupply:
    """The disks for a set: those mounted `at` some paths, and all that the `attendant` brings."""

    at: Sequence[Path]
    attendant: Attendant


class DiskStation:
    """The disks of the set that `commit` ends. It attaches each disk once.

    `own` are the (device, inode) pairs of the folders that this program writes. Each disk adds its folder.
    """

    def __init__(self, commit: Commit, attendant: Attendant, use_at_most: int | None) -> None:
        self.commit = commit
        self._attendant = attendant
        self._use_at_most = use_at_most
        self._attached: list[DiskWriter] = []
        self.own = own_folders(commit.home, commit.home.identity.address)

    def attach_all(self, paths: Sequence[Path]) -> None:
        """Attach the first disks. Raises as `attach`, for all of them together."""
        self.commit.disks = each(self.attach, paths)

    def attach(self, path: Path) -> DiskWriter:
        """Begin the disk at `path`, or continue it. Raises UsageError, MediaError, StoreError."""
        commit = self.commit
        number = number_at(path, commit.kept.state.set)
        if number in {disk.number for disk in self._attached}:
            raise UsageError(
                "usage", f"this is disk {number} once more", subject=str(path),
                hint="give another disk, each by one --to",
            )  # fmt: skip
        disk = attach(commit.home, commit.kept, path, commit.monitor, self._use_at_most)
        self._attached.append(disk)
        self.own.add(identity_of(path if os.path.ismount(path) else path / layout.DISK_FOLDER))
        return disk

    def left(self) -> str:
        """Return in words how much is still to be read."""
        return self._attendant.left()

    def further(self, words: str) -> DiskWriter | None:
        """Ask the attendant until a further disk can be attached. Return None if nobody gives one."""
        while (path := self._attendant.next_disk(words)) is not None:
            try:
                return self.attach(path)
            except OffseedError as error:
                self.commit.monitor.notice(f"{error}; {error.hint}")
        return None

    def release(self, disk: DiskWriter) -> None:
        """Close a full disk while others continue. It may be unmounted from here on."""
        commit = self.commit
        if not disk.sections:
            disk.erase()
            commit.monitor.notice(f"the disk at {disk.path} has no room for anything, and is none of the set")
            return
        if not commit.is_closed(disk):
            commit.close(disk)
        disk.close()
        used = sum(s.archive.size for s in disk.sections)
        what = f"complete, {counted(len(disk.sections), 'archive')}, {size(used)}"
        commit.monitor.notice(f"disk {disk.number} at {disk.path} is {what}: it is safe to remove")

    def close(self) -> None:
        for disk in reversed(self._attached):
            disk.close()
