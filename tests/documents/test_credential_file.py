"""The credential file: an issued file is read, and one with parts that do not belong together is refused."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from formats.documents import credential_file, envelope
from formats.documents.credential_file import CredentialFile
from formats.documents.envelope import raw_public
from formats.documents.vault import Credential
from formats.errors import VaultError
from formats.untrusted import Json, decode_json, encode_json
from tests.tables.flaws import outcome
from tests.vectors.documents import (
    AUTHORITY_KEY,
    CREDENTIAL,
    CREDENTIAL_KEY,
    MACHINE_KEY,
)
from tests.vectors.generate import DATA

GOLDEN = (DATA / "credential-file.json").read_bytes()
DAMAGED = (VaultError, "credential-damaged")
KEY = CREDENTIAL_KEY.private_bytes_raw()


def test_the_golden_file_is_read() -> None:
    file = CredentialFile.read(GOLDEN, "file")
    assert file.document == CREDENTIAL
    assert file.key.private_bytes_raw() == KEY


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


def with_document(document: Credential, key: Ed25519PrivateKey = CREDENTIAL_KEY) -> bytes:
    return credential_file.write(envelope.sign(document, AUTHORITY_KEY), key)


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
    "signed by another key": lambda: credential_file.write(
        envelope.sign(CREDENTIAL, MACHINE_KEY), CREDENTIAL_KEY
    ),
    "unsigned": lambda: credential_file.write(envelope.sign(CREDENTIAL), CREDENTIAL_KEY),
    "another authority's name": lambda: with_document(replace(CREDENTIAL, authority="00" * 32)),
    "another key's credential": lambda: with_document(replace(CREDENTIAL, public_key="00" * 32)),
    "another credential's key": lambda: with_document(CREDENTIAL, Ed25519PrivateKey.generate()),
    "the authority's key": lambda: with_document(CREDENTIAL, AUTHORITY_KEY),
    "the public key": lambda: with_key(raw_public(CREDENTIAL_KEY)),
    "no key": lambda: with_key(b""),
    "a key that is cut": lambda: with_key(KEY[:-1]),
    "a key that is too long": lambda: with_key(KEY + b"\0"),
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
        assert file.key.private_bytes_raw() == KEY
