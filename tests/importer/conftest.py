"""A vault in a folder, and a machine that has asked to join it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from formats.documents.credential_file import CredentialFile
from formats.monitor import Tally
from formats.store.access import Address
from importer.vault.credentials import issue_credential
from importer.vault.vault import Vault, create
from seed.home.home import Identity
from seed.identity.join_request import put_request
from seed.identity.registration import NewKeys, make_identity


@dataclass(frozen=True)
class Asked:
    """A vault, and the keys of the machine that asks."""

    vault: Vault
    identity: Identity


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return create(tmp_path / "home", "Backups", Address(str(tmp_path / "vault")), "here", None)


@pytest.fixture
def asked(vault: Vault) -> Asked:
    """Return a vault with a machine's request, by a credential that is valid for the next 48 hours."""
    assert vault.authority is not None
    issued = issue_credential(vault, Tally())
    assert issued.document.expires > datetime.now(UTC).timestamp()
    file = CredentialFile.read(issued.data, "credential")
    keys = NewKeys.generate("a passphrase of some length, 12 words")
    identity = make_identity(file, "web1", keys, Address(vault.store.address))
    put_request(vault.store, identity)
    return Asked(vault, identity)
