"""The machines that may write into a vault: importers answer their requests and end their memberships.

The credential's rules or the operator's word answer a request. If a machine takes the place of another, its
membership is put first. Then the revision follows that ends the other membership. A crash between the two
leaves both active, and the first names the other. The next importer that answers requests completes this,
from the documents that the authority has signed, even if the request's credential has ended since. In the
other order, no machine could write until the request is answered. That may need the operator.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from formats import layout
from formats.documents import credential, envelope
from formats.documents.envelope import Signed
from formats.documents.manifest import Manifest
from formats.documents.vault import (
    ALL_COUNT,
    COUNTED_MAX,
    COUNTED_SIZE,
    SLOTS_NONE,
    Counted,
    Credential,
    Membership,
    Request,
    Slots,
)
from formats.errors import FormatError, IntegrityError, NotFoundError, VaultError
from formats.ids import MachineId, fingerprint, hex_digest, machine_id
from formats.monitor import Finding, Monitor, Tally
from formats.store.clock import moment_of
from formats.store.contract import Guarded
from formats.untrusted import refuse
from importer.vault.points import line_of, manifests
from importer.vault.registers import register
from importer.vault.vault import Vault, members, unreadable_members

REQUEST_MAX = 64 << 10  # bytes; a credential is the largest part


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
    """Read a request, and check its three signatures.

    The machine's key, a credential of this vault's authority and the proof key of the master key sign it. The
    credential may have ended (CRED-3). Raises FormatError, IntegrityError, VaultError vault-foreign.
    """
    signed = envelope.read(data, where)
    request = signed.peek(Request)
    if request.vault != vault.id:
        raise VaultError("vault-foreign", "the request is for another vault", subject=where)
    issued = envelope.read(request.credential, where).verify(Credential, vault.key)
    if issued.vault != vault.id:
        raise VaultError("vault-foreign", "the request's credential is for another vault", subject=where)
    proof = bytes.fromhex(request.proof_key)
    if envelope.key_name(proof) != request.key_id:
        raise IntegrityError(
            "signature-wrong", "the request does not prove that its machine holds the master key that it names (KEY-2)",
            subject=where, hint="no program of ours wrote it: do not accept it; register again on that machine",
        )  # fmt: skip
    signed.verify(Request, *map(bytes.fromhex, (request.public_key, issued.public_key)), proof)
    return request, signed


def answer_requests(vault: Vault, monitor: Monitor) -> tuple[list[Membership], list[Pending]]:
    """Accept every new request in the vault that its credential allows.

    The time at which the vault's service received the request counts. If no service tells that time, this
    clock at first sight counts. Return the accepted machines and the requests that are left to the operator.
    """
    known = members(vault, monitor)
    complete_replacements(vault, known, monitor)
    accepted: list[Membership] = []
    pending: list[Pending] = []
    answered = {member.request for member in known.values()}  # each was verified when it was admitted
    lost = unreadable_members(
        vault
    )  # one of them may have been revoked: only the operator's word lets it in again
    for name, size in list(vault.store.list("requests")):
        try:
            if size > REQUEST_MAX:  # anybody may put some there, and to parse them takes long
                refuse("ENV-1", "larger than any request", name)
            data = vault.store.get(name)
            if hex_digest(data) in answered:
                continue
            request, signed = read_request(vault, data, name)
        except NotFoundError:
            continue  # answered and deleted since the listing
        except (FormatError, IntegrityError, VaultError) as error:
            monitor.finding(Finding(code=error.code, subject=name, detail=error.what))
            continue
        machine = machine_id(bytes.fromhex(request.public_key))
        if machine in known:
            continue
        if machine in lost:
            pending.append(Pending(request, signed, "its membership was lost; it may have been revoked"))
            continue
        try:
            _check_current(vault, request, name, monitor)
            member = admit(vault, request, signed, known, monitor, by="credential")
        except VaultError as error:
            pending.append(Pending(request, signed, error.what))
            continue
        accepted.append(member)
    return accepted, pending


def admit(
    vault: Vault,
    request: Request,
    signed: Signed,
    known: dict[MachineId, Membership],
    monitor: Monitor,
    *,
    by: str,
) -> Membership:
    """Write the membership, and end the membership of the machine that is replaced; `known` learns of both.

    Raises VaultError machine-name-taken, key-taken, replacement-refused.
    """
    machine = machine_id(bytes.fromhex(request.public_key))
    before = known.get(machine)
    # In a vault that was made again, a machine may come after the one that took its place.
    past = before is None and any(m.replaces == machine and m.status != "revoked" for m in known.values())
    if request.replaces is not None:
        _check_replaced(request, request.replaces, before, known.get(request.replaces), by)
    if not past:
        _check_name(request, machine, known)
    _check_key(request, machine, known)
    prefix = layout.member_prefix(machine)
    member = known[machine] = Membership(
        number=vault.view.look(prefix, Membership, vault.key, Tally()).next_number,
        vault=vault.id,
        machine=machine,
        name=request.name,
        public_key=request.public_key,
        key_id=request.key_id,
        request=signed.digest,
        status="replaced" if past else "active",
        since=vault.now(),
        accepted_by=by,
        replaces=request.replaces,
        slots_from=before.slots_from if before else _first_slots(vault, machine, request.public_key),
    )
    vault.sign(prefix, member.number, member)
    register(vault, monitor)
    complete_replacements(vault, known, monitor)
    return member


def complete_replacements(vault: Vault, known: dict[MachineId, Membership], monitor: Monitor) -> None:
    """End the membership of every machine that an active one has replaced; `known` learns of it.

    Raises the same errors as `revoke`.
    """
    for member in list(known.values()):
        before = known.get(member.replaces or MachineId(""))
        if member.status == "active" and before is not None and before.status == "active":
            known[before.machine] = _end(vault, before, "replaced", monitor)


def revoke(
    vault: Vault, known: dict[MachineId, Membership], machine: MachineId, monitor: Monitor
) -> Membership:
    """End a machine; `known` learns of it. Raises VaultError machine-unknown.

    The documents of the machine that the vault holds stay good. Nothing else of it counts from here on.
    """
    complete_replacements(vault, known, monitor)
    member = known.get(machine)
    if member is None:
        raise _no_member(machine)
    if member.status != "revoked":
        known[machine] = _end(vault, member, "revoked", monitor)
    return known[machine]


def drop_keys(
    vault: Vault, known: dict[MachineId, Membership], machine: MachineId, monitor: Monitor
) -> list[str]:
    """Remove the key slots that a machine asks to have removed, and return their names.

    The slots of the machines that it replaced go, too. `known` learns of the new memberships. They are
    written first: from there on no disk brings such slots in again (SLOT-6). Raises VaultError
    machine-unknown.
    """
    member = known.get(machine)
    if member is None:
        raise _no_member(machine)
    prefix, key = layout.slot_prefix(machine), bytes.fromhex(member.public_key)
    look = vault.view.look(
        prefix, Slots, key, monitor, lambda entry: layout.number_of(entry.name) < member.slots_from
    )
    slots = look.holding
    # No machine removes its newest slots: then nothing would open its points.
    keep = max(member.slots_from, min(slots.keep_from, slots.number) if slots is not None else 1)
    if keep == 1:
        return []
    line = line_of(member, known)
    for before, keep_from in zip(line, (keep, *(SLOTS_NONE for _ in line[1:])), strict=True):
        if before.slots_from < keep_from:
            known[before.machine] = _revise(vault, before, slots_from=keep_from)
    dropped = set[str]()
    for before in line:
        prefix, key = layout.slot_prefix(before.machine), bytes.fromhex(before.public_key)
        facts = vault.view.look(prefix, Slots, key, Tally()).facts
        dropped |= {f.name for f in facts if layout.number_of(f.name) < known[before.machine].slots_from}
        for place in layout.places_of(prefix):
            for name, _ in list(vault.store.list(place)):
                if layout.number_of(name) < known[before.machine].slots_from:
                    vault.store.delete(name)
    return sorted(dropped)


def _no_member(machine: MachineId) -> VaultError:
    return VaultError(
        "machine-unknown", "the vault has no machine of this fingerprint", subject=fingerprint(machine),
        hint="see `importer machines list`; one that waits there is no member, and gets nothing until it is accepted",
    )  # fmt: skip


def accept_further(
    vault: Vault,
    known: dict[MachineId, Membership],
    machine: MachineId,
    status: str,
    signed: Iterable[tuple[Manifest, Signed]],
) -> None:
    """Let documents of an ended machine count by the operator's word; `known` learns of it.

    They are its manifests among `signed`. The vault did not have them when the machine was replaced or
    revoked, as `status` says. Raises VaultError machine-unknown, manifests-too-many.
    """
    member = known.get(machine)
    if member is None or member.status != status:
        raise VaultError(
            "machine-unknown", f"no machine of this fingerprint was {status}", subject=fingerprint(machine),
            hint="see `importer machines list`",
        )  # fmt: skip
    further = [s.digest for m, s in signed if (m.vault, m.machine) == (vault.id, machine)]
    counted = Counted(member).with_all(further)
    if len(counted) > COUNTED_SIZE * COUNTED_MAX:
        raise VaultError(
            "manifests-too-many", f"the membership of {member.name} would name more points than the {COUNTED_MAX:,} it can",
            subject=fingerprint(machine), hint="nothing further of this machine can be taken in",
        )  # fmt: skip
    if counted != member.counted:
        known[machine] = _revise(vault, member, counted=counted)


def _first_slots(vault: Vault, machine: MachineId, public_key: str) -> int:
    """Return the lowest revision of the machine's key slots that the vault has.

    A membership that is lost may have removed the revisions below.
    """
    look = vault.view.look(layout.slot_prefix(machine), Slots, bytes.fromhex(public_key), Tally())
    return min((layout.number_of(fact.name) for fact in look.facts), default=1)


def _end(vault: Vault, member: Membership, status: str, monitor: Monitor) -> Membership:
    digests = [signed.digest for _, signed in manifests(vault, member, monitor)]
    if len(digests) > COUNTED_MAX:
        # No machine may make itself too large to be ended. If it was taken over, its first points are the
        # likeliest to be its own.
        which = "first" if status == "revoked" else "last"
        digests = digests[:COUNTED_MAX] if status == "revoked" else digests[-COUNTED_MAX:]
        monitor.notice(
            f"of the points of {member.name} only the {which} {COUNTED_MAX:,} count: a membership names no more"
        )
    counted = ALL_COUNT.with_all(digests)
    return _revise(vault, member, status=status, since=vault.now(), counted=counted)


def _revise(vault: Vault, member: Membership, **changes: object) -> Membership:
    revised = replace(member, number=member.number + 1, **changes)  # type: ignore[arg-type]
    vault.sign(layout.member_prefix(member.machine), revised.number, revised)
    register(vault, Tally())
    return revised


def _check_name(request: Request, machine: MachineId, known: dict[MachineId, Membership]) -> None:
    for other in known.values():
        if other.machine in (machine, request.replaces):
            continue
        if other.name == request.name and other.status == "active":
            raise VaultError(
                "machine-name-taken",
                f"another machine of this vault is called {request.name}",
                subject=fingerprint(machine),
                hint="register again under another name (seed register --name)",
            )


def _check_key(request: Request, machine: MachineId, known: dict[MachineId, Membership]) -> None:
    """Check that no other machine has the master key (REV-4). Raises VaultError key-taken.

    Only the machine of a key may offer, ask for and replace the objects under it.
    """
    taken = request.replaces or machine
    own = {machine, taken, *(m.machine for m in (line_of(known[taken], known) if taken in known else ()))}
    for other in known.values():
        after = {m.replaces for m in line_of(other, known)}
        if other.key_id == request.key_id and other.machine not in own and machine not in after:
            raise VaultError(
                "key-taken", f"another machine of this vault, {other.name}, has the master key that this one names",
                subject=fingerprint(machine),
                hint="register with --replace to take its place; the vault admits no other machine with its key",
            )  # fmt: skip


def _check_replaced(
    request: Request, wanted: MachineId, before: Membership | None, other: Membership | None, by: str
) -> None:
    """Check that a machine may take the place of another (REV-2). Raises VaultError replacement-refused.

    `other` is the machine `wanted`, or None if the vault does not know it.
    """
    if other is None:
        why = "is not registered with this vault" if by != "operator" else ""
    elif (other.name, other.key_id) != (request.name, request.key_id):
        why = "has another name or another master key"
    elif other.status != "active" and (before is None or before.replaces != wanted):
        why = f"was {other.status} already"
    else:
        why = ""
    if why:
        raise VaultError(
            "replacement-refused",
            f"cannot take the place of {fingerprint(wanted)}: this machine {why}",
            subject=fingerprint(machine_id(bytes.fromhex(request.public_key))),
            hint="register again with --replace, under the name of the machine that is active now",
        )


def _check_current(vault: Vault, request: Request, name: str, monitor: Monitor) -> None:
    issued = vault.view.newest("credentials", Credential, vault.key, monitor)
    if issued is None or issued != envelope.read(request.credential, name).peek(Credential):
        raise VaultError("credential-replaced", "a newer credential was issued since")
    told = vault.store.written(name) if isinstance(vault.store, Guarded) else None
    credential.check_time(issued, told or moment_of(vault.clock))
