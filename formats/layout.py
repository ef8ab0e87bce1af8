"""The names of all objects. One table gives each prefix's names, writers, deleters and pins.

A disk (its folder `offseed/<set>-<number>/`), a vault and a cache use the same names. A name has the whole
shape of its row, or it is no name. Everything else that lies in a store is foreign.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import NoReturn

from formats.ids import HexDigest, MachineId, SetId, VaultId
from formats.untrusted import refuse

NAME_MAX = 200
COMPONENT_MAX = 80
_COMPONENT = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,78}[a-z0-9-])?\Z")  # exFAT drops a last dot

REPLACEMENTS = "replacements/authority"
CONDEMNED = "condemned"
SHIPMENTS = "shipments"
SWEEPS = "sweeps"
REGISTERS = "registers"
VAULT = "vault"  # the subject of the registers that list documents of the vault itself
MEMBERS = "machines"
COPIES = "copies"
COPIED = ("descriptor", "machines", "terms", "manifests", "slots", "registers")
REGISTERED = ("machines", "manifests", "sets", "slots", "policies", "terms", "disks")

DISK_FOLDER = "offseed"
DISK_README = "README-offseed.txt"

# The patterns for the parts of a shape, in the order of their replacement.
_PARTS = {
    "<dd>/<digest>": r"([0-9a-f]{2})/\1[0-9a-f]{62}",
    "-<digest>": "-[0-9a-f]{64}",
    "<(?:machine|set|job|key id)>": "[0-9a-f]{32}",
    "<(?:number|sequence|generation|step)>": "[0-9]{10}",
    "<disk>": "[1-9][0-9]{0,3}",
}


@dataclass(frozen=True)
class Prefix:
    """One row of the table.

    `addressed` names follow from the bytes; all others are exclusive. Sizes are in bytes. `below` is the
    whole shape of the part after `path`, in the words of SPEC.md; ` or ` separates two shapes.
    """

    path: str
    below: str
    size_max: int
    writer: str
    addressed: bool
    deleter: str
    pinned_by: str

    @cached_property
    def names(self) -> re.Pattern[str]:
        """The pattern that matches exactly the names of this row."""
        return re.compile("|".join(self._shapes()))

    @cached_property
    def folders(self) -> re.Pattern[str]:
        """The pattern that matches all folders above these names."""
        heads = {
            shape.rsplit("/", count)[0]
            for shape in self._shapes()
            for count in range(1, shape.count("/") + 1)
        }
        return re.compile("|".join(sorted(heads)) or "(?!)")

    def _shapes(self) -> list[str]:
        shapes = []
        for below in self.below.split(" or "):
            for part, pattern in _PARTS.items():
                below = re.sub(part, pattern.replace("\\", r"\\"), below)
            shapes.append(re.escape(self.path) + below)
        return shapes


_ARCHIVE, _TABLE, _DOCUMENT = 128 << 20, 16 << 20, 2 << 20
_FANNED, _NUMBERED, _MACHINES = "<dd>/<digest>", "<number>-<digest>", "<machine>/<number>-<digest>"

_COPIED = " or ".join(
    f"{prefix}/{below}"
    for prefix, shapes in (
        ("descriptor", (_NUMBERED,)),
        ("machines", (_MACHINES,)),
        ("terms", (_MACHINES,)),
        ("manifests", ("<machine>/<sequence>-<digest>",)),
        ("slots", (_MACHINES,)),
        ("registers", (_MACHINES, "vault/<number>-<digest>")),
    )
    for below in shapes
)

# fmt: off
PREFIXES = (
    Prefix("archives/", _FANNED, _ARCHIVE, "machine, importer", True, "prune", "need lists, open sets, jobs"),
    Prefix("indexes/", _FANNED, _TABLE, "machine, importer", True, "prune", "manifests"),
    Prefix("needs/", _FANNED, _TABLE, "machine", True, "prune", "manifests"),
    Prefix("manifests/", "<machine>/<sequence>-<digest>", _DOCUMENT, "machine", True, "prune", "retention"),
    Prefix("sets/", "<machine>/<sequence>-<digest>", _DOCUMENT, "machine", True, "prune", "open sets"),
    Prefix("abandonments/", "<machine>/<set>/<number>-<digest>", _DOCUMENT, "machine", True, "nobody", "the machine"),
    Prefix("slots/", _MACHINES, _DOCUMENT, "machine", True, "authority on request", "the key"),
    Prefix("requests/", "0000000001-<digest>", _DOCUMENT, "machine", True, "authority", "nothing once answered"),
    Prefix("label", "", _DOCUMENT, "machine, authority", False, "nobody", "the disk"),
    Prefix("holdings/", _FANNED, _TABLE, "machine, authority", True, "nobody", "inventories"),
    Prefix("inventories/", "<generation>-<digest>", _DOCUMENT, "machine, authority", True, "nobody", "the disk"),
    Prefix("descriptor/", _NUMBERED, _DOCUMENT, "authority", True, "nobody", "the vault"),
    Prefix("credentials/", _NUMBERED, _DOCUMENT, "authority", True, "nobody", "the vault"),
    Prefix("machines/", _MACHINES, _DOCUMENT, "authority", True, "nobody", "the vault"),
    Prefix("disks/", "<machine>/<set>-<disk>/<generation>-<digest>", _DOCUMENT, "importer", True, "prune", "jobs, open sets"),
    Prefix("shipments/", "<set>-<disk>/<generation>-<digest> or <set>/0000000001-<digest>", _DOCUMENT, "authority", True, "nobody", "the vault"),
    Prefix("custody/", "<machine>/<set>-<disk>/<step>", _DOCUMENT, "machine, authority", False, "nobody", "the vault"),
    Prefix("jobs/", "<job>/<number>-<digest>", _DOCUMENT, "importer", True, "prune", "time"),
    Prefix("validations/", _NUMBERED, _DOCUMENT, "authority", True, "prune", "time"),
    Prefix("wants/", "<key id>/<number>-<digest>", _DOCUMENT, "authority", True, "prune", "nothing once a newer one is there"),
    Prefix("replacements/", "authority/<number>-<digest> or <machine>/<number>-<digest>", _DOCUMENT, "machine, authority", True, "prune", "need lists"),
    Prefix("policies/", _MACHINES, _DOCUMENT, "machine", True, "nobody", "the machine"),
    Prefix("terms/", _MACHINES, _DOCUMENT, "authority", True, "nobody", "the vault"),
    Prefix("condemned/", _NUMBERED, _DOCUMENT, "authority", True, "prune", "nothing once it is swept"),
    Prefix("sweeps/", _NUMBERED, _DOCUMENT, "authority", True, "prune", "nothing once a newer one has ended"),
    Prefix("registers/", "<machine>/<number>-<digest> or vault/<number>-<digest>", _DOCUMENT, "authority", True, "nobody", "the vault"),
    Prefix("copies/", _COPIED, _DOCUMENT, "machine, authority", True, "with the original", "the original"),
    Prefix("parity/", _FANNED, _ARCHIVE, "nobody yet", True, "nobody", "reserved for parity across disks"),
)
# fmt: on

_ROWS = {row.path.removesuffix("/"): row for row in PREFIXES}


def is_name(name: str) -> bool:
    """Return whether an object can have this name: it has the whole shape of a row."""
    row = _ROWS.get(name.partition("/")[0])
    return row is not None and row.names.fullmatch(name) is not None


def is_folder(path: str) -> bool:
    """Return whether objects can lie below this path, as `archives`, `archives/ab` or `manifests/<machine>`."""
    row = _ROWS.get(path.partition("/")[0])
    return row is not None and row.folders.fullmatch(path) is not None


def check_name(name: str) -> str:
    """Return `name` if an object can have it. Raises FormatError NAME-1, NAME-2."""
    if not is_name(name):
        _refuse(name, "no kind of object has such a name")
    return name


def check_folder(path: str) -> str:
    """Return `path` if objects can lie below it. Raises FormatError NAME-1, NAME-2."""
    if not is_folder(path):
        _refuse(path, "no kind of object lies in such a folder")
    return path


def _refuse(name: str, what: str) -> NoReturn:
    if len(name) > NAME_MAX or not all(_COMPONENT.match(part) for part in name.split("/")):
        refuse("NAME-1", "not a valid object name", name[:NAME_MAX] or "an empty name")
    refuse("NAME-2", what, name)


def row_of(name: str) -> Prefix:
    """Return the row of the table for a name. Raises FormatError."""
    return _ROWS[check_name(name).partition("/")[0]]


def size_max(name: str) -> int:
    """Return the largest size in bytes of an object with that name. Raises FormatError."""
    return row_of(name).size_max


def archive_name(name: bytes) -> str:
    return _fanned("archives", name.hex())


def index_name(digest: bytes) -> str:
    return _fanned("indexes", digest.hex())


def holdings_name(digest: bytes) -> str:
    return _fanned("holdings", digest.hex())


def need_name(digest: bytes) -> str:
    return _fanned("needs", digest.hex())


def numbered(prefix: str, number: int, digest: HexDigest) -> str:
    """Return the name of revision `number` of a mutable fact, or of a document in a machine's sequence."""
    return f"{prefix}/{number:010d}-{digest}"


