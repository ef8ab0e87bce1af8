"""A vault, a store with rules: the code that creates and opens it, and signs its documents."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from formats import layout
from formats.documents import envelope
from formats.documents.codec import Document
from formats.documents.vault import VAULT_NAME, Descriptor, Membership
from formats.errors import (
    FormatError,
    HomeError,
    IntegrityError,
    NameHeldByOtherError,
    NotFoundError,
    ObstructedError,
    OffseedError,
    StoreError,
    UsageError,
    VaultError,
)
from formats.ids import MachineId, VaultId, random_id
from formats.monitor import Monitor, Tally
from formats.store.access import Address
from formats.store.address import open_store
from formats.store.clock import SYSTEM, Clock, moment_of
from formats.store.contract import Guarded, Octets, Store
from formats.view.facts import Fact, Look, Pin
from formats.view.view import View
from importer.vault import home_memory
from importer.vault.authority import Authority, authorities, authority_of

D = TypeVar("D", bound=Document)

OPERATOR_RIGHTS = frozenset({"create", "read", "list", "delete"})


@dataclass
class Vault:
    """An open vault; `authority` is None if this home cannot sign for it."""

    store: Store
    descriptor: Descriptor
    authority: Authority | None
    clock: Clock = SYSTEM
    memberships: tuple[frozenset[str], Mapping[MachineId, Look[Membership]]] | None = field(
        default=None, init=False, compare=False
    )

    @cached_property
    def view(self) -> View:
        """The documents of the vault that this home believes."""
        home = self.authority.home if self.authority is not None else None
        known = home_memory.load(home, self.id) if home is not None else home_memory.Seen()
        return View(self.store, self.key, self.id, known.pins, since=known.since)

    @property
    def id(self) -> VaultId:
        return self.descriptor.vault

    @property
    def name(self) -> str:
        return self.descriptor.name

    @property
    def key(self) -> bytes:
        return bytes.fromhex(self.descriptor.authority)

    def now(self) -> int:
        """Return the time of this machine, in whole seconds since 1970.

        It is never before the time at which the vault was made again: else nobody would count this word (SEEN-6).
        """
        return max(int(self.clock.now()), self.view.since)

    def signer(self, home: Path) -> Authority:
        """Return the vault's authority. Raises HomeError authority-missing."""
        return self.authority or authority_of(home, self.id, self.name)

    def signed(self, document: Document) -> bytes:
        """Return a document signed by the authority."""
        assert self.authority is not None
        return envelope.sign(document, self.authority.document_key)

    def sign(self, prefix: str, number: int, document: Document) -> str:
        """Sign a document by the authority, put it, and return its name."""
        return self.put_signed(prefix, number, document).name

    def put_signed(self, prefix: str, number: int, document: D) -> Fact[D]:
        """Sign and put the document, and return it as a verified fact."""
        signed = envelope.read(self.signed(document), prefix)
        name = layout.numbered(prefix, number, signed.digest)
        for place in layout.places_of(name):
            put_whole(self, place, signed.data)
        return Fact(name, document, signed)

    def remember(self, pins: dict[str, Pin]) -> None:
        """Keep the last registers in the home. Raises HomeError."""
        assert self.authority is not None
        home_memory.note(self.authority.home, self.id, self.store.address, pins)
        self.view.pins = pins


def put_whole(vault: Vault, name: str, data: Octets) -> bool:
    """Put an object in place of a damaged one, if any. Return whether there was one. Raises StoreError.

    The name of the object vouches for its bytes.
    """
    try:
        vault.store.put_new(name, data)
    except (NameHeldByOtherError, ObstructedError):
        vault.store.delete(name)
        vault.store.put_new(name, data)
        return True
    return False


def create(
    home: Path, name: str, address: Address, region: str, redundancy: str | None, clock: Clock = SYSTEM
) -> Vault:
    """Make a vault at `address`, and its authority in `home`.

    The authority comes first: a vault without one could never be used, and an authority without a vault harms
    nobody. Raises UsageError name-invalid, VaultError vault-exists, redundancy-differs, rights-missing,
    StoreError.
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
    store = _empty_store(address)
    redundancy = checked_redundancy(store, redundancy)
    vault = VaultId(random_id())
    authority = Authority.create(home, vault, name, store.address)
    try:
        return _describe(store, authority, region, redundancy, clock)
    except OffseedError:
        authority.path.unlink()  # no vault was made, and the name is free again
        raise


def recreate(
    home: Path, name: str, address: Address, region: str, redundancy: str | None, clock: Clock = SYSTEM
) -> Vault:
    """Make a lost vault again, empty, by its authority.

    It has the same id and keys, so the disks of the lost vault are for it. Its machines are accepted again
    from the requests on their disks. Raises HomeError authority-missing, VaultError vault-exists, StoreError.
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
    store = _empty_store(address)
    home_memory.begin_anew(home, authority.vault, int(clock.now()))
    return _describe(store, authority, region, checked_redundancy(store, redundancy), clock)


