"""The command `seed disks`."""

from typing import TYPE_CHECKING

from formats.shell.console import Console, command
from formats.untrusted import Json
from formats.words import one_line, size
from seed.cli.app import app

if TYPE_CHECKING:
    from seed.disks.drives.attached import AttachedDevice, FoundDisk


@command(app, "disks")
def disks(console: Console) -> None:
    """Show the attached disks and the seeds on them.

    Each with its model, serial number and free space, and with all that speaks against it.

    Example: seed disks
    """
    from seed.disks.drives.attached import attached

    found = attached(console)
    for disk in found:
        _show(console, disk)
    if not found:
        console.say("no disk was found")
    console.result([_told(disk) for disk in found])


def _show(console: Console, disk: "AttachedDevice") -> None:
    device = disk.device
    name = device.mounted or device.path
    room = f"{size(disk.free)} free of {size(device.size)}" if disk.free is not None else size(device.size)
    made = " ".join(filter(None, (device.model, f"serial {device.serial}" if device.serial else None)))
    kind = filter(None, (device.filesystem, room, device.bus, "can be unplugged" if device.removable else ""))
    console.say(one_line(f"{name}: {', '.join(kind)}{'; ' * bool(made)}{made}"))
    for held in disk.holds:
        which = "set" if held.label.authority is None else "shipment"
        console.say(one_line(f"  disk {held.label.number} of {which} {_whose(held)}"))
    for why in disk.warnings().values():
        console.say(f"  WARNING  {why}")


def _whose(held: "FoundDisk") -> str:
    label = held.label
    state = "verified" if held.verified else "closed" if held.closed else "open: its export goes on"
    return f"{label.set[:8]} of {label.machine_name} for vault {label.vault_name}: {state}"


def _told(disk: "AttachedDevice") -> Json:
    device = disk.device
    holds: list[Json] = [
        {
            "set": held.label.set,
            "number": held.label.number,
            "machine": held.label.machine,
            "machine_name": held.label.machine_name,
            "vault_name": held.label.vault_name,
            "closed": held.closed,
            "verified": held.verified,
        }
        for held in disk.holds
    ]
    return {
        "device": device.path,
        "mounted": device.mounted,
        "filesystem": device.filesystem,
        "bytes": device.size,
        "free_bytes": disk.free,
        "model": device.model,
        "serial": device.serial,
        "bus": device.bus,
        "removable": device.removable,
        "read_only": device.read_only,
        "failing": device.failing,
        "holds": holds,
        "warnings": {**disk.warnings()},
    }
