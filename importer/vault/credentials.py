"""The issuing of vault credentials."""

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from formats.documents import credential_file
from formats.documents.credential import LIFETIME
from formats.documents.vault import Credential
from formats.monitor import Monitor
from formats.store.clock import moment_of
from formats.store.contract import Guarded
from importer.vault.vault import Vault


@dataclass(frozen=True)
class IssuedCredential:
    """A new vault credential and its file.

    `opens` tells whether the file opens the vault's storage account, too. It is None if the vault has no such
    account.
    """

    document: Credential
    data: bytes
    opens: bool | None


def issue_credential(vault: Vault, monitor: Monitor) -> IssuedCredential:
    """Issue a new vault credential for one machine; it ends all credentials that were issued before."""
    number = vault.view.look("credentials", Credential, vault.key, monitor).next_number
    key, now = Ed25519PrivateKey.generate(), moment_of(vault.clock)
    ends = now + LIFETIME
    document = Credential(
        number=number,
        vault=vault.id,
        name=vault.name,
        address=vault.descriptor.address,
        authority=vault.descriptor.authority,
        public_key=key.public_key().public_bytes_raw().hex(),
        machines=1,
        issued=int(now.timestamp()),
        expires=int(ends.timestamp()),
    )
    signed = vault.put_signed("credentials", number, document).signed.data
    access, opens = None, None
    if isinstance(vault.store, Guarded):
        access = vault.store.grant(ends)
        opens = access is not None
    return IssuedCredential(document, credential_file.write(signed, key, access), opens)
