"""The reports of diskutil about disks on macOS."""

import plistlib

from formats.untrusted import Json
from seed.disks.drives.device import Device, answer, number, word

FAILING = {"Verified": False, "Failing": True}


def devices(mounts: list[str]) -> list[Device]:
    """Return the devices that are mounted at these places."""
    found = [described(answer("diskutil", "info", "-plist", mount)) for mount in mounts]
    return [device for device in found if device is not None]


def described(told: bytes) -> Device | None:
    """Return a file system as `diskutil info -plist` describes it; None if it does not."""
    try:
        info: dict[str, Json] = plistlib.loads(told, fmt=plistlib.FMT_XML)
    except Exception:  # broken input makes plistlib raise errors of many types
        return None
    if not isinstance(info, dict):
        return None
    path, mounted = word(info.get("DeviceNode")), word(info.get("MountPoint"))
    if path is None:
        return None
    return Device(
        path=path,
        mounted=mounted,
        filesystem=word(info.get("FilesystemType")),
        size=number(info.get("TotalSize")),
        model=word(info.get("MediaName")),
        bus=word(info.get("BusProtocol")),
        removable=info.get("RemovableMediaOrExternalDevice") is True or info.get("Internal") is False,
        read_only=info.get("WritableVolume") is False,
        system=mounted == "/" or (mounted or "").startswith("/System/"),
        failing=FAILING.get(word(info.get("SMARTStatus")) or ""),
    )
