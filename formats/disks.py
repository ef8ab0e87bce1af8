"""The places of our folders on a disk.

The writer of the disk may have put links there; this code follows none.
"""

import os
from pathlib import Path

from formats.errors import MediaError, UsageError
from formats.ids import SetId
from formats.layout import DISK_FOLDER
from formats.rules.acceptance import folder_identity
from formats.store.failures import meaning, told

FOLDERS_MAX = 128  # each is held open while it is read


def seed_folders(disk: Path) -> list[Path]:
    """Return our folders on a disk, by name; none if `offseed/` is a link or a file.

    A folder in it that is a link or a file is left out. Raises MediaError disk-crowded, MediaError,
    StoreError.
    """
    top = disk / DISK_FOLDER
    with told(str(top)):
        if top.is_symlink() or not top.is_dir():
            return []
        with os.scandir(top) as entries:
            names = [e.name for e in entries if folder_identity(e.name) and e.is_dir(follow_symlinks=False)]
    if len(names) > FOLDERS_MAX:
        raise MediaError(
            "disk-crowded", f"{len(names):,} seeds lie on this disk, and no disk has so many", subject=str(top),
            hint="somebody has filled it up: move the folders that are known to another disk, and ask the sender",
        )  # fmt: skip
    return [top / name for name in sorted(names)]


def top_folder(disk: Path) -> Path:
    """Return the folder `offseed/` of a disk; make it if need be.

    Raises MediaError disk-foreign, MediaError, StoreError.
    """
    return _own(disk, disk / DISK_FOLDER)


def set_folder(disk: Path, name: str) -> Path:
    """Return the folder of that name below `offseed/`; make it if need be.

    Raises the errors of `top_folder`.
    """
    return _own(disk, top_folder(disk) / name)


def number_at(disk: Path, disk_set: SetId) -> int | None:
    """Return the number of this disk in the set; None if no folder of it exists.

    Raises UsageError, MediaError, StoreError.
    """
    top = disk / DISK_FOLDER
    try:
        names = sorted(os.listdir(top)) if top.is_dir() else []
    except OSError as error:
        raise meaning(error, str(top)) from error
    found = [identity[1] for name in names if (identity := folder_identity(name)) and identity[0] == disk_set]
    if len(found) > 1:
        raise UsageError(
            "usage",
            "several disks of one set were copied into one folder",
            subject=str(top),
            hint="give each disk as it is mounted",
        )
    return found[0] if found else None


def _own(disk: Path, folder: Path) -> Path:
    with told(str(folder)):
        folder.mkdir(exist_ok=True)
        expected = os.path.join(os.path.realpath(disk), os.path.relpath(folder, disk))
        if os.path.normcase(os.path.realpath(folder)) != os.path.normcase(expected):
            raise MediaError(
                "disk-foreign", "a link, or something else, stands where a folder of ours should be", subject=str(folder),
                hint="somebody put it there: look at it, and give another disk",
            )  # fmt: skip
    return folder


def check_disk(path: Path) -> None:
    """Raise MediaError disk-missing if `path` is no folder. A missing mount point is never created."""
    if not path.is_dir():
        what = "there is no disk at this path"
        if path.is_block_device():
            what = "this is a device, not the folder that it is mounted at"
        elif path.exists():
            what = "this is a file, not the folder of a disk"
        raise MediaError(
            "disk-missing", what, subject=str(path), hint="mount the disk and give the path it is mounted at"
        )
