"""The code on a disk's label, for people and scanners. The datacenter finds the disk by it.

    SEED:<machine, 32 hex digits>:<set, 32>:<number>:<check, 4>        in capitals: QR codes store these in few dots
    5f0c1a2b/2                                                         as people type it: the beginning of a set, and the number

The check is the beginning of the BLAKE3 of the text before it. It detects typing errors, not forgery.
"""

import re
from dataclasses import dataclass

from formats.documents.disk import DISKS_MAX
from formats.errors import UsageError
from formats.ids import MachineId, SetId, hex_digest

_LONG = re.compile(r"(seed:([0-9a-f]{32}):([0-9a-f]{32}):([0-9]{1,4})):([0-9a-f]{4})\Z")
_SHORT = re.compile(r"([0-9a-f]{1,32})/([0-9]{1,4})\Z")


@dataclass(frozen=True)
class DiskCode:
    """A disk, by the beginning of its set's id and its number; `machine` is set if the whole code was given."""

    set: str
    number: int
    machine: MachineId | None = None


def code_of(machine: MachineId, disk_set: SetId, number: int) -> str:
    """Return the text of the label's QR code."""
    head = f"seed:{machine}:{disk_set}:{number}"
    return f"{head}:{hex_digest(head.encode())[:4]}".upper()


def parse_code(text: str) -> DiskCode:
    """Read a code, long or short. Raises UsageError code-unreadable."""
    typed = "".join(text.split()).lower()
    if (found := _LONG.match(typed)) is not None:
        head, machine, disk_set, number, check = found.groups()
        if hex_digest(head.encode())[:4] == check and 1 <= int(number) <= DISKS_MAX:
            return DiskCode(disk_set, int(number), MachineId(machine))
    elif (found := _SHORT.match(typed)) is not None and 1 <= int(found[2]) <= DISKS_MAX:
        return DiskCode(found[1], int(found[2]))
    raise UsageError(
        "code-unreadable",
        "this is no code of a disk's label",
        subject=text[:100],
        hint="scan it again, or type the short one, as 5f0c1a2b/2",
    )
