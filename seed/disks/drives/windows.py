"""The reports of Get-Disk about disks on Windows."""

from formats.untrusted import Json
from seed.disks.drives.device import Device, answer_json, members, number, truth, word

QUERY = """
Get-Partition | Where-Object DriveLetter | ForEach-Object {
  $disk = $_ | Get-Disk; $volume = $_ | Get-Volume
  [pscustomobject]@{
    mounted = "$($_.DriveLetter):\\"; filesystem = $volume.FileSystem; size = $volume.Size; model = $disk.FriendlyName
    serial = $disk.SerialNumber; bus = "$($disk.BusType)"; health = "$($disk.HealthStatus)"
    readonly = $disk.IsReadOnly -or $_.IsReadOnly; system = $disk.IsSystem -or $disk.IsBoot
  } } | ConvertTo-Json
"""
PLUGGED = {"USB", "SD", "MMC", "1394"}
FAILING = {"Healthy": False, "Unhealthy": True}


def devices() -> list[Device]:
    """Return all volumes with a drive letter."""
    return listed(answer_json("powershell", "-NoProfile", "-NonInteractive", "-Command", QUERY))


def listed(told: Json) -> list[Device]:
    """Return the volumes in PowerShell's answer, which is a list or the only volume."""
    return [
        Device(
            path=mounted,
            mounted=mounted,
            filesystem=word(row.get("filesystem")),
            size=number(row.get("size")),
            model=word(row.get("model")),
            serial=word(row.get("serial")),
            bus=word(row.get("bus")),
            removable=word(row.get("bus")) in PLUGGED,
            read_only=truth(row.get("readonly")),
            system=truth(row.get("system")),
            failing=FAILING.get(word(row.get("health")) or ""),
        )
        for row in members(told)
        if (mounted := word(row.get("mounted"))) is not None
    ]
