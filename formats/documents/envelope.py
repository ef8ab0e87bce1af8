"""The DSSE envelope: the signed bytes are exactly the bytes that are read, under one payload type a kind.

https://github.com/secure-systems-lab/dsse (protocol v1), with Ed25519. A document's digest is the digest of its
envelope's bytes.
"""

from dataclasses import dataclass
from typing import TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from formats.documents.codec import Document, Record, blob, hexed, many, member, nested, text
from formats.errors import IntegrityError
from formats.ids import HexDigest, digest, hex_digest
from formats.untrusted import DOCUMENT_SIZE_MAX, decode_json, encode_json, refuse

SIZE_MAX = 2 * DOCUMENT_SIZE_MAX  # the size of an envelope, which holds its payload in base64

_PRIME = (1 << 255) - 19
_ORDER_8 = int.from_bytes(
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
)
# The y of all points of order 1, 2, 4 or 8, also in forms that are not reduced; the highest bit holds the sign of x.
_SMALL_ORDER = frozenset({0, 1, _PRIME - 1, _PRIME, _PRIME + 1, _ORDER_8, _PRIME - _ORDER_8})

D = TypeVar("D", bound=Document)


class Signature(Record):
    keyid: str = member(hexed(16))
    sig: bytes = member(blob(64))


class Envelope(Record):
    payload: bytes = member(blob(DOCUMENT_SIZE_MAX))
    payloadType: str = member(text(100))  # noqa: N815  the name that DSSE gives it
    signatures: tuple[Signature, ...] = member(many(nested(Signature), 4))


@dataclass(frozen=True)
class Signed:
    """An envelope's bytes, read but not yet believed."""

    data: bytes
    where: str
    envelope: Envelope

    @property
    def digest(self) -> HexDigest:
        return hex_digest(self.data)

    def peek(self, kind: type[D]) -> D:
        """Return the document *unverified*: only to learn under which key it must verify.

        Raises FormatError ENV-2 if it is of another kind.
        """
        self._check_kind(kind)
        return kind.from_json(decode_json(self.envelope.payload, self.where), f"{self.where}: {kind.kind}")

    def verify(self, kind: type[D], *keys: bytes) -> D:
        """Return the document if every one of `keys` (raw public keys) signed it.

        It is not parsed before that is sure. Raises IntegrityError signature-wrong (ENV-3), FormatError.
        """
        self._check_kind(kind)
        message = pae(kind.payload_type(), self.envelope.payload)
        for key in keys:
            if len(self.envelope.signatures) != kind.signers or not any(
                s.keyid == key_name(key) and _verifies(key, s.sig, message) for s in self.envelope.signatures
            ):
                raise IntegrityError(
                    "signature-wrong",
                    f"this {kind.kind} does not carry the signature it must have",
                    subject=self.where,
                    hint="it was damaged or altered after it was written, or another key wrote it",
                )
        return self.peek(kind)

    def _check_kind(self, kind: type[Document]) -> None:
        if self.envelope.payloadType != kind.payload_type():
            refuse("ENV-2", f"not a {kind.kind}", self.where)


def read(data: bytes, where: str) -> Signed:
    """Parse an envelope (ENV-1). Raises FormatError ENV-1, DOC-1, DOC-2."""
    envelope = Envelope.from_json(decode_json(data, where, SIZE_MAX), where)
    members = (envelope, *envelope.signatures)
    if any(m.extra for m in members) or encode_json(envelope.to_json()) != data:
        refuse("ENV-1", "an envelope in another than its one encoding", where)
    return Signed(data, where, envelope)


def sign(document: Document, *keys: Ed25519PrivateKey) -> bytes:
    """Return the envelope's bytes for `document`, with one signature a key."""
    payload = encode_json(document.to_json())
    message = pae(document.payload_type(), payload)
    signatures = tuple(Signature(keyid=key_name(raw_public(k)), sig=k.sign(message)) for k in keys)
    envelope = Envelope(payload=payload, payloadType=document.payload_type(), signatures=signatures)
    return encode_json(envelope.to_json())


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding: exactly the bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def raw_public(key: Ed25519PrivateKey) -> bytes:
    """Return the 32 bytes of the public half."""
    return key.public_key().public_bytes_raw()


def key_name(public: bytes) -> str:
    """Return the `keyid` of a raw public key; for a machine's key this is the machine's id."""
    return digest(public)[:16].hex()


def is_weak(public: bytes) -> bool:
    """Return whether this is an Ed25519 key of small order: anybody can make signatures that verify under it."""
    return int.from_bytes(public, "little") & (1 << 255) - 1 in _SMALL_ORDER


def _verifies(public: bytes, signature: bytes, message: bytes) -> bool:
    if is_weak(public):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