def _empty_store(address: Address) -> Store:
    """Open an empty store, and create it if need be. Raises VaultError vault-exists, rights-missing.

    The errors say that something lies there, or that an operator could not work there.
    """
    store = open_store(address, create=True)
    if isinstance(store, Guarded) and (lacking := OPERATOR_RIGHTS - store.rights()):
        raise VaultError(
            "rights-missing", f"the access gives no right to {' and '.join(sorted(lacking))}", subject=store.address,
            hint="an operator needs the account's key, or a signature with create, read, list and delete",
        )  # fmt: skip
    if any(True for _ in store.list("")):
        raise VaultError(
            "vault-exists",
            "the store is not empty: a vault may lie there",
            subject=store.address,
            hint="choose an empty store",
        )
    return store


def checked_redundancy(store: Store, wanted: str | None) -> str:
    """Return the redundancy: as wanted, else as the account has it, else geo.

    Raises VaultError redundancy-differs.
    """
    found = store.redundancy() if isinstance(store, Guarded) else None
    if wanted is not None and found is not None and wanted != found:
        raise VaultError(
            "redundancy-differs", f"the storage account's redundancy is {found}, not {wanted}", subject=store.address,
            hint=f"leave --redundancy out, or take an account with the redundancy {wanted}",
        )  # fmt: skip
    return wanted or found or "geo"


def _describe(store: Store, authority: Authority, region: str, redundancy: str, clock: Clock) -> Vault:
    descriptor = Descriptor(
        number=1,
        vault=authority.vault,
        name=authority.name,
        region=region,
        redundancy=redundancy,
        created=int(clock.now()),
        address=store.address,
        authority=authority.public_key.hex(),
    )
    made = Vault(store, descriptor, authority, clock)
    made.sign("descriptor", 1, descriptor)
    return made


def open_vault(home: Path, address: Address, monitor: Monitor, clock: Clock = SYSTEM) -> Vault:
    """Open the vault at an address.

    Raises VaultError vault-missing, vault-ambiguous, vault-damaged, StoreError.
    """
    try:
        store = open_store(address)
        ours = _described(home, store, monitor)
    except StoreError as error:
        if error.code not in ("store-missing", "not-found"):
            raise
        raise _missing(address) from error
    if len(ours) > 1:
        names = " and ".join(sorted(authority.name for authority, _ in ours))
        raise VaultError(
            "vault-ambiguous", f"descriptions of several vaults lie in this store, {names}", subject=store.address,
            hint="open the vault by the address at which it was created or opened before, or have the copied description "
            "removed: nothing was read",
        )  # fmt: skip
    if not ours:
        return Vault(store, _stranger(store, address), None, clock)
    (authority, look) = ours[0]
    if look.newest is None or look.hidden is not None:
        raise VaultError(
            "vault-damaged", "the vault's description is damaged, and so is its copy", subject=store.address,
            hint="bring `descriptor` and `copies/descriptor` back from a copy of the store; nothing was changed",
        )  # fmt: skip
    return Vault(store, look.newest.document, authority, clock)


def _described(home: Path, store: Store, monitor: Monitor) -> list[tuple[Authority, Look[Descriptor]]]:
    """Return the vaults of this home that may lie in a store, each with its description.

    If one vault was opened at this address before, only that one counts. Otherwise, all vaults count with a
    description there that their authority signed. A description says nothing of the store in which it lies:
    anybody can copy it.
    """
    known = authorities(home)
    here = [a for a in known if store.address in (a.address, *home_memory.load(home, a.vault).addresses)]
    found = []
    for authority in here if len(here) == 1 else known:
        remembered = home_memory.load(home, authority.vault)
        view = View(store, authority.public_key, authority.vault, remembered.pins, since=remembered.since)
        look = view.look("descriptor", Descriptor, authority.public_key, monitor)
        if look.facts or look.unreadable:
            found.append((authority, look))
    return found


