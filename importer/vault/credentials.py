"""The issuing of vault credentials: no other work of a vault needs X.509, which takes long to load."""

from dataclasses import dataclass

from cryptography.hazmat.primitives import serialization

from formats.documents import credential_file
from formats.documents.credential import issue_leaf
from formats.documents.vault import Credential
from formats.monitor import Monitor
from formats.store.clock import moment_of
from formats.store.contract import Guarded
from importer.vault.authority import Authority
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


def issue_credential(vault: Vault, authority: Authority, monitor: Monitor) -> IssuedCredential:
    """Issue a new vault credential; it ends all credentials that were issued before."""
    number = vault.view.look("credentials", Credential, vault.key, monitor).next_number
    now = moment_of(vault.clock)
    leaf, key = issue_leaf(authority.certificate, authority.certificate_key, vault.id, number, now)
    document = Credential(
        number=number,
        vault=vault.id,
        name=vault.name,
        address=vault.descriptor.address,
        authority=vault.descriptor.authority,
        certificate=authority.certificate_der,
        leaf=leaf.public_bytes(serialization.Encoding.DER),
        issued=int(now.timestamp()),
        expires=int(leaf.not_valid_after_utc.timestamp()),
    )
    signed = vault.put_signed("credentials", number, document).signed.data
    access, opens = None, None
    if isinstance(vault.store, Guarded):
        access = vault.store.grant(leaf.not_valid_after_utc)
        opens = access is not None
    return IssuedCredential(document, credential_file.write(signed, key, access), opens)
