"""Replacement: a rebuilt server takes the place of the one before it, under the same master key.

The order of writes:

    nothing                        until the vault answers, has the machine before, and the passphrase opens its key.
    the home                       durable before the vault hears of it.
    the key slots, the request     in the vault, signed by the new machine key: the importer does the rest.

The points of the machine before are this one's history: its sequence goes on where the earlier one ended.
"""

from collections.abc import Callable
from dataclasses import dataclass

from formats import layout
from formats.documents import credential, envelope
from formats.documents.credential_file import CredentialFile
from formats.documents.vault import Credential, Membership, Slots
from formats.errors import FormatError, IntegrityError, PassphraseError, VaultError
from formats.ids import MachineId
from formats.monitor import Finding, Monitor
from formats.store.address import open_store
from formats.store.clock import moment_of
from formats.store.contract import Store
from formats.view.view import View
from seed.home.home import HomeState, NewHome
from seed.identity.join_request import ask_to_join
from seed.identity.registration import NewKeys, Registration, Way, check_issued, make_identity
from seed.points.layered_store import LayeredStore
from seed.points.machine_keys import Machine, open_slots, passphrase_wrong
from seed.points.points import points


@dataclass(frozen=True)
class _Before:
    """The machine to replace, and the machines that it replaced itself."""

    member: Membership
    machines: tuple[MachineId, ...]


def replace(
    place: NewHome,
    file: CredentialFile,
    name: str,
    way: Way,
    with_passphrase: Callable[[Callable[[str], NewKeys]], NewKeys],
    monitor: Monitor,
) -> Registration:
    """Take the place of the active machine `name`.

    `with_passphrase` asks for the passphrase that opens its key.

    Raises StoreError if the vault is not reached. Raises VaultError credential-expired, credential-replaced,
    vault-foreign, machine-unknown; PassphraseError passphrase-wrong, slot-missing; HomeError.
    """
    document = file.document
    credential.check_time(file.document, moment_of(place.clock))
    store = open_store(way.address)
    check_issued(store, document, monitor)
    before = _find(store, document, name, monitor)
    keys = with_passphrase(lambda typed: _open(store, before.member, typed, monitor))
    known = [Machine(machine, keys.master) for machine in before.machines]
    last = max(points(LayeredStore([store]), known, monitor), key=lambda p: p.manifest.sequence, default=None)
    state = HomeState()
    if last is not None:
        state = HomeState(sequence=last.manifest.sequence, manifest=last.digest, chunking=last.root.chunking)
    identity = make_identity(file, name, keys, way.address, place.clock, replaced=before.machines)
    home = place.create(identity, state, way.network)
    return Registration(home, ask_to_join(store, identity, monitor))


def _find(store: Store, document: Credential, name: str, monitor: Monitor) -> _Before:
    """Return the active machine of that name. Raises VaultError machine-unknown."""
    view = View(store, bytes.fromhex(document.authority), document.vault, own=())
    looks = view.look_at_machines(layout.MEMBERS, Membership, monitor)
    known = {machine: look.holding for machine, look in looks.items() if look.holding is not None}
    active = {m.name: m for m in known.values() if m.status == "active"}
    if (member := active.get(name)) is None:
        raise VaultError(
            "machine-unknown",
            "cannot take its place: the vault has no active machine of this name",
            subject=name,
            hint=f"give its name by --name: the vault has {', '.join(sorted(active)) or 'none yet'}; a machine that was "
            "never there registers without --replace; one that still waits to be accepted is the operator's to accept first",
        )
    machines = [member.machine]
    while (earlier := known[machines[-1]].replaces or MachineId("")) in known and earlier not in machines:
        machines.append(earlier)
    return _Before(member, tuple(machines))


def _open(store: Store, member: Membership, passphrase: str, monitor: Monitor) -> NewKeys:
    """Return the master key of `member`, from the newest of its slots that the passphrase opens.

    The newest slots of all go with it, so a slot that was removed before does not come back.
    """
    newest_slots: Slots | None = None
    for name in sorted((n for n, _ in store.list(layout.slot_prefix(member.machine))), reverse=True):
        try:
            slots = envelope.read(store.get(name), name).verify(Slots, bytes.fromhex(member.public_key))
            newest_slots = newest_slots or slots
            found = open_slots(slots, passphrase, name)
        except (FormatError, IntegrityError) as error:
            monitor.finding(Finding(code=error.code, subject=name, detail=error.what))
            continue
        if found is not None and found.key_id.hex() == member.key_id:
            return NewKeys(found, newest_slots.slots)
    if newest_slots is None:
        raise PassphraseError(
            "slot-missing", "the vault has no key slot of this machine", subject=member.name,
            hint="register this machine under another name, without --replace. A disk of it may have a slot: then the "
            "passphrase can restore its data",
        )  # fmt: skip
    raise passphrase_wrong(store.address)
