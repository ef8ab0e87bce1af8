"""A vault: a store and its rules. Creating one, opening it, and what its authority signs about it."""

import re
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from formats import layout
from formats.documents import envelope
from formats.documents.codec import Document
from formats.documents.revisions import newest
from formats.documents.vault import VAULT_NAME, Descriptor, Membership
from formats.errors import (
    HomeError,
    NameHeldByOtherError,
    ObstructedError,
    OffseedError,
    StoreError,
    UsageError,
    VaultError,
)
from formats.ids import MachineId, VaultId, random_id
from formats.monitor import Monitor, damage_told
from formats.store.access import Address
from formats.store.address import open_store
from formats.store.contract import Guarded, Octets, Store
from importer.authority import Authority, authorities, authority_of

OPERATOR_RIGHTS = frozenset({"create", "read", "list", "delete"})


@dataclass
class Vault:
    """An open vault. `authority` is None where this home cannot sign for it."""

    store: Store
    descriptor: Descriptor
    authority: Authority | None

    @property
    def id(self) -> VaultId:
        return self.descriptor.vault

    @property
    def name(self) -> str:
        return self.descriptor.name

    @property
    def key(self) -> bytes:
        return bytes.fromhex(self.descriptor.authority)

    def signer(self, home: Path) -> Authority:
        """Raises HomeError authority-missing."""
        return self.authority or authority_of(home, self.id, self.name)

    def signed(self, document: Document) -> bytes:
        """A document signed by the authority."""
        assert self.authority is not None
        return envelope.sign(document, self.authority.document_key)

    def sign(self, prefix: str, number: int, document: Document) -> str:
        """Put a document signed by the authority; returns its name."""
        signed = self.signed(document)
        name = layout.numbered(prefix, number, envelope.read(signed, prefix).digest)
        self.store.put_new(name, signed)
        return name


def put_whole(vault: Vault, name: str, data: Octets) -> bool:
    """Put an object whose name vouches for its bytes, in place of a damaged one; whether there was one. Raises StoreError."""
    try:
        vault.store.put_new(name, data)
    except (NameHeldByOtherError, ObstructedError):
        vault.store.delete(name)
        vault.store.put_new(name, data)
        return True
    return False


def create(
    home: Path, name: str, address: Address, region: str, redundancy: str | None, monitor: Monitor
) -> Vault:
    """Make a vault at `address`, and its authority in `home`. The authority comes first: a vault without one
    could never be used, an authority without a vault harms nobody.

    Raises UsageError name-invalid, VaultError vault-exists, redundancy-differs, rights-missing, StoreError.
    """
    if not re.fullmatch(VAULT_NAME, name):
        raise UsageError(
            "name-invalid",
            "a vault's name has 2 to 50 characters, begins with a letter, and holds letters, digits and hyphens",
            subject=name,
            hint="choose another name",
        )
    if any(a.name.lower() == name.lower() for a in authorities(home)):
        raise VaultError(
            "vault-exists",
            "this operator has a vault of that name",
            subject=name,
            hint="choose another name; or, if that vault was lost, make it again: importer vault recreate NAME --at STORE "
            "--region R",
        )
    store = _empty_store(address, monitor)
    redundancy = _checked_redundancy(store, redundancy)
    vault = VaultId(random_id())
    authority = Authority.create(home, vault, name, store.address, datetime.now(UTC))
    try:
        return _describe(store, authority, region, redundancy)
    except OffseedError:
        authority.path.unlink()  # no vault came of it, and the name is free again
        raise


def recreate(
    home: Path, name: str, address: Address, region: str, redundancy: str | None, monitor: Monitor
) -> Vault:
    """Make a vault that was lost again, empty, by its authority: the same id and keys, so that its disks are for it.

    Its machines are accepted again from the requests on their disks. Raises HomeError authority-missing, VaultError
    vault-exists, StoreError.
    """
    known = {authority.name.lower(): authority for authority in authorities(home)}
    if (authority := known.get(name.lower())) is None:
        raise HomeError(
            "authority-missing",
            "this home has no authority for a vault of that name",
            subject=name,
            hint=f"it has those of {', '.join(sorted(a.name for a in known.values())) or 'none'}; bring the file back "
            "from its copy",
        )
    store = _empty_store(address, monitor)
    return _describe(store, authority, region, _checked_redundancy(store, redundancy))


def _empty_store(address: Address, monitor: Monitor) -> Store:
    """Raises VaultError vault-exists where anything lies there, rights-missing where an operator could not work there."""
    store = open_store(address, create=True)
    if isinstance(store, Guarded) and (lacking := OPERATOR_RIGHTS - store.rights()):
        raise VaultError(
            "rights-missing", f"the access gives no right to {' and '.join(sorted(lacking))}", subject=store.address,
            hint="an operator needs the account's key, or a signature with create, read, list and delete",
        )  # fmt: skip
    if newest(store, "descriptor", Descriptor, None, monitor) is not None:
        raise VaultError(
            "vault-exists", "there is a vault at this store already", subject=store.address,
            hint="choose an empty store",
        )  # fmt: skip
    if any(True for _ in store.list("")):
        raise VaultError(
            "vault-exists", "the store is not empty", subject=store.address, hint="choose an empty store"
        )
    return store


