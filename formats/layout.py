"""Names of objects: one table says, per prefix, who writes, whether names may race, who deletes, what pins.

A disk (its folder `offseed/<set>-<number>/`), a vault and a cache use the same names.
"""

import re
from dataclasses import dataclass

from formats.ids import HexDigest, MachineId, SetId, VaultId
from formats.wire import refuse

NAME_MAX = 200
COMPONENT_MAX = 80
_COMPONENT = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,78}[a-z0-9-])?\Z")  # a last dot is lost on exFAT

REPLACEMENTS = "replacements/authority"
CONDEMNED = "condemned"
SHIPMENTS = "shipments"
SWEEPS = "sweeps"

DISK_FOLDER = "offseed"
DISK_README = "README-offseed.txt"


@dataclass(frozen=True)
class Prefix:
    """One row of the table: `addressed` names follow from the bytes, all others are exclusive. Sizes are in bytes."""

    path: str
    size_max: int
    writer: str
    addressed: bool
    deleter: str
    pinned_by: str


_ARCHIVE, _TABLE, _DOCUMENT = 128 << 20, 16 << 20, 2 << 20

PREFIXES = (
    Prefix("archives/", _ARCHIVE, "machine, importer", True, "prune", "need lists, open sets, jobs"),
    Prefix("indexes/", _TABLE, "machine, importer", True, "prune", "manifests"),
    Prefix("needs/", _TABLE, "machine", True, "prune", "manifests"),
    Prefix("manifests/", _DOCUMENT, "machine", True, "prune", "retention"),
    Prefix("sets/", _DOCUMENT, "machine", True, "prune", "open sets"),
    Prefix("abandonments/", _DOCUMENT, "machine", True, "nobody", "the machine"),
    Prefix("slots/", _DOCUMENT, "machine", True, "authority on request", "the key"),
    Prefix("requests/", _DOCUMENT, "machine", True, "authority", "nothing once answered"),
    Prefix("label", _DOCUMENT, "machine, authority", False, "nobody", "the disk"),
    Prefix("holdings/", _TABLE, "machine, authority", True, "nobody", "inventories"),
    Prefix("inventories/", _DOCUMENT, "machine, authority", True, "nobody", "the disk"),
    Prefix("descriptor/", _DOCUMENT, "authority", True, "nobody", "the vault"),
    Prefix("credentials/", _DOCUMENT, "authority", True, "nobody", "the vault"),
    Prefix("machines/", _DOCUMENT, "authority", True, "nobody", "the vault"),
    Prefix("disks/", _DOCUMENT, "importer", True, "prune", "jobs, open sets"),
    Prefix("shipments/", _DOCUMENT, "authority", True, "nobody", "the vault"),
    Prefix("custody/", _DOCUMENT, "machine, authority", False, "nobody", "the vault"),
    Prefix("jobs/", _DOCUMENT, "importer", True, "prune", "time"),
    Prefix("validations/", _DOCUMENT, "authority", True, "prune", "time"),
    Prefix("wants/", _DOCUMENT, "authority", True, "prune", "nothing once a newer one is there"),
    Prefix("replacements/", _DOCUMENT, "machine, authority", True, "prune", "need lists"),
    Prefix("policies/", _DOCUMENT, "machine", True, "nobody", "the machine"),
    Prefix("terms/", _DOCUMENT, "authority", True, "nobody", "the vault"),
    Prefix("condemned/", _DOCUMENT, "authority", True, "prune", "nothing once it is swept"),
    Prefix("sweeps/", _DOCUMENT, "authority", True, "prune", "nothing once a newer one has ended"),
    Prefix("parity/", _ARCHIVE, "nobody yet", True, "nobody", "reserved for parity across disks"),
)


def check_name(name: str) -> str:
    """`name` if it follows NAME-1, for the dumbest of file systems and the least trusted of writers.

    Raises FormatError.
    """
    if len(name) > NAME_MAX or not all(_COMPONENT.match(part) for part in name.split("/")):
        refuse("NAME-1", "not a valid object name", name[:NAME_MAX] or "an empty name")
    if not any(name.startswith(p.path) if p.path.endswith("/") else name == p.path for p in PREFIXES):
        refuse("NAME-2", "no kind of object has such a name", name)
    return name


