"""The authority of a vault: the operator's signing identity.

Its private key lies in this home, never in a vault.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from formats.documents.codec import Record, blob, hexed, member, text
from formats.documents.vault import VAULT_NAME
from formats.errors import FormatError, HomeError
from formats.homes import make_private
from formats.ids import VaultId
from formats.records import unwritable
from formats.untrusted import decode_json, encode_json


class _Kept(Record):
    vault: VaultId = member(hexed(16))
    name: str = member(text(50, VAULT_NAME))
    address: str = member(text(1000))
    document_key: bytes = member(blob(32))


@dataclass(frozen=True)
class Authority:
    """The signing key of one vault."""

    vault: VaultId
    name: str
    address: str
    document_key: Ed25519PrivateKey
    path: Path

    @property
    def home(self) -> Path:
        """The home that holds this authority."""
        return self.path.parent.parent

    @property
    def public_key(self) -> bytes:
        return self.document_key.public_key().public_bytes_raw()

    @classmethod
    def create(cls, home: Path, vault: VaultId, name: str, address: str) -> Self:
        """Make a new key and keep it with mode 0600. Raises HomeError."""
        path = home / "authorities" / f"{vault}.json"
        authority = cls(vault, name, address, Ed25519PrivateKey.generate(), path)
        kept = _Kept(
            vault=vault,
            name=name,
            address=address,
            document_key=authority.document_key.private_bytes_raw(),
        )
        try:
            make_private(path.parent)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(encode_json(kept.to_json()))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise unwritable(path, error) from error
        return authority

    @classmethod
    def load(cls, path: Path) -> Self:
        """Load an authority from its file. Raises HomeError home-damaged."""
        try:
            kept = _Kept.from_json(decode_json(path.read_bytes(), path.name), path.name)
            return cls(
                kept.vault,
                kept.name,
                kept.address,
                Ed25519PrivateKey.from_private_bytes(kept.document_key),
                path,
            )
        except (FormatError, OSError, ValueError) as error:
            raise _damaged(path) from error


def _damaged(path: Path) -> HomeError:
    return HomeError(
        "home-damaged",
        "the authority's keys cannot be read",
        subject=str(path),
        hint="bring the file back from its copy, and run as its owner",
    )


def authorities(home: Path) -> list[Authority]:
    """Return all authorities of this home, by name."""
    folder = home / "authorities"
    files = [path for path in folder.iterdir() if path.suffix == ".json"] if _is_there(folder) else []
    return sorted(map(Authority.load, files), key=lambda a: a.name)


def authority_of(home: Path, vault: VaultId, name: str) -> Authority:
    """Return the authority of a vault in this home. Raises HomeError authority-missing."""
    path = home / "authorities" / f"{vault}.json"
    if not _is_there(path):
        raise HomeError(
            "authority-missing",
            f"this home holds no authority for vault {name}",
            subject=str(home),
            hint="run where the vault was created, or name that home by IMPORTER_HOME",
        )
    return Authority.load(path)


def _is_there(path: Path) -> bool:
    """Return whether a path exists. Raises HomeError home-damaged if this user may not look."""
    try:
        return path.exists()
    except OSError as error:
        raise HomeError(
            "home-damaged",
            f"the home cannot be read ({error.strerror})",
            subject=str(path),
            hint="run as its owner, or choose another home by IMPORTER_HOME",
        ) from error