def _stranger(store: Store, address: Address) -> Descriptor:
    """Return the description of a vault with no authority in this home. Raises VaultError.

    The description alone names its authority.
    """
    found: dict[str, Descriptor] = {}
    for name, _ in store.list("descriptor"):
        try:
            signed = envelope.read(store.get(name, length=envelope.SIZE_MAX + 1), name)
            document = signed.verify(Descriptor, bytes.fromhex(signed.peek(Descriptor).authority))
        except (FormatError, IntegrityError, NotFoundError):
            continue
        before = found.get(document.authority)
        if document.number == layout.number_of(name) and (before is None or before.number < document.number):
            found[document.authority] = document
    if len(found) > 1:
        raise VaultError(
            "vault-ambiguous", f"{len(found)} authorities describe a vault in this store", subject=store.address,
            hint="run where the vault was created, or name that home by IMPORTER_HOME: it knows which is its own",
        )  # fmt: skip
    if not found:
        raise _missing(address)
    return next(iter(found.values()))


def _missing(address: Address) -> VaultError:
    return VaultError(
        "vault-missing",
        "there is no vault at this store",
        subject=str(address),
        hint="is the share mounted? Check the address; `importer vault create` makes a new vault, `importer vault "
        "recreate` one that was lost",
    )


def grant_access(vault: Vault, policy: str, days: int) -> tuple[str, datetime]:
    """Return a new standing access for machines, and its end.

    It may create, read and list. It is under a stored access policy, by which it can be revoked. Raises
    UsageError store-unknown if the store does not check its users; VaultError rights-missing; StoreError.
    """
    ends = moment_of(vault.clock) + timedelta(days=days)
    secret = _guarded(vault).grant(ends, policy=policy)
    if secret is None:
        raise VaultError(
            "rights-missing", "this access cannot give another", subject=vault.store.address,
            hint="set AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_KEY: the account's key is needed",
        )  # fmt: skip
    return secret, ends


def revoke_access(vault: Vault, policy: str) -> bool:
    """End all access under a policy. Return False if there is no policy of that name.

    Raises the same errors as `grant_access`.
    """
    return _guarded(vault).revoke(policy)


def _guarded(vault: Vault) -> Guarded:
    if not isinstance(vault.store, Guarded):
        raise UsageError(
            "store-unknown", "this vault lies in a folder, and needs no access", subject=vault.store.address,
            hint="set the permissions of the folder in its file system",
        )  # fmt: skip
    return vault.store


def check_machine(vault: Vault, name: str | None, monitor: Monitor) -> None:
    """Check that a member has this name, if one is given. Raises UsageError machine-unknown."""
    names = sorted(member.name for member in members(vault, monitor).values())
    if name is not None and name not in names:
        raise UsageError(
            "machine-unknown", "the vault has no machine of this name", subject=name,
            hint=f"it has {', '.join(names) or 'none yet'}",
        )  # fmt: skip


def members(vault: Vault, monitor: Monitor) -> dict[MachineId, Membership]:
    """Return the newest membership of every machine that the vault knows."""
    held = {machine: look.holding for machine, look in _memberships(vault, monitor).items()}
    return {machine: member for machine, member in held.items() if member is not None}


def unreadable_members(vault: Vault) -> dict[MachineId, str | None]:
    """Return the machines with memberships that cannot be read any more, with their key ids.

    The vault had these machines, and cannot tell whether they are active.
    """
    found: dict[MachineId, str | None] = {}
    for machine, look in _memberships(vault, Tally()).items():
        registered = vault.view.registered(machine, Tally())
        if look.hidden is not None or (look.newest is None and not registered.whole):
            found[machine] = registered.key_id
    return found


def _memberships(vault: Vault, monitor: Monitor) -> Mapping[MachineId, Look[Membership]]:
    """Look at all memberships; once, as long as the names of these and of their copies stay."""
    prefixes = (layout.MEMBERS, layout.copy_name(layout.MEMBERS))
    names = frozenset(name for prefix in prefixes for name, _ in vault.store.list(prefix))
    if vault.memberships is None or vault.memberships[0] != names:
        vault.memberships = names, vault.view.look_at_machines(layout.MEMBERS, Membership, monitor)
    return vault.memberships[1]
