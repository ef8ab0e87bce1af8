"""The disks that are attached: the room on each, the seeds on it, and the reasons against a seed on it."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from formats.disks import seed_folders
from formats.documents.disk import Label
from formats.documents.envelope import SIZE_MAX
from formats.errors import FormatError, IntegrityError, MediaError, StoreError
from formats.layout import number_of
from formats.monitor import Monitor, Tally
from formats.rules.acceptance import DiskAcceptance, folder_identity
from formats.store.local import LocalStore
from formats.words import size
from seed.disks.drives import linux, macos, windows
from seed.disks.drives.device import Device

ROOM_LITTLE = 1 << 30  # bytes free; or
SHARE_LITTLE = 0.05
INVENTORIES = 8  # the newest of a disk that are read: its writer may have put a million
FAT = {"vfat", "msdos", "fat", "fat32", "fat16"}

_UNREADABLE = (FormatError, IntegrityError, MediaError, StoreError)


@dataclass(frozen=True)
class FoundDisk:
    """A disk of a set, found on a device, by its label and the inventory that closes it."""

    label: Label
    closed: bool
    verified: bool


@dataclass(frozen=True)
class AttachedDevice:
    """A device, the bytes that are free on it, and the disks of sets that it holds.

    `free` is None if the device is not mounted. `unclear` is true if the system does not list its mounts.
    """

    device: Device
    free: int | None = None
    holds: tuple[FoundDisk, ...] = ()
    unclear: bool = False

    def warnings(self) -> dict[str, str]:
        """Return the reasons against a seed on it: each as a stable code and a text."""
        return dict(self._warnings())

    def _warnings(self) -> Iterator[tuple[str, str]]:
        device = self.device
        if device.failing:
            yield "disk-failing", "the disk says itself that it is failing (SMART): use another one"
        if device.system:
            yield "disk-system", "this machine runs from this disk"
        if device.filesystem is None:
            yield "disk-unformatted", "no file system was found on it: make one first, exFAT or ext4"
        elif device.mounted is None and not self.unclear:
            yield "disk-unmounted", "not mounted: mount it first"
        if device.read_only:
            yield "disk-read-only", "it cannot be written"
        if (device.filesystem or "").lower() in FAT:
            yield (
                "disk-fat",
                "FAT keeps no journal: unmount it before it is unplugged, or the newest files may be lost",
            )
        if self.free is not None and self.free < max(ROOM_LITTLE, SHARE_LITTLE * device.size):
            yield "disk-nearly-full", f"only {size(self.free)} are free"


def attached(monitor: Monitor) -> list[AttachedDevice]:
    """Return the disks of this machine, those that can be unplugged first.

    Kernel and network file systems are no disks. A system that does not list its mounts, such as one without
    /proc, is a notice.
    """
    mounts, unclear = list[Device](), False
    try:
        mounts = _mounts()
    except (OSError, psutil.Error) as error:
        unclear = True
        why = getattr(error, "strerror", None) or type(error).__name__
        monitor.notice(
            f"cannot list mounted disks here ({why}): without /proc run `mount -t proc proc /proc` first"
        )
    found = [replace(_looked_at(d), unclear=unclear) for d in _with_mounts(_devices(mounts), mounts)]
    return sorted(found, key=lambda a: (a.device.system, not a.device.removable, a.device.mounted or "~"))


def _mounts() -> list[Device]:
    """Return a device for everything that is mounted. Raises OSError if the system lists no mounts."""
    return [
        Device(m.device, m.mountpoint, m.fstype or None, read_only="ro" in m.opts.split(","))
        for m in psutil.disk_partitions(all=False)
    ]


def _devices(mounts: Sequence[Device]) -> list[Device]:
    """Return the devices that the system's programs report."""
    if sys.platform == "win32":
        return windows.devices()
    if sys.platform == "darwin":
        return macos.devices([m.mounted or "" for m in mounts])
    return linux.devices()


def _with_mounts(devices: Sequence[Device], mounts: Sequence[Device]) -> Iterator[Device]:
    """Yield the devices, and the mounts about which the system's programs reported nothing."""
    at = {mount.path: mount for mount in reversed(mounts)}  # mounted twice: the first counts
    devices = list(
        {device.path: device for device in devices}.values()
    )  # a volume over several disks is listed with each
    known = {device.path for device in devices} | {device.mounted for device in devices}
    for device in devices:
        mount = at.get(device.path, device)
        yield replace(
            device,
            mounted=device.mounted or mount.mounted,
            filesystem=device.filesystem or mount.filesystem,
            read_only=device.read_only or mount.read_only,
        )
    for mount in mounts:
        if not {mount.path, mount.mounted} & known and mount.filesystem not in linux.NO_PLACE:
            yield replace(mount, system=mount.mounted in linux.SYSTEM)


def _looked_at(device: Device) -> AttachedDevice:
    if device.mounted is None:
        return AttachedDevice(device)
    with suppress(OSError):
        usage = psutil.disk_usage(device.mounted)
        device = replace(device, size=usage.total)
        return AttachedDevice(device, usage.free, tuple(_held(Path(device.mounted or ""))))
    return AttachedDevice(device)


def _held(disk: Path) -> Iterator[FoundDisk]:
    """Yield the disks of sets that lie here.

    An object that cannot be believed is passed over: `seed verify` says why.
    """
    folders: list[Path] = []
    with suppress(*_UNREADABLE):
        folders = seed_folders(disk)
    for folder in folders:
        identity = folder_identity(folder.name)
        if identity is None:
            continue
        with suppress(*_UNREADABLE), LocalStore.open(str(folder), read_only=True) as store:
            rules = DiskAcceptance(*identity, folder.name)
            label = rules.read_label(store.get("label", length=SIZE_MAX + 1))
            newest = sorted((n for n, _ in store.list("inventories")), key=number_of)[-INVENTORIES:]
            closed = rules.read_inventories(((n, store.get(n, length=SIZE_MAX + 1)) for n in newest), Tally())
            verified = closed is not None and closed.inventory.verified is not None
            yield FoundDisk(label, closed is not None, verified)