def number_of(name: str) -> int:
    """Return the number in a `numbered` name, or -1 if it has none."""
    head = name.rpartition("/")[2].partition("-")[0]
    return int(head) if len(head) == 10 and head.isdecimal() else -1


def is_name_of(name: str, digest: HexDigest) -> bool:
    """Return whether this digest stands in `name`: as its last part, or behind the number there."""
    return name.rpartition("/")[2].rpartition("-")[2] == digest


def manifest_prefix(machine: MachineId) -> str:
    return f"manifests/{machine}"


def set_prefix(machine: MachineId) -> str:
    return f"sets/{machine}"


def abandonment_prefix(machine: MachineId, disk_set: SetId | None = None) -> str:
    """Return the prefix where a machine gives up a set, or takes that back; without a set, of all its sets."""
    return f"abandonments/{machine}" if disk_set is None else f"abandonments/{machine}/{disk_set}"


def policy_prefix(machine: MachineId) -> str:
    return f"policies/{machine}"


def terms_prefix(machine: MachineId) -> str:
    """Return the prefix of the authority's terms: until when it keeps a machine's points, and the expired ones."""
    return f"terms/{machine}"


def slot_prefix(machine: MachineId) -> str:
    return f"slots/{machine}"


def member_prefix(machine: MachineId) -> str:
    return f"{MEMBERS}/{machine}"


