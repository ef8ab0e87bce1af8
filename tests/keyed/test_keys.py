"""Sub-keys follow RFC 5869 to the letter, differ from each other, and never show themselves."""

import hashlib
import hmac
import pickle

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from formats.ids import digest
from formats.keyed.keys import PURPOSES, MasterKey

raw_keys = st.binary(min_size=32, max_size=32)


def rfc_5869(raw: bytes, purpose: str) -> bytes:
    """Return HKDF-SHA256 without salt, at most one block long, from the standard library."""
    extracted = hmac.digest(bytes(32), raw, hashlib.sha256)
    expanded = hmac.digest(extracted, f"offseed/v1/{purpose}".encode() + b"\x01", hashlib.sha256)
    return expanded[: PURPOSES[purpose]]


@given(raw=raw_keys)
def test_every_sub_key_is_plain_hkdf(raw: bytes) -> None:
    master = MasterKey(raw)
    assert master.chunk_id_content == rfc_5869(raw, "chunk-id/content")
    assert master.chunk_id_catalog == rfc_5869(raw, "chunk-id/catalog")
    assert master.content_id == rfc_5869(raw, "content-id")
    assert master.seal == rfc_5869(raw, "seal")
    proof = Ed25519PrivateKey.from_private_bytes(rfc_5869(raw, "proof"))
    assert master.key_id == digest(proof.public_key().public_bytes_raw())[:16]
    assert master.chunker == int.from_bytes(rfc_5869(raw, "chunker"), "little") % (1 << 63)


def test_sub_keys_differ_and_have_their_lengths() -> None:
    sub_keys = [rfc_5869(bytes(32), purpose) for purpose in PURPOSES]
    assert [len(key) for key in sub_keys] == list(PURPOSES.values())
    assert len({key[:8] for key in sub_keys}) == len(PURPOSES)


@given(raw=raw_keys)
def test_the_chunker_seed_stays_below_two_to_the_63(raw: bytes) -> None:
    assert 0 <= MasterKey(raw).chunker < 1 << 63


@given(raw=raw_keys)
def test_no_text_shows_the_key(raw: bytes) -> None:
    master = MasterKey(raw)
    for text in (repr(master), str(master), f"{master}", repr([master]), repr({"key": master})):
        assert raw.hex() not in text
        assert repr(raw)[2:-1] not in text
        assert master.seal.hex() not in text
    assert master.key_id.hex() in repr(master)


def test_generated_keys_differ() -> None:
    assert len({MasterKey.generate().raw for _ in range(100)}) == 100


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_a_master_key_has_one_length(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        MasterKey(bytes(size))


def test_keys_are_values() -> None:
    master = MasterKey(bytes(range(32)))
    assert master == MasterKey(bytes(range(32))) != MasterKey(bytes(32))
    assert pickle.loads(pickle.dumps(master)) == master
    with pytest.raises(AttributeError):
        master.raw = bytes(32)  # type: ignore[misc]
