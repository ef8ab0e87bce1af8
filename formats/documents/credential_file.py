"""The vault credential as a file: the document that the authority signed, and the only copy of the private key."""

from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from formats.documents import credential, envelope
from formats.documents.codec import Record, blob, member, optional, text
from formats.documents.vault import Credential
from formats.errors import OffseedError, VaultError
from formats.untrusted import decode_json, encode_json

ABOUT = "offseed vault credential: keep it secret, it registers a machine; see `expires` inside"


class _File(Record):
    about: str = member(text(200))
    credential: bytes = member(blob(32 << 10))
    private_key: bytes = member(blob(4096))
    access: str | None = member(optional(text(4000)), default=None)


@dataclass(frozen=True)
class CredentialFile:
    """A credential that is consistent in itself. The caller must still check its time.

    `access` opens the storage account of the vault, and ends with the credential. It is not signed.
    """

    document: Credential
    leaf: credential.Leaf
    key: EllipticCurvePrivateKey
    access: str | None = None

    @classmethod
    def read(cls, data: bytes, where: str) -> Self:
        """Read a credential file. Raises VaultError credential-damaged (CRED-5)."""
        try:
            file = _File.from_json(decode_json(data, where), where)
            signed = envelope.read(file.credential, where)
            document = signed.verify(Credential, bytes.fromhex(signed.peek(Credential).authority))
            certificate = credential.load_certificate(document.leaf)
            leaf = credential.check_leaf(
                certificate, credential.load_certificate(document.certificate), document.vault
            )
            key = serialization.load_der_private_key(file.private_key, None)
            if not isinstance(key, EllipticCurvePrivateKey) or leaf.serial != document.number:
                raise ValueError("the parts of the file do not belong together")
            if key.public_key() != certificate.public_key():
                raise ValueError("the private key is another credential's")
        except (OffseedError, UnsupportedAlgorithm, ValueError, TypeError) as error:
            detail = error.what if isinstance(error, OffseedError) else "its parts do not belong together"
            raise VaultError(
                "credential-damaged",
                f"this is no vault credential, or it was damaged ({detail})",
                subject=where,
                hint="name the file that `importer credentials issue` wrote; copy it again from there, or ask the operator "
                "for a new one",
            ) from error
        return cls(document, leaf, key, file.access)


def write(signed: bytes, key: EllipticCurvePrivateKey, access: str | None = None) -> bytes:
    """Return the file's bytes for a signed `Credential` and its leaf's private key."""
    private = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = _File(about=ABOUT, credential=signed, private_key=private, access=access)
    return encode_json(file.to_json())
