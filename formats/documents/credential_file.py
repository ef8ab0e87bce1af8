"""The vault credential as a file: the document that the authority signed, and the only copy of the private key."""

from dataclasses import dataclass
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from formats.documents import envelope
from formats.documents.codec import Record, blob, member, optional, text
from formats.documents.vault import CREDENTIAL_MAX, Credential
from formats.errors import OffseedError, VaultError
from formats.untrusted import decode_json, encode_json

ABOUT = "offseed vault credential: keep it secret, it registers a machine; see `expires` inside"


class _File(Record):
    about: str = member(text(200))
    credential: bytes = member(blob(CREDENTIAL_MAX))
    private_key: bytes = member(blob(32))
    access: str | None = member(optional(text(4000)), default=None)


@dataclass(frozen=True)
class CredentialFile:
    """A credential that is consistent in itself. The caller must still check its time.

    `access` opens the storage account of the vault, and ends with the credential. It is not signed.
    """

    document: Credential
    signed: bytes
    key: Ed25519PrivateKey
    access: str | None = None

    @classmethod
    def read(cls, data: bytes, where: str) -> Self:
        """Read a credential file. Raises VaultError credential-damaged (CRED-1)."""
        try:
            file = _File.from_json(decode_json(data, where), where)
            signed = envelope.read(file.credential, where)
            document = signed.verify(Credential, bytes.fromhex(signed.peek(Credential).authority))
            key = Ed25519PrivateKey.from_private_bytes(file.private_key)
            if key.public_key().public_bytes_raw().hex() != document.public_key:
                raise ValueError("the private key is another credential's")
        except (OffseedError, ValueError) as error:
            detail = error.what if isinstance(error, OffseedError) else "its parts do not belong together"
            raise VaultError(
                "credential-damaged",
                f"this is no vault credential, or it was damaged ({detail})",
                subject=where,
                hint="name the file that `importer credentials issue` wrote; copy it again from there, or ask the operator "
                "for a new one",
            ) from error
        return cls(document, file.credential, key, file.access)


def write(signed: bytes, key: Ed25519PrivateKey, access: str | None = None) -> bytes:
    """Return the file's bytes for a signed `Credential` and its private key."""
    file = _File(about=ABOUT, credential=signed, private_key=key.private_bytes_raw(), access=access)
    return encode_json(file.to_json())
