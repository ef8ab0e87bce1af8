"""What a machine may lack that some tests need: each facility is probed once, by using it.

`lacking(name)` says why a facility is not there, or nothing. A `LoopDisk` is a small disk of any file system.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path


class LoopDisk:
    """A file system of `size` bytes in a file in `folder`, mounted at `path` between `mount` and `unmount`."""

    def __init__(self, folder: Path, size: int, fstype: str) -> None:
        self.path = folder / "mnt"
        self.fstype = fstype
        self._image = folder / "image"
        self.path.mkdir()
        with self._image.open("wb") as image:
            image.truncate(size)
        options = ["-q", "-F", "-m", "0"] if fstype == "ext4" else []
        _run(f"mkfs.{fstype}", *options, str(self._image))

    def mount(self) -> None:
        device = self._attach()
        try:
            if self.fstype == "exfat":
                _run("mount.exfat-fuse", device, str(self.path))
            else:
                _run("mount", "-t", self.fstype, device, str(self.path))
        finally:
            # A device in use is only marked: it goes with the mount, however this process ends.
            _run("losetup", "-d", device)

    def unmount(self) -> None:
        """Unmount if mounted, even under open files."""
        if os.path.ismount(self.path):
            try:
                _run("umount", str(self.path))
            except OSError:
                _run("umount", "-l", str(self.path))

    def read_only(self) -> None:
        _run("mount", "-o", "remount,ro", str(self.path))

    def _attach(self) -> str:
        for attempt in range(5):
            try:
                return _run("losetup", "-f", "--show", str(self._image)).strip()
            except OSError:
                if attempt == 4:  # between finding a free device and taking it, another test may take it
                    raise
        raise AssertionError


def lacking(name: str) -> str:
    """Why the facility `name` is not there; empty if it is. An unknown name is a KeyError."""
    return _PROBES[name]()


def promised() -> set[str]:
    """Facilities that whoever runs the tests has promised: a test that lacks one fails instead of skipping."""
    return set(os.environ.get("OFFSEED_REQUIRE", "").split())


@cache
def _root() -> str:
    return "" if hasattr(os, "geteuid") and os.geteuid() == 0 else "not run as root"


@cache
def _loop() -> str:
    return _root() or _mounts("ext4", 8 << 20)


@cache
def _exfat() -> str:
    return _root() or _mounts("exfat", 16 << 20)


def _mounts(fstype: str, size: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        try:
            disk = LoopDisk(Path(folder), size, fstype)
            disk.mount()
            disk.unmount()
        except OSError as error:
            return f"cannot mount {fstype} on a loop device: {error}"
    return ""


def _tool(name: str) -> Callable[[], str]:
    return lambda: "" if shutil.which(name) else f"{name} is not installed"


_PROBES: dict[str, Callable[[], str]] = {
    "root": _root,
    "loop": _loop,
    "exfat": _exfat,
    "rsync": _tool("rsync"),
    "strace": _tool("strace"),
    "setfacl": _tool("setfacl"),
    "setfattr": _tool("setfattr"),
    "npm": _tool("npm"),
}


def _run(*command: str) -> str:
    """The command's output. Raises OSError with what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    if done.returncode:
        raise OSError(f"{command[0]}: {done.stderr.strip() or done.returncode}")
    return done.stdout
