"""The custody of a disk between its machine and the vault: a chain of signed steps, each naming the one before."""

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
)  # in their usual order
STEPS_MAX = 1000
STEP_SIZE_MAX = 8 << 10  # bytes, signed


class Custody(Document):
    """Step `step` in the custody of a disk.

    Its machine signs the event `sent`, the vault's authority all others. `previous` is the digest of the step
    before. `at` is the time of the event, `noted` the time of signing. `generation` and `inventory` are of
    the newest inventory that the signer had seen. An import says whether the vault then held the `whole` of
    the disk's list.
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
