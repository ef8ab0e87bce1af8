"""What the authority signs about a vault, and the one request a machine makes of it."""

from collections.abc import Mapping
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
from formats.wire import Json, refuse

VAULT_NAME = "[A-Za-z][A-Za-z0-9-]{1,49}"
MACHINE_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
CERTIFICATE_MAX = 4096


class Descriptor(Document):
    """Revision `number` of what a vault is. Signed by the authority; the highest number that verifies holds."""

    kind = "descriptor"
    number: int = member(integer(1))
    vault: VaultId = member(hexed(16))
    name: str = member(text(50, VAULT_NAME))
    region: str = member(text(60))
    redundancy: str = member(choice("geo", "local"))
    created: int = member(integer())
    address: str = member(text(1000))
    authority: str = member(hexed(32))
    certificate: bytes = member(blob(CERTIFICATE_MAX))


class Credential(Document):
    """That serial `number` was issued. Signed by the authority; a higher number ends all lower ones."""

    kind = "credential"
    number: int = member(integer(1))
    vault: VaultId = member(hexed(16))
    name: str = member(text(50, VAULT_NAME))
    address: str = member(text(1000))
    authority: str = member(hexed(32))
    certificate: bytes = member(blob(CERTIFICATE_MAX))
    leaf: bytes = member(blob(CERTIFICATE_MAX))
    issued: int = member(integer())
    expires: int = member(integer())


class Request(Document):
    """A machine asks to join, or to take the place of the one that it `replaces`. Signed by its own key *and* by the key
    of the credential it holds."""

    kind = "registration-request"
    signers = 2
    vault: VaultId = member(hexed(16))
    serial: int = member(integer(1))
    leaf: bytes = member(blob(CERTIFICATE_MAX))
    name: str = member(text(63, MACHINE_NAME))
    public_key: str = member(hexed(32))
    key_id: str = member(hexed(16))
    nonce: str = member(hexed(16))
    created: int = member(integer())
    replaces: MachineId | None = member(optional(hexed(16)), default=None)


class Membership(Document):
    """Revision `number` of what the vault knows of a machine. Signed by the authority.

    Of one that was replaced, manifests count up to `last_sequence` and no further.
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
    last_sequence: int | None = member(optional(integer()), default=None)


def _slot() -> Codec:
    def read(value: Json, where: str) -> Mapping[str, Json]:
        if not isinstance(value, dict):
            refuse("DOC-2", "not a JSON object", where)
        return value

    def write(value: Any) -> Json:
        return dict(value)

    return Codec(read, write)


class Slots(Document):
    """Revision `number` of a master key's slots, opaque to this side. Signed by the machine."""

    kind = "slots"
    number: int = member(integer(1))
    vault: VaultId = member(hexed(16))
    machine: MachineId = member(hexed(16))
    key_id: str = member(hexed(16))
    slots: tuple[Mapping[str, Json], ...] = member(many(_slot(), 16))
