"""Small disks that a story may pull, cut off, fill, wear out or destroy: real file systems on loop devices.

Images, homes and vaults lie in memory where there is room: so no story waits for a slow device.
Mount points are folders of the system's own disk, as /mnt is.
No command may ever write to a mount point without its disk.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.commands import PATIENCE, Process, Program, installed
from tests.facilities import LoopDisk
from tests.journeys import moments, trees
from tests.journeys.stage import Result, Stage, below

assert sys.platform == "linux"

KIB, MIB = 1 << 10, 1 << 20
ARCHIVE = 32 * MIB  # with two or three disks
MEMORY = Path("/dev/shm")
MEMORY_MIN = 2 << 30
SHUTDOWN = 0x8004587D  # FS_IOC_SHUTDOWN
NO_LOG_FLUSH = 2


class Rack:
    """A maker of disks; `clear` unmounts and removes them all."""

    def __init__(self, folder: Path) -> None:
        self._stack = ExitStack()
        self._folder = folder
        self._count = 0
        self.memory = self._stack.enter_context(_memory(folder))

    def disk(self, size: int, fstype: str = "ext4", *options: str) -> LoopDisk:
        return self._disk(size, fstype, self.memory, *options)

    def thin(self, size: int, real: int) -> tuple[LoopDisk, Path]:
        """Return a disk that promises `size` but has only `real` bytes, and the tmpfs with its image."""
        behind = self._folder / f"behind {self._count}"
        behind.mkdir()
        self._stack.callback(_quietly, "umount", "-l", str(behind))
        _command("mount", "-t", "tmpfs", "-o", f"size={real}", "tmpfs", str(behind))
        return self._disk(size, "ext4", behind), behind

    def clear(self) -> None:
        self._stack.close()

    def _disk(self, size: int, fstype: str, images: Path, *options: str) -> LoopDisk:
        self._count += 1
        folder = self._folder / f"disk {self._count}"
        folder.mkdir()
        disk = LoopDisk(folder, size, fstype, images / f"image {self._count}")
        self._stack.callback(disk.unmount)
        disk.mount(*options)
        return disk


@contextmanager
def _memory(otherwise: Path) -> Iterator[Path]:
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < MEMORY_MIN:
        yield otherwise
        return
    path = Path(tempfile.mkdtemp(prefix="offseed-", dir=MEMORY))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def cut_power(*folders: Path, journal: int = NO_LOG_FLUSH) -> None:
    """Shut the file systems down: they lose unflushed data and return only errors until the next mount."""
    for folder in folders:
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, SHUTDOWN, journal.to_bytes(4, "little"))
        finally:
            os.close(handle)


def pull(disk: LoopDisk) -> None:
    """Detach the disk from its mount point while files are open."""
    _command("umount", "-l", str(disk.path))


def break_down(disk: LoopDisk) -> None:
    """Trigger an ext4 error, so that a disk mounted with errors=remount-ro becomes read-only."""
    with suppress(OSError):  # the file system may refuse this write already
        Path(f"/sys/fs/ext4/{Path(disk.device).name}/trigger_fs_error").write_text("1")


def mend(disk: LoopDisk) -> None:
    """Take the disk off and mount it again."""
    disk.unmount()
    disk.mount()


def destroy(disk: LoopDisk) -> None:
    disk.unmount()
    disk.image.unlink()


def grow(behind: Path, real: int) -> None:
    """Enlarge the tmpfs behind a thin disk to `real` bytes."""
    _command("mount", "-o", f"remount,size={real}", str(behind))


def fill(folder: Path) -> Path:
    """Write a foreign file that takes all the free room, and return its path."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(MIB)):
            pass
    return path


def archives(disk: LoopDisk | Path) -> dict[str, int]:
    """Return the sizes of the archives on a disk or in a vault, by name."""
    root = disk if isinstance(disk, Path) else disk.path
    found = [*root.glob("archives/*/*"), *root.glob("offseed/*/archives/*/*")]
    return {p.name: p.stat().st_size for p in found}


def temporaries(root: Path) -> list[Path]:
    return [*root.glob("tmp/*"), *root.glob("offseed/*/tmp/*")]


class Fleet:
    """A machine that backs up `source` to several disks."""

    def __init__(self, stage: Stage, source: Path, disks: Sequence[LoopDisk]) -> None:
        self.stage = stage
        self.source = source
        self.disks = list(disks)

    def words(self, *more: object) -> list[object]:
        return ["export", self.source, *self.named("--to"), *more]

    def named(self, option: str) -> list[object]:
        return [word for disk in self.disks for word in (option, disk.path)]

    def start(self, *more: object) -> Process:
        return self.stage.start("seed", *self.words(*more))

    def run(self, *more: object, code: int | None = 0) -> Result:
        return self.stage.run("seed", *self.words(*more), code=code)

    def export(self, *more: object, code: int | None = 0) -> Any:
        return self.run(*more, "--json", code=code).json

    def struck(self, moment: moments.Moment, number: int, *, nth: int = 1) -> Program:
        """Build the commands with a signal at the n-th such moment of an archive on one of the disks."""
        return moments.at(moment, number, *(disk.path for disk in self.disks), nth=nth)

    @contextmanager
    def writing(self, after: int = 0) -> Iterator[tuple[Process, LoopDisk]]:
        """Start an export, and stop it in the middle of an archive on a disk that holds `after` archives.

        The export goes on afterwards.
        """
        with moments.using(self.stage, self.struck("writing", signal.SIGSTOP, nth=after + 1)):
            process = self.start()
        with moments.stopped(process):
            yield process, next(disk for disk in self.disks if self._is_in_work(disk, after))

    @staticmethod
    def _is_in_work(disk: LoopDisk, after: int) -> bool:
        return len(archives(disk)) >= after and any(p.stat().st_size >= MIB for p in temporaries(disk.path))

    def held(self) -> int:
        """Return the bytes of the archives on all disks, and count each archive once."""
        return sum({name: size for disk in self.disks for name, size in archives(disk).items()}.values())

    def check(self, restored: Path) -> None:
        """Restore from the disks, and check that all is equal and that no temporary file is left."""
        self.check_tidy(*(disk.path for disk in self.disks))
        self.check_restore(restored, *self.named("--from"))

    def check_delivered(self, restored: Path) -> None:
        """Import all disks and restore from the vault, with the same checks as `check`."""
        self.deliver()
        self.check_tidy(self.stage.vault, *(disk.path for disk in self.disks))
        self.check_restore(restored, "--vault", self.stage.at)

    @staticmethod
    def check_tidy(*roots: Path) -> None:
        assert [path for root in roots for path in temporaries(root)] == []

    def deliver(self) -> None:
        """Import all disks, the last one first, and check that there are no findings."""
        words = ("import", *(d.path for d in self.disks[::-1]), "--vault", self.stage.at, "--json")
        done = self.stage.run("importer", *words).json
        assert {d["findings"] for d in done["disks"]} == {0}, done

    def check_restore(self, restored: Path, *place: object) -> None:
        self.stage.restore(restored, *place)
        assert trees.differences(self.source, below(restored, self.source)) == []
        shutil.rmtree(restored)


def traced(*options: str) -> Callable[[str], tuple[str, ...]]:
    """Return the commands under strace, with all their threads."""
    return lambda program: ("strace", "-f", "-qq", "--seccomp-bpf", *options, *installed(program))


def _command(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=PATIENCE)
    if done.returncode:
        raise OSError(f"{words[0]}: {done.stderr.strip()}")


def _quietly(*words: str) -> None:
    with suppress(OSError):
        _command(*words)