def size_max(name: str) -> int:
    """How many bytes an object of that name has at most. Raises FormatError NAME-2."""
    check_name(name)
    return next(p.size_max for p in PREFIXES if name.startswith(p.path))


def archive_name(name: bytes) -> str:
    return _fanned("archives", name.hex())


def index_name(digest: bytes) -> str:
    return _fanned("indexes", digest.hex())


def holdings_name(digest: bytes) -> str:
    return _fanned("holdings", digest.hex())


def need_name(digest: bytes) -> str:
    return _fanned("needs", digest.hex())


def numbered(prefix: str, number: int, digest: HexDigest) -> str:
    """The name of revision `number` of a mutable fact, or of a document in a machine's sequence."""
    return f"{prefix}/{number:010d}-{digest[:32]}"


def number_of(name: str) -> int:
    """The number in a `numbered` name, -1 where there is none."""
    head = name.rpartition("/")[2].partition("-")[0]
    return int(head) if len(head) == 10 and head.isdecimal() else -1


def is_name_of(name: str, digest: HexDigest) -> bool:
    """Whether `name` ends in this digest: whole where objects are addressed, its first 32 digits where numbered."""
    leaf = name.rpartition("/")[2]
    said = leaf.partition("-")[2] if number_of(name) >= 0 else leaf
    return len(said) >= 32 and digest.startswith(said)


def manifest_prefix(machine: MachineId) -> str:
    return f"manifests/{machine}"


def set_prefix(machine: MachineId) -> str:
    return f"sets/{machine}"


def abandonment_prefix(machine: MachineId, disk_set: SetId | None = None) -> str:
    """Where a machine says that it has given a set up, or takes that back; without a set, of all its sets."""
    return f"abandonments/{machine}" if disk_set is None else f"abandonments/{machine}/{disk_set}"


def policy_prefix(machine: MachineId) -> str:
    return f"policies/{machine}"


def terms_prefix(machine: MachineId) -> str:
    """Where the authority says until when it keeps a machine's points, and which have expired."""
    return f"terms/{machine}"


def slot_prefix(machine: MachineId) -> str:
    return f"slots/{machine}"


def member_prefix(machine: MachineId) -> str:
    return f"machines/{machine}"


def disk_folder(disk_set: SetId, number: int) -> str:
    """The folder below `offseed/` that holds disk `number` of a set."""
    return f"{disk_set}-{number}"


def received_prefix(machine: MachineId, disk_set: SetId, number: int) -> str:
    """Where a vault keeps the label and inventories of a disk it has seen: nobody else can take the set's name."""
    return f"disks/{machine}/{disk_folder(disk_set, number)}"


def custody_prefix(machine: MachineId, disk_set: SetId, number: int) -> str:
    """Where a vault keeps what befell a disk."""
    return f"custody/{machine}/{disk_folder(disk_set, number)}"


def custody_name(prefix: str, step: int) -> str:
    """The name of a step in a disk's custody: of two that are put at once one comes after the other."""
    return f"{prefix}/{step:010d}"


def shipment_prefix(shipment: SetId, number: int | None = None) -> str:
    """Where a vault keeps the label and inventories of a disk it has written; without a number, the shipment's set document."""
    return f"{SHIPMENTS}/{shipment}" if number is None else f"{SHIPMENTS}/{disk_folder(shipment, number)}"


def job_prefix(job: str) -> str:
    return f"jobs/{job}"


def wants_prefix(key_id: str) -> str:
    return f"wants/{key_id}"


def offers_prefix(machine: MachineId) -> str:
    """Where a machine's replacements lie until the authority has signed the like of them."""
    return f"replacements/{machine}"


def vault_label(vault: VaultId) -> str:
    return f"vault {vault[:8]}"


def _fanned(prefix: str, hexed: str) -> str:
    return f"{prefix}/{hexed[:2]}/{hexed}"
