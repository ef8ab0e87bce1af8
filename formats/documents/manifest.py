"""The manifest: the small signed document that makes a recovery point exist.

Seed and incremental use the same.
"""

from formats.documents.codec import (
    Document,
    Record,
    blob,
    choice,
    flag,
    hexed,
    integer,
    member,
    nested,
    optional,
    text,
)
from formats.documents.vault import MACHINE_NAME
from formats.ids import HexDigest, MachineId, PointId, SetId, VaultId

ROOT_MAX = 64 << 10


class Totals(Record):
    """The totals of the whole point: entries, regular files and their bytes; live archives and their bytes.

    In a revision also the number of files that are lost, wholly or in part.
    """

    entries: int = member(integer())
    files: int = member(integer())
    file_bytes: int = member(integer())
    archives: int = member(integer())
    archive_bytes: int = member(integer())
    lost: int = member(integer())


class Manifest(Document):
    """One recovery point of one machine; `root` is sealed, all else is for the side without keys.

    With `doubted` the machine says that the point may lack files, for example of a file system that was not
    mounted. Such a point takes the place of no other (RET-5).
    """

    kind = "manifest"
    vault: VaultId = member(hexed(16))
    machine: MachineId = member(hexed(16))
    machine_name: str = member(text(63, MACHINE_NAME))
    key_id: str = member(hexed(16))
    point: PointId = member(hexed(16))
    revision: int = member(integer(1))
    sequence: int = member(integer(1, 10**9))
    previous: HexDigest | None = member(optional(hexed(32)), default=None)
    created: int = member(integer())
    point_kind: str = member(choice("seed", "incremental", "partial"))
    set: SetId | None = member(optional(hexed(16)), default=None)
    totals: Totals = member(nested(Totals))
    needs: HexDigest = member(hexed(32))
    root: bytes = member(blob(ROOT_MAX))
    doubted: bool | None = member(optional(flag()), default=None)
