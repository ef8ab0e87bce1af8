"""The authority of a vault: the operator's signing identity.

Its private keys lie in this home, never in a vault. Only vault credentials need X.509, which takes long to
load. So only the code that makes or issues credentials imports it.
"""

import os
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from formats.documents.codec import Record, blob, hexed, member, text
from formats.documents.vault import CERTIFICATE_MAX, VAULT_NAME
from formats.errors import FormatError, HomeError, IntegrityError
from formats.homes import make_private
from formats.ids import VaultId
from formats.records import unwritable
from formats.untrusted import decode_json, encode_json

if TYPE_CHECKING:
    from cryptography import x509


class _Kept(Record):
    vault: VaultId = member(hexed(16))
    name: str = member(text(50, VAULT_NAME))
    address: str = member(text(1000))
    document_key: bytes = member(blob(32))
    certificate_key: bytes = member(blob(1024))
    certificate: bytes = member(blob(CERTIFICATE_MAX))


@dataclass(frozen=True)
class Authority:
    """The two keys of one vault: Ed25519 for documents, P-256 for vault credentials."""

    vault: VaultId
    name: str
    address: str
    document_key: Ed25519PrivateKey
    kept_key: bytes = field(repr=False)
    kept_certificate: bytes
    path: Path

    @property
    def home(self) -> Path:
        """The home that holds this authority."""
        return self.path.parent.parent

    @property
    def public_key(self) -> bytes:
        return self.document_key.public_key().public_bytes_raw()

    @cached_property
    def certificate_key(self) -> ec.EllipticCurvePrivateKey:
        """The key that signs vault credentials. Raises HomeError home-damaged."""
        from cryptography.hazmat.primitives import serialization

        try:
            key = serialization.load_der_private_key(self.kept_key, None)
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise TypeError
        except (ValueError, TypeError) as error:
            raise _damaged(self.path) from error
        return key

    @cached_property
    def certificate(self) -> "x509.Certificate":
        """The certificate against which vault credentials are checked. Raises HomeError home-damaged."""
        from formats.documents.credential import load_certificate

        try:
            return load_certificate(self.kept_certificate)
        except IntegrityError as error:
            raise _damaged(self.path) from error

    @property
    def certificate_der(self) -> bytes:
        from cryptography.hazmat.primitives import serialization

        return self.certificate.public_bytes(serialization.Encoding.DER)

    @classmethod
    def create(cls, home: Path, vault: VaultId, name: str, address: str, now: datetime) -> Self:
        """Make new keys and keep them with mode 0600. Raises HomeError."""
        from cryptography.hazmat.primitives import serialization

        from formats.documents.credential import make_authority_certificate

        key = ec.generate_private_key(ec.SECP256R1())
        key_der = key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        certificate = make_authority_certificate(name, key, now).public_bytes(serialization.Encoding.DER)
        path = home / "authorities" / f"{vault}.json"
        authority = cls(vault, name, address, Ed25519PrivateKey.generate(), key_der, certificate, path)
        kept = _Kept(
            vault=vault,
            name=name,
            address=address,
            document_key=authority.document_key.private_bytes_raw(),
            certificate_key=key_der,
            certificate=certificate,
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
                kept.certificate_key,
                kept.certificate,
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
