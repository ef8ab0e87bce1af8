"""Who may write into a vault: requests are answered here, by the credential's rules or the operator's word."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from formats import layout
from formats.documents import credential, envelope
from formats.documents.envelope import Signed, raw_public
from formats.documents.revisions import newest
from formats.documents.vault import Credential, Membership, Request
from formats.errors import FormatError, IntegrityError, VaultError
from formats.ids import MachineId, fingerprint, machine_id
from formats.monitor import Finding, Monitor
from importer.vault import Vault, members


@dataclass(frozen=True)
class Pending:
    """A request that no credential's rules could answer: it waits for the operator."""

    request: Request
    signed: Signed
    reason: str

    @property
    def machine(self) -> MachineId:
        return machine_id(bytes.fromhex(self.request.public_key))


def read_request(vault: Vault, data: bytes, where: str) -> tuple[Request, Signed]:
    """A request signed by the machine's key and by a credential of this vault's authority.

    Raises FormatError, IntegrityError, VaultError vault-foreign.
    """
    signed = envelope.read(data, where)
    request = signed.peek(Request)
    leaf = credential.load_certificate(request.leaf)
    authority = credential.load_certificate(vault.descriptor.certificate)
    try:
        checked = credential.check_leaf(leaf, authority, vault.id)
    except ValueError as error:
        raise IntegrityError(
            "credential-damaged", "the request's certificate is damaged", subject=where
        ) from error
    if request.vault != vault.id or checked.serial != request.serial:
        raise VaultError("vault-foreign", "the request is for another vault or credential", subject=where)
    key = leaf.public_key()
    signed.verify(Request, bytes.fromhex(request.public_key), raw_public(key))  # type: ignore[arg-type]
    return request, signed


def answer_requests(vault: Vault, monitor: Monitor) -> tuple[list[Membership], list[Pending]]:
    """Accept every new request in the vault that its credential allows, by this clock at first sight.

    Returns the machines accepted and the requests left to the operator.
    """
    known = members(vault, monitor)
    accepted: list[Membership] = []
    pending: list[Pending] = []
    for name, _ in list(vault.store.list("requests")):
        try:
            request, signed = read_request(vault, vault.store.get(name), name)
        except (FormatError, IntegrityError, VaultError) as error:
            monitor.finding(Finding(code=error.code, subject=name, detail=error.what))
            continue
        machine = machine_id(bytes.fromhex(request.public_key))
        if machine in known:
            continue
        try:
            _check_current(vault, request, monitor)
            member = admit(vault, request, signed, known, by="credential")
        except VaultError as error:
            pending.append(Pending(request, signed, error.what))
            continue
        known[machine] = member
        accepted.append(member)
    return accepted, pending


def admit(
    vault: Vault, request: Request, signed: Signed, known: dict[MachineId, Membership], *, by: str
) -> Membership:
    """Write the membership. Raises VaultError machine-name-taken."""
    machine = machine_id(bytes.fromhex(request.public_key))
    for other in known.values():
        if other.name == request.name and other.status == "active" and other.machine != machine:
            raise VaultError(
                "machine-name-taken",
                f"another machine of this vault is called {request.name}",
                subject=fingerprint(machine),
                hint="register again under another name (seed register --name)",
            )
    before = known.get(machine)
    member = Membership(
        number=before.number + 1 if before else 1,
        vault=vault.id,
        machine=machine,
        name=request.name,
        public_key=request.public_key,
        key_id=request.key_id,
        request=signed.digest,
        status="active",
        since=int(time.time()),
        accepted_by=by,
    )
    vault.sign(layout.member_prefix(machine), member.number, member)
    return member


def _check_current(vault: Vault, request: Request, monitor: Monitor) -> None:
    issued = newest(vault.store, "credentials", Credential, vault.key, monitor)
    if issued is None or issued[0].number != request.serial or issued[0].leaf != request.leaf:
        raise VaultError("credential-replaced", "a newer credential was issued since")
    leaf = credential.check_leaf(
        credential.load_certificate(request.leaf),
        credential.load_certificate(vault.descriptor.certificate),
        vault.id,
    )
    credential.check_time(leaf, datetime.now(UTC))
