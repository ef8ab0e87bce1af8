"""The reports of lsblk, blkid and smartctl about disks on Linux.

Each program may be missing, or may lack the right to report everything.
"""

import shutil
from collections.abc import Iterator
from dataclasses import replace

from formats.untrusted import Json
from seed.disks.drives.device import Device, answer, answer_json, members, number, truth, word

COLUMNS = "NAME,PATH,TYPE,SIZE,MODEL,SERIAL,TRAN,RM,HOTPLUG,RO,FSTYPE,MOUNTPOINT"
SYSTEM = ("/", "/boot", "/boot/efi", "/usr", "/var", "[SWAP]")
DEPTH_MAX = 16  # a file system in a volume in a sealed one on a partition is four
# Parts of a disk, or of another device: no place for files.
NO_PLACE = {"swap", "crypto_LUKS", "LVM2_member", "linux_raid_member", "zfs_member", "squashfs", "iso9660"}


def devices() -> list[Device]:
    """Return all devices that lsblk lists; none if lsblk is missing."""
    told = answer_json("lsblk", "--json", "--bytes", "--output", COLUMNS)
    found = [_with_kind(device) for device in listed(told)]
    failing = {disk: is_failing(disk) for disk in {disk for _, disk in found}}
    return [replace(device, failing=failing[disk]) for device, disk in found]


def listed(told: Json) -> list[tuple[Device, str]]:
    """Return the file systems in lsblk's answer, and the disks without any; each with its disk."""
    tops = members(told.get("blockdevices")) if isinstance(told, dict) else ()
    return [found for top in tops for found in _of_disk(top)]


def _of_disk(top: dict[str, Json]) -> Iterator[tuple[Device, str]]:
    nodes = list(_below(top))
    system = any(node.get("mountpoint") in SYSTEM for node in nodes)
    disk = word(top.get("path")) or ""
    for node in nodes:
        path, kind, mounted = word(node.get("path")), word(node.get("fstype")), word(node.get("mountpoint"))
        if path is None or kind in NO_PLACE or mounted == "[SWAP]" or not number(node.get("size")):
            continue
        if mounted is None and (members(node.get("children")) or (kind is None and node is not top)):
            continue
        yield (
            Device(
                path=path,
                mounted=mounted,
                filesystem=kind,
                size=number(node.get("size")),
                model=word(top.get("model")),
                serial=word(top.get("serial")),
                bus=word(top.get("tran")),
                removable=truth(top.get("rm")) or truth(top.get("hotplug")) or top.get("tran") == "usb",
                read_only=truth(node.get("ro")),
                system=system,
            ),
            disk,
        )


def _below(node: dict[str, Json], depth: int = 0) -> Iterator[dict[str, Json]]:
    yield node
    for child in members(node.get("children")) if depth < DEPTH_MAX else ():
        yield from _below(child, depth + 1)


def _with_kind(found: tuple[Device, str]) -> tuple[Device, str]:
    """Return a device with its file system: if lsblk does not know it, blkid looks, if it may."""
    device, disk = found
    if device.filesystem is None:
        kind = word(
            answer("blkid", "-p", "-o", "value", "-s", "TYPE", device.path).decode("ascii", "replace")
        )
        device = replace(device, filesystem=kind)
    return device, disk


def is_failing(disk: str) -> bool | None:
    """Return the disk's own report about its health; None if the disk or smartctl gives none."""
    if shutil.which("smartctl") is None:
        return None
    return health(answer_json("smartctl", "--health", "--json", disk))


def health(told: Json) -> bool | None:
    """Return whether smartctl's answer says that the disk fails; None if it does not say."""
    status = told.get("smart_status") if isinstance(told, dict) else None
    passed = status.get("passed") if isinstance(status, dict) else None
    return not passed if isinstance(passed, bool) else None
