"""Registration: from a vault credential to a home with keys, and a request that the vault side answers."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from formats import layout
from formats.documents import credential, envelope
from formats.documents.credential_file import CredentialFile
from formats.documents.vault import Credential, Descriptor, Membership, Request, Slots
from formats.errors import MediaError, StoreError, VaultError, damage_aside
from formats.ids import MachineId, machine_id
from formats.keyed.keys import MasterKey
from formats.keyed.slots import make_slot, slot_to_json
from formats.monitor import Monitor
from formats.store.access import Address
from formats.store.address import open_store
from formats.store.clock import SYSTEM, Clock, moment_of
from formats.store.contract import Store
from formats.untrusted import Json
from formats.view.view import View
from seed.home.home import Home, HomeState, Identity, NewHome
from seed.home.network import Network
from seed.identity.join_request import ask_to_join

# Errors of a vault that is only out of reach today, and has refused nothing.
AWAY = ("store-missing", "store-unreachable", "store-busy", "access-missing")


@dataclass(frozen=True)
class NewKeys:
    """A master key, and the slots that hold it."""

    master: MasterKey
    slots: tuple[Mapping[str, Json], ...]

    @classmethod
    def generate(cls, passphrase: str) -> Self:
        master = MasterKey.generate()
        return cls(master, (slot_to_json(make_slot(passphrase, master)),))


@dataclass(frozen=True)
class Registration:
    home: Home
    reached: bool  # whether the request was put into the vault, or travels on the first disk


@dataclass(frozen=True)
class Way:
    """The way of a machine that registers to its vault.

    With `chosen`, the user named the address, else the credential did. `network` holds the settings that the
    home keeps.
    """

    address: Address
    chosen: bool
    network: Network


def register(
    place: NewHome, file: CredentialFile, name: str, passphrase: str, way: Way, monitor: Monitor
) -> Registration:
    """Make this machine's keys and home, and ask the vault to join.

    The home is durable before the vault hears of it. So a crash leaves a request that travels on the disk,
    never a member without keys.

    Raises VaultError credential-expired, credential-replaced, machine-name-taken, vault-foreign; HomeError.
    """
    credential.check_time(file.document, moment_of(place.clock))
    store = _reach(way, monitor)
    if store is not None:
        check_issued(store, file.document, monitor)
        _check_name(store, file.document, name, monitor)
    identity = make_identity(file, name, NewKeys.generate(passphrase), way.address, place.clock)
    home = place.create(identity, HomeState(), way.network)
    return Registration(home, store is not None and ask_to_join(store, identity, monitor))


def check_issued(store: Store, document: Credential, monitor: Monitor) -> None:
    """Raise VaultError vault-foreign, credential-replaced if the vault speaks against a credential."""
    authority = bytes.fromhex(document.authority)
    view = View(store, authority, document.vault, own=())
    if view.newest("descriptor", Descriptor, authority, monitor) is None:
        raise VaultError(
            "vault-foreign",
            f"the vault at this address is not {document.name}, for which the credential was issued",
            subject=store.address,
            hint="give the vault's address by --vault, or ask the operator for a new credential",
        )
    issued = view.newest("credentials", Credential, authority, monitor)
    if issued is not None and issued.number > document.number:
        raise VaultError(
            "credential-replaced",
            "a newer credential was issued since; only the newest is valid",
            subject=f"credential {document.number}, newest {issued.number}",
            hint="use the newest file, or ask the operator for another one",
        )


def _check_name(store: Store, document: Credential, name: str, monitor: Monitor) -> None:
    """Raise VaultError machine-name-taken if another machine has the name."""
    view = View(store, bytes.fromhex(document.authority), document.vault, own=())
    if name in _names(view, monitor):
        raise VaultError(
            "machine-name-taken",
            "another machine of the vault has this name, or asked for it",
            subject=name,
            hint="choose another one by --name; if this is that machine, rebuilt, take its place by --replace",
        )


def _names(view: View, monitor: Monitor) -> set[str]:
    """Return the names of active members, and of machines that asked to join."""
    found, store = set(), view.store
    known = view.look_at_machines(layout.MEMBERS, Membership, monitor)
    found |= {
        look.holding.name for look in known.values() if look.holding and look.holding.status == "active"
    }
    for object_name, _ in store.list("requests"):
        with damage_aside():
            request = envelope.read(store.get(object_name), object_name).peek(Request)
            if machine_id(bytes.fromhex(request.public_key)) not in known:
                found.add(request.name)
    return found


def _reach(way: Way, monitor: Monitor) -> Store | None:
    """Return the store of the vault; None, after a notice, if it is only away.

    Raises StoreError, MediaError if the vault refuses this machine. They are also raised if the way does not
    work although it was given for this command.
    """
    try:
        return open_store(way.address)
    except (StoreError, MediaError) as error:
        given = way.chosen or way.network.proxy or way.network.standing
        if given or error.code not in AWAY:
            raise
        monitor.notice(
            f"the vault cannot be reached from here ({error}); the registration travels on the disk"
        )
        return None


def make_identity(
    file: CredentialFile,
    name: str,
    keys: NewKeys,
    address: Address,
    clock: Clock = SYSTEM,
    *,
    replaced: tuple[MachineId, ...] = (),
) -> Identity:
    """Return the identity of a machine with a new signing key, and its request.

    The request asks for the place of the first of the `replaced` machines.
    """
    document, key = file.document, Ed25519PrivateKey.generate()
    public, key_id = key.public_key().public_bytes_raw(), keys.master.key_id.hex()
    request = Request(
        vault=document.vault,
        credential=file.signed,
        name=name,
        public_key=public.hex(),
        key_id=key_id,
        proof_key=keys.master.proof.public_key().public_bytes_raw().hex(),
        nonce=os.urandom(16).hex(),
        created=int(clock.now()),
        replaces=replaced[0] if replaced else None,
    )
    slots = Slots(
        number=1,
        vault=document.vault,
        machine=machine_id(public),
        key_id=key_id,
        slots=keys.slots,
        keep_from=1,
    )
    return Identity(
        name=name,
        vault=document.vault,
        vault_name=document.name,
        address=address.text,
        authority=document.authority,
        private_key=key.private_bytes_raw(),
        master_key=keys.master.raw,
        request=envelope.sign(request, key, file.key, keys.master.proof),
        slots=envelope.sign(slots, key),
        replaced=replaced,
    )