def _checked_redundancy(store: Store, wanted: str | None) -> str:
    """As wanted, else as the account has it, else geo. Raises VaultError redundancy-differs."""
    found = store.redundancy() if isinstance(store, Guarded) else None
    if wanted is not None and found is not None and wanted != found:
        raise VaultError(
            "redundancy-differs", f"the storage account's redundancy is {found}, not {wanted}", subject=store.address,
            hint=f"leave --redundancy out, or take an account whose redundancy is {wanted}",
        )  # fmt: skip
    return wanted or found or "geo"


def _describe(store: Store, authority: Authority, region: str, redundancy: str) -> Vault:
    descriptor = Descriptor(
        number=1,
        vault=authority.vault,
        name=authority.name,
        region=region,
        redundancy=redundancy,
        created=int(time.time()),
        address=store.address,
        authority=authority.public_key.hex(),
        certificate=authority.certificate_der,
    )
    made = Vault(store, descriptor, authority)
    made.sign("descriptor", 1, descriptor)
    return made


def open_vault(home: Path, address: Address, monitor: Monitor) -> Vault:
    """Raises VaultError vault-missing, StoreError."""
    try:
        store = open_store(address)
        found = newest(store, "descriptor", Descriptor, None, monitor)
    except StoreError as error:
        if error.code not in ("store-missing", "not-found"):
            raise
        found = None
    if found is None:
        raise VaultError(
            "vault-missing",
            "there is no vault at this store",
            subject=str(address),
            hint="is the share mounted? Check the address; `importer vault create` makes a new vault, `importer vault "
            "recreate` one that was lost",
        )
    descriptor = found[0]
    try:
        authority = authority_of(home, descriptor.vault, descriptor.name)
    except HomeError as error:
        if error.code != "authority-missing":
            raise
        return Vault(store, descriptor, None)
    if authority.public_key.hex() != descriptor.authority:
        known = newest(store, "descriptor", Descriptor, authority.public_key, monitor)
        if known is None:
            raise VaultError(
                "signature-wrong",
                "the vault's description is not signed by its authority",
                subject=store.address,
                hint="somebody replaced it; nothing was read from it",
            )
        descriptor = known[0]
    return Vault(store, descriptor, authority)


def set_redundancy(vault: Vault, redundancy: str, monitor: Monitor) -> Vault:
    """Raises VaultError redundancy-locked once a machine is registered or asks to be, redundancy-differs."""
    if redundancy == vault.descriptor.redundancy:
        return vault
    if is_registered_with(vault, monitor):
        raise VaultError(
            "redundancy-locked",
            "redundancy cannot change once a machine is registered",
            subject=vault.name,
            hint="create another vault",
        )
    _checked_redundancy(vault.store, redundancy)
    descriptor = replace(vault.descriptor, number=vault.descriptor.number + 1, redundancy=redundancy)
    vault.sign("descriptor", descriptor.number, descriptor)
    return Vault(vault.store, descriptor, vault.authority)


def is_registered_with(vault: Vault, monitor: Monitor) -> bool:
    """Return whether any machine is, or has asked to be: its user was told "Registered", and builds upon the redundancy."""
    from importer.machines import read_request  # it builds upon this module

    if members(vault, monitor):
        return True
    for name, _ in list(vault.store.list("requests")):
        with damage_told(monitor, name), suppress(VaultError):
            read_request(vault, vault.store.get(name), name)
            return True
    return False


def grant_access(vault: Vault, policy: str, days: int) -> tuple[str, datetime]:
    """A standing access for machines, to create, read and list, and when it ends; under a stored access policy, by which it
    can be revoked.

    Raises UsageError store-unknown where the store asks nobody who comes; VaultError rights-missing; StoreError.
    """
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)
    secret = _guarded(vault).grant(ends, policy=policy)
    if secret is None:
        raise VaultError(
            "rights-missing", "this access cannot give another", subject=vault.store.address,
            hint="set AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_KEY: the account's key is needed",
        )  # fmt: skip
    return secret, ends


def revoke_access(vault: Vault, policy: str) -> bool:
    """End all that was granted under a policy; False where there is none of that name. Raises as `grant_access`."""
    return _guarded(vault).revoke(policy)


def _guarded(vault: Vault) -> Guarded:
    if not isinstance(vault.store, Guarded):
        raise UsageError(
            "store-unknown", "this vault lies in a folder, and needs no access", subject=vault.store.address,
            hint="who may use the folder is for its file system to say",
        )  # fmt: skip
    return vault.store


def check_machine(vault: Vault, name: str | None, monitor: Monitor) -> None:
    """Raises UsageError machine-unknown where no member has this name, if one is given."""
    names = sorted(member.name for member in members(vault, monitor).values())
    if name is not None and name not in names:
        raise UsageError(
            "machine-unknown", "the vault has no machine of this name", subject=name,
            hint=f"it has {', '.join(names) or 'none yet'}",
        )  # fmt: skip


def members(vault: Vault, monitor: Monitor) -> dict[MachineId, Membership]:
    """The newest membership of every machine the vault knows."""
    machines = sorted({name.split("/")[1] for name, _ in vault.store.list("machines")})
    found = {}
    for machine in machines:
        member = newest(vault.store, layout.member_prefix(MachineId(machine)), Membership, vault.key, monitor)
        if member is not None and member[0].machine == machine:
            found[MachineId(machine)] = member[0]
    return found
