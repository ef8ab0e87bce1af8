"""What befell a disk between its machine and the vault: a chain of signed steps, each naming the one before."""

from formats.documents.codec import Document, choice, flag, hexed, integer, member, optional, text
from formats.documents.disk import DISKS_MAX
from formats.ids import HexDigest, MachineId, SetId, VaultId

EVENTS = (
    "written",
    "closed",
    "verified",
    "sent",
    "received",
    "imported",
    "erasable",
)  # as they follow on each other
STEPS_MAX = 1000
STEP_SIZE_MAX = 8 << 10  # bytes, signed


class Custody(Document):
    """Step `step` in the custody of a disk, told by its machine or by the vault's authority, whose signature it carries: that it was
    `sent` by the machine, all else by the authority.

    `previous` is the digest of the step before. `at` is when it happened, `noted` when that was signed. `generation` and `inventory` are of
    the newest inventory that the teller had seen. An import says whether the vault then held the `whole` of what the disk lists.
    """

    kind = "custody"
    vault: VaultId = member(hexed(16))
    machine: MachineId = member(hexed(16))
    set: SetId = member(hexed(16))
    number: int = member(integer(1, DISKS_MAX))
    step: int = member(integer(1, STEPS_MAX))
    previous: HexDigest | None = member(optional(hexed(32)), default=None)
    role: str = member(choice("machine", "authority"))
    event: str = member(choice(*EVENTS))
    at: int = member(integer())
    noted: int = member(integer())
    generation: int = member(integer(0, 1_000_000))
    whole: bool = member(flag())
    inventory: HexDigest | None = member(optional(hexed(32)), default=None)
    carrier: str | None = member(optional(text(100)), default=None)
    tracking: str | None = member(optional(text(100)), default=None)
    note: str | None = member(optional(text(500)), default=None)
