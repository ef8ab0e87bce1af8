"""The documents that the authority signs about a vault, and the requests and slots of its machines."""

from collections.abc import Iterable, Mapping
from typing import Any

from formats.documents.codec import (
    Codec,
    Document,
    blob,
    choice,
    hexed,
    integer,
    many,
    member,
    optional,
    text,
)
from formats.ids import HexDigest, MachineId, VaultId
from formats.untrusted import Json, refuse

VAULT_NAME = "[A-Za-z][A-Za-z0-9-]{1,49}"
MACHINE_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
CREDENTIAL_MAX = 16 << 10  # bytes of its envelope
SLOTS_MAX = 16
MACHINES_MAX = 10_000  # that one credential registers
SLOTS_NONE = 10**10  # above the number of any revision
COUNTED_SIZE, COUNTED_MAX = 16, 40_000  # bytes of a digest, and the most digests: a membership is a document


class Descriptor(Document):
    """Revision `number` of the description of a vault.

    Signed by the authority; the highest number that verifies holds.
    """

    kind = "descriptor"
    number: int = member(integer(1))
    vault: VaultId = member(hexed(16))
    name: str = member(text(50, VAULT_NAME))
    region: str = member(text(60))
    redundancy: str = member(choice("geo", "local"))
    created: int = member(integer())
    address: str = member(text(1000))
    authority: str = member(hexed(32))


class Credential(Document):
    """Credential `number` of a vault: its holder, the key `public_key`, may register.

    Signed by the authority; a higher number ends all lower ones. It is for so many `machines`, or for the one
    of the name `machine_name`.
    """

    kind = "credential"
    number: int = member(integer(1))
    vault: VaultId = member(hexed(16))
    name: str = member(text(50, VAULT_NAME))
    address: str = member(text(1000))
    authority: str = member(hexed(32))
    public_key: str = member(hexed(32))
    machines: int = member(integer(1, MACHINES_MAX))
    machine_name: str | None = member(optional(text(63, MACHINE_NAME)), default=None)
    issued: int = member(integer())
    expires: int = member(integer())


class Request(Document):
    """The request of a machine to join, or to take the place of the machine that it `replaces`.

    Signed by its own key, by the key of the credential that it holds, *and* by `proof_key`. That key follows
    from the master key, and the `key_id` names it.
    """

    kind = "registration-request"
    signers = 3
    vault: VaultId = member(hexed(16))
    credential: bytes = member(blob(CREDENTIAL_MAX))
    name: str = member(text(63, MACHINE_NAME))
    public_key: str = member(hexed(32))
    key_id: str = member(hexed(16))
    proof_key: str = member(hexed(32))
    nonce: str = member(hexed(16))
    created: int = member(integer())
    replaces: MachineId | None = member(optional(hexed(16)), default=None)


class Membership(Document):
    """Revision `number` of the vault's knowledge of a machine. Signed by the authority.

    Of its key slots, those below revision `slots_from` are void. Once the machine is no longer active, only
    the manifests in `counted` count. It holds the beginnings of their digests.
    """

    kind = "membership"
    number: int = member(integer(1))
    vault: VaultId = member(hexed(16))
    machine: MachineId = member(hexed(16))
    name: str = member(text(63, MACHINE_NAME))
    public_key: str = member(hexed(32))
    key_id: str = member(hexed(16))
    request: HexDigest = member(hexed(32))
    status: str = member(choice("active", "revoked", "replaced"))
    since: int = member(integer())
    accepted_by: str = member(choice("credential", "operator"))
    replaces: MachineId | None = member(optional(hexed(16)), default=None)
    slots_from: int = member(integer(1))
    counted: bytes | None = member(optional(blob(COUNTED_SIZE * COUNTED_MAX)), default=None)


class Counted:
    """The manifests of a machine that count (REV-3).

    All count while the machine is active. Afterwards those count that the vault knew at the end.
    """

    def __init__(self, membership: Membership | None) -> None:
        self.status = "active" if membership is None else membership.status
        self._known: frozenset[bytes] = frozenset()
        if membership is not None and (known := membership.counted):
            self._known = frozenset(
                known[at : at + COUNTED_SIZE] for at in range(0, len(known), COUNTED_SIZE)
            )

    @property
    def code(self) -> str:
        """The code of the finding about a manifest that does not count."""
        return "machine-revoked" if self.status == "revoked" else "machine-replaced"

    def __contains__(self, manifest: HexDigest) -> bool:
        return self.status == "active" or bytes.fromhex(manifest)[:COUNTED_SIZE] in self._known

    def with_all(self, manifests: Iterable[HexDigest]) -> bytes:
        """Return the value of `counted` for a membership in which these manifests count too."""
        return b"".join(sorted(self._known | {bytes.fromhex(m)[:COUNTED_SIZE] for m in manifests}))


ALL_COUNT = Counted(None)


def _slot() -> Codec:
    def read(value: Json, where: str) -> Mapping[str, Json]:
        if not isinstance(value, dict):
            refuse("DOC-2", "not a JSON object", where)
        return value

    def write(value: Any) -> Json:
        return dict(value)

    return Codec(read, write)


class Slots(Document):
    """Revision `number` of a master key's slots, opaque to this side. Signed by the machine.

    With it the machine asks that revisions below `keep_from` be removed.
    """

    kind = "slots"
    number: int = member(integer(1))
    vault: VaultId = member(hexed(16))
    machine: MachineId = member(hexed(16))
    key_id: str = member(hexed(16))
    slots: tuple[Mapping[str, Json], ...] = member(many(_slot(), SLOTS_MAX))
    keep_from: int = member(integer(1))
