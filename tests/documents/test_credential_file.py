"""The credential file: an issued file is read, and one with parts that do not belong together is refused."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from formats.documents import credential_file, envelope
from formats.documents.credential import issue_leaf
from formats.documents.credential_file import CredentialFile
from formats.documents.vault import Credential
from formats.errors import VaultError
from formats.ids import VaultId
from formats.untrusted import Json, decode_json, encode_json
from tests.tables.flaws import outcome
from tests.vectors.documents import (
    AUTHORITY_KEY,
    CERTIFICATE,
    CERTIFICATE_KEY,
    CREDENTIAL,
    LEAF_KEY,
    MACHINE_KEY,
    VAULT,
)
from tests.vectors.generate import DATA

GOLDEN = (DATA / "credential-file.json").read_bytes()
DAMAGED = (VaultError, "credential-damaged")
NOW = datetime(2025, 3, 1, 12, 30, tzinfo=UTC)
DER, PKCS8 = serialization.Encoding.DER, serialization.PrivateFormat.PKCS8
OPEN = serialization.NoEncryption()


def test_the_golden_file_is_read() -> None:
    file = CredentialFile.read(GOLDEN, "file")
    assert file.document == CREDENTIAL
    assert file.leaf.serial == 7
    assert file.key.private_numbers() == LEAF_KEY.private_numbers()


def parts() -> dict[str, Json]:
    value = decode_json(GOLDEN, "file")
    assert isinstance(value, dict)
    return value


def with_key(data: bytes) -> bytes:
    """Return the golden file around other bytes of a private key."""
    written = credential_file._File(
        about="x", credential=envelope.sign(CREDENTIAL, AUTHORITY_KEY), private_key=data
    )
    return encode_json(written.to_json())


def with_document(document: Credential, key: ec.EllipticCurvePrivateKey = LEAF_KEY) -> bytes:
    return credential_file.write(envelope.sign(document, AUTHORITY_KEY), key)


def issued(vault: VaultId = VAULT, serial: int = 7) -> tuple[bytes, ec.EllipticCurvePrivateKey]:
    authority = x509.load_der_x509_certificate(CERTIFICATE)
    leaf, key = issue_leaf(authority, CERTIFICATE_KEY, vault, serial, NOW)
    return leaf.public_bytes(DER), key


def foreign() -> bytes:
    leaf, key = issued(VaultId("fe" * 16))
    return with_document(replace(CREDENTIAL, leaf=leaf), key)


def misnumbered() -> bytes:
    leaf, key = issued(serial=8)
    return with_document(replace(CREDENTIAL, leaf=leaf), key)


def unknown_curve() -> bytes:
    """Return the golden file with the object identifier of an unknown curve in its PKCS #8 key."""
    data = LEAF_KEY.private_bytes(DER, PKCS8, OPEN)
    oid = bytes.fromhex("2a8648ce3d030107")
    assert data.count(oid) == 1
    return with_key(data.replace(oid, bytes.fromhex("2a8648ce3d030163")))


ENCRYPTED = serialization.BestAvailableEncryption(b"secret")

FLAWS: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "a list": lambda: b"[]",
    "cut": lambda: GOLDEN[:-1],
    "a tail": lambda: GOLDEN + b"x",
    "too large": lambda: GOLDEN + b" " * (1 << 20),
    "no credential": lambda: encode_json({n: v for n, v in parts().items() if n != "credential"}),
    "no private key": lambda: encode_json({n: v for n, v in parts().items() if n != "private_key"}),
    "a critical member": lambda: encode_json({**parts(), "critical": ["later"]}),
    "an envelope that is none": lambda: encode_json({**parts(), "credential": "e30="}),
    "signed by another key": lambda: credential_file.write(envelope.sign(CREDENTIAL, MACHINE_KEY), LEAF_KEY),
    "unsigned": lambda: credential_file.write(envelope.sign(CREDENTIAL), LEAF_KEY),
    "another authority's name": lambda: with_document(replace(CREDENTIAL, authority="00" * 32)),
    "a number that is not the leaf's": lambda: with_document(replace(CREDENTIAL, number=8)),
    "a leaf that is not the number's": misnumbered,
    "another vault": lambda: with_document(replace(CREDENTIAL, vault=VaultId("fe" * 16))),
    "another vault's leaf": foreign,
    "a leaf that is none": lambda: with_document(replace(CREDENTIAL, leaf=b"\x30\x00")),
    "an authority that is none": lambda: with_document(replace(CREDENTIAL, certificate=b"")),
    "an authority that is a leaf": lambda: with_document(replace(CREDENTIAL, certificate=CREDENTIAL.leaf)),
    "leaf and authority exchanged": lambda: with_document(replace(CREDENTIAL, leaf=CERTIFICATE)),
    "another credential's key": lambda: with_document(CREDENTIAL, ec.generate_private_key(ec.SECP256R1())),
    "the authority's key": lambda: with_document(CREDENTIAL, CERTIFICATE_KEY),
    "a P-384 key": lambda: with_document(CREDENTIAL, ec.generate_private_key(ec.SECP384R1())),
    "an Ed25519 key": lambda: with_key(ed25519.Ed25519PrivateKey.generate().private_bytes(DER, PKCS8, OPEN)),
    "an RSA key": lambda: with_key(rsa.generate_private_key(65537, 2048).private_bytes(DER, PKCS8, OPEN)),
    "an encrypted key": lambda: with_key(LEAF_KEY.private_bytes(DER, PKCS8, ENCRYPTED)),
    "a public key": lambda: with_key(
        LEAF_KEY.public_key().public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    ),
    "a key of an unknown curve": unknown_curve,
    "a key in PEM": lambda: with_key(LEAF_KEY.private_bytes(serialization.Encoding.PEM, PKCS8, OPEN)),
    "no key": lambda: with_key(b""),
    "a key that is cut": lambda: with_key(LEAF_KEY.private_bytes(DER, PKCS8, OPEN)[:-1]),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_every_flaw_is_refused_as_damage(flaw: str) -> None:
    assert outcome(CredentialFile.read, FLAWS[flaw](), "file") == DAMAGED


def test_errors_say_what_to_do() -> None:
    with pytest.raises(VaultError) as caught:
        CredentialFile.read(GOLDEN[:-1], "/tmp/credential")
    assert caught.value.subject == "/tmp/credential"
    assert "importer credentials issue" in caught.value.hint


def test_members_of_the_future_do_not_matter() -> None:
    assert CredentialFile.read(encode_json({**parts(), "later": 1}), "file").document == CREDENTIAL


KEY = LEAF_KEY.private_bytes(DER, PKCS8, OPEN)


@given(data=st.data())
def test_any_private_key_is_the_right_one_or_damage(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(KEY)))
    end = data.draw(st.integers(start, min(len(KEY), start + 8)))
    changed = KEY[:start] + data.draw(st.binary(max_size=8)) + KEY[end:]
    try:
        file = CredentialFile.read(with_key(changed), "file")
    except VaultError as error:
        assert error.code == "credential-damaged"
    else:
        assert file.key.private_numbers() == LEAF_KEY.private_numbers()