def disk_folder(disk_set: SetId, number: int) -> str:
    """Return the folder below `offseed/` that holds disk `number` of a set."""
    return f"{disk_set}-{number}"


def received_prefix(machine: MachineId, disk_set: SetId, number: int) -> str:
    """Return the prefix where a vault keeps the label and inventories of a disk that it has seen.

    It contains the machine's id, so no other machine can take the set's name.
    """
    return f"disks/{machine}/{disk_folder(disk_set, number)}"


def custody_prefix(machine: MachineId, disk_set: SetId, number: int) -> str:
    """Return the prefix where a vault keeps the custody of a disk."""
    return f"custody/{machine}/{disk_folder(disk_set, number)}"


def custody_name(prefix: str, step: int) -> str:
    """Return the name of a step in a disk's custody.

    Of two steps that are put at once, one comes after the other.
    """
    return f"{prefix}/{step:010d}"


def shipment_prefix(shipment: SetId, number: int | None = None) -> str:
    """Return the prefix where a vault keeps the label and inventories of a disk that it has written.

    Without a number, return the prefix of the shipment's set document.
    """
    return f"{SHIPMENTS}/{shipment}" if number is None else f"{SHIPMENTS}/{disk_folder(shipment, number)}"


def job_prefix(job: str) -> str:
    return f"jobs/{job}"


def wants_prefix(key_id: str) -> str:
    return f"wants/{key_id}"


def offers_prefix(machine: MachineId) -> str:
    """Return the prefix where a machine's replacements lie until the authority has signed equal ones."""
    return f"replacements/{machine}"


def register_prefix(subject: str) -> str:
    """Return the prefix where the authority lists the verified documents of a machine, or of the `vault`."""
    return f"{REGISTERS}/{subject}"


def subject_of(name: str) -> str | None:
    """Return the subject of a document that registers list: the machine in its prefix, or `vault`.

    Return None for any other name.
    """
    head, _, rest = name.partition("/")
    if head in ("descriptor", "credentials"):
        return VAULT
    return rest.partition("/")[0] if head in REGISTERED and rest else None


def copy_name(name: str) -> str:
    """Return the name of an object's second copy, or the prefix of all second copies below a prefix."""
    return f"{COPIES}/{name}"


def copied_from(name: str) -> str:
    """Return the name of the object that this is a copy of."""
    return name.removeprefix(f"{COPIES}/")


def places_of(name: str) -> tuple[str, ...]:
    """Return the names under which an object lies in a vault: its own, and that of its second copy if it has one."""
    return (name, copy_name(name)) if is_copied(name) else (name,)


def is_copied(name: str) -> bool:
    """Return whether the vault holds an object of that name, or all objects below that prefix, twice."""
    return name.partition("/")[0] in COPIED


def vault_label(vault: VaultId) -> str:
    return f"vault {vault[:8]}"


def _fanned(prefix: str, hexed: str) -> str:
    return f"{prefix}/{hexed[:2]}/{hexed}"
