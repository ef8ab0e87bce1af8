"""Facilities that some tests need and a machine may lack: each is probed once, by using it.

`lacking(name)` gives the reason why a facility is missing, or nothing. A `LoopDisk` is a small disk of any file system.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests import azurite

DETACHED = 60.0  # seconds
_FUSE = ("exfat", "ntfs", "vfat")
_MAKE = {
    "ext4": ("mkfs.ext4", "-q", "-F", "-m", "0"),
    "ext4-128": ("mkfs.ext4", "-q", "-F", "-m", "0", "-I", "128"),  # keeps whole seconds, until 2038
    "xfs": ("mkfs.xfs", "-q", "-f"),
    "exfat": ("mkfs.exfat",),
    "ntfs": ("mkfs.ntfs", "-q", "-F", "-f"),
    "vfat": ("mkfs.vfat", "-F", "32"),
}


class LoopDisk:
    """A file system of `size` bytes in an image, mounted at `folder`/mnt between `mount` and `unmount`.

    `image` may lie elsewhere, for example in memory; the mount point is always a folder of the system's own disk.
    """

    def __init__(self, folder: Path, size: int, fstype: str, image: Path | None = None) -> None:
        self.path = folder / "mnt"
        self.fstype = fstype
        self.image = image or folder / "image"
        self.device = ""  # while mounted
        self.path.mkdir()
        with self.image.open("wb") as file:
            file.truncate(size)
        _run(*_MAKE[fstype], str(self.image))

    def mount(self, *options: str) -> None:
        self.device = self._attach()
        try:
            _mount(self.fstype, self.device, str(self.path), *options)
        finally:
            # A device in use is only marked: it goes with the mount, however this process ends.
            _run("losetup", "-d", self.device)

    def unmount(self) -> None:
        """Unmount if mounted, even under open files."""
        if self.mounted:
            try:
                _run("umount", str(self.path))
            except OSError:
                _run("umount", "-l", str(self.path))
        if self.fstype in _FUSE:
            self._await_detached()

    @property
    def mounted(self) -> bool:
        """Return whether a file system is mounted here. The list of mounts can lack a line while others mount."""
        try:
            return self.path.stat().st_dev != self.path.parent.stat().st_dev
        except OSError:
            return True  # it was shut down, or its program has died

    def read_only(self) -> None:
        _run("mount", "-o", "remount,ro", str(self.path))

    def _attach(self) -> str:
        for attempt in range(5):
            try:
                return _run("losetup", "-f", "--show", str(self.image)).strip()
            except OSError:
                if attempt == 4:  # between finding a free device and taking it, another test may take it
                    raise
        raise AssertionError

    def _await_detached(self) -> None:
        """Wait until the program behind FUSE has written its last bytes, after the unmounting."""
        until = time.monotonic() + DETACHED
        while self.image.exists() and (there := _run("losetup", "-j", str(self.image))):
            if time.monotonic() > until:
                raise OSError(f"still in use after {DETACHED:.0f} s: {there.strip()}")
            time.sleep(0.01)


def _mount(fstype: str, device: str, path: str, *options: str) -> None:
    given = ("-o", ",".join(options)) if options else ()
    if fstype == "exfat":
        _run("mount.exfat-fuse", *given, device, path)
    elif fstype == "ntfs":
        _run("ntfs-3g", *given, device, path)
    elif fstype == "vfat" and not _kernel_has("vfat"):
        # One thread probes: two threads that read at once sometimes got each other's bytes.
        _run("fusefat", "-s", "-o", ",".join(("rw+", *options)), device, path)
    else:
        _run("mount", "-t", fstype.partition("-")[0], *given, device, path)


def _kernel_has(fstype: str) -> bool:
    if shutil.which("modprobe"):
        subprocess.run(["modprobe", "-q", fstype], check=False)
    return fstype in Path("/proc/filesystems").read_text(encoding="ascii").split()


def lacking(name: str) -> str:
    """Return why the facility `name` is missing, or an empty string. Raises KeyError for an unknown name."""
    return _PROBES[name]()


def insist(name: str) -> None:
    """Skip the test that lacks a facility; fail it if the facility was promised."""
    why = lacking(name)
    if why and name in promised():
        pytest.fail(f"{name} was promised in OFFSEED_REQUIRE: {why}", pytrace=False)
    if why:
        pytest.skip(f"NOT TESTED, needs {name}: {why}")


def promised() -> set[str]:
    """Return the promised facilities: a test that lacks one fails instead of skipping."""
    return set(os.environ.get("OFFSEED_REQUIRE", "").split())


@cache
def _root() -> str:
    return "" if hasattr(os, "geteuid") and os.geteuid() == 0 else "not run as root"


def _file_system(fstype: str, size: int) -> Callable[[], str]:
    return cache(lambda: _root() or _mounts(fstype, size))


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
    "loop": _file_system("ext4", 8 << 20),
    "exfat": _file_system("exfat", 16 << 20),
    "ntfs": _file_system("ntfs", 16 << 20),
    "vfat": _file_system("vfat", 40 << 20),
    "xfs": _file_system("xfs", 320 << 20),
    "rsync": _tool("rsync"),
    "strace": _tool("strace"),
    "setfacl": _tool("setfacl"),
    "setfattr": _tool("setfattr"),
    "azurite": azurite.lacking,
    "tinyproxy": _tool("tinyproxy"),
    "faketime": _tool("faketime"),
    "systemd-analyze": _tool("systemd-analyze"),
}


def _run(*command: str) -> str:
    """Return the command's output. Raises OSError with that output."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    if done.returncode:
        raise OSError(f"{command[0]}: {done.stderr.strip() or done.returncode}")
    return done.stdout
