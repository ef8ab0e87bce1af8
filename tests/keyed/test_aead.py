"""XAES-256-GCM: the published vectors, every flipped bit, every cut tail, many threads."""

import threading

import pytest
from cryptography.hazmat.primitives.hashes import SHAKE128, XOFHash
from hypothesis import given
from hypothesis import strategies as st

from formats.errors import IntegrityError
from formats.keyed.aead import NONCE_SIZE, OVERHEAD, TAG_SIZE, Xaes256Gcm

NONCE = b"ABCDEFGHIJKLMNOPQRSTUVWX"


def refused(cipher: Xaes256Gcm, sealed: bytes, aad: bytes) -> bool:
    with pytest.raises(IntegrityError) as caught:
        cipher.open(sealed, aad)
    return caught.value.code == "seal-broken"


@pytest.mark.parametrize(
    ("key", "aad", "expected"),
    [
        (b"\x01", b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
        (b"\x03", b"c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"),
    ],
)
def test_single_vectors_of_the_specification(key: bytes, aad: bytes, expected: str) -> None:
    cipher = Xaes256Gcm(key * 32)
    sealed = cipher.seal(b"XAES-256-GCM", aad, NONCE)
    assert sealed == NONCE + bytes.fromhex(expected)
    assert cipher.open(sealed, aad) == b"XAES-256-GCM"


@pytest.mark.parametrize(
    ("iterations", "expected"),
    [
        (10_000, "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939"),
        pytest.param(
            1_000_000,
            "2163ae1445985a30b60585ee67daa55674df06901b890593e824b8a7c885ab15",
            marks=pytest.mark.nightly,
        ),
    ],
)
def test_accumulated_vectors_of_the_specification(iterations: int, expected: str) -> None:
    """Seal random keys, nonces, plaintexts and additional data, and compare one hash over all ciphertexts."""
    random = XOFHash(SHAKE128(digest_size=1 << 40))
    total = XOFHash(SHAKE128(digest_size=32))
    squeeze = random.squeeze
    for _ in range(iterations):
        drawn = squeeze(57)
        plaintext = squeeze(drawn[56])
        aad = squeeze(squeeze(1)[0])
        sealed = Xaes256Gcm(drawn[:32]).seal(plaintext, aad, drawn[32:56])
        total.update(sealed[NONCE_SIZE:])
    assert total.squeeze(32).hex() == expected


@given(key=st.binary(min_size=32, max_size=32), plaintext=st.binary(max_size=300), aad=st.binary(max_size=80))
def test_opens_what_it_sealed(key: bytes, plaintext: bytes, aad: bytes) -> None:
    sealed = Xaes256Gcm(key).seal(plaintext, aad)
    assert len(sealed) == len(plaintext) + OVERHEAD == NONCE_SIZE + len(plaintext) + TAG_SIZE
    assert Xaes256Gcm(key).open(sealed, aad) == plaintext
    assert Xaes256Gcm(key).open(memoryview(bytearray(sealed)), aad) == plaintext


@pytest.mark.parametrize("size", [0, 1, 16, 33])
def test_every_flipped_bit_is_refused(size: int) -> None:
    cipher = Xaes256Gcm(bytes(range(32)))
    aad = b"somewhere"
    sealed = cipher.seal(bytes(size), aad)
    for bit in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        assert refused(cipher, bytes(changed), aad)


def test_every_flipped_bit_of_key_and_additional_data_is_refused() -> None:
    key, aad = bytes(range(32)), b"somewhere"
    sealed = Xaes256Gcm(key).seal(b"content", aad)
    for bit in range(256):
        changed = (int.from_bytes(key, "big") ^ 1 << bit).to_bytes(32, "big")
        assert refused(Xaes256Gcm(changed), sealed, aad)
    for bit in range(len(aad) * 8):
        changed = (int.from_bytes(aad, "big") ^ 1 << bit).to_bytes(len(aad), "big")
        assert refused(Xaes256Gcm(key), sealed, changed)


def test_every_cut_or_grown_tail_is_refused() -> None:
    cipher = Xaes256Gcm(bytes(32))
    sealed = cipher.seal(bytes(100), b"")
    for length in range(len(sealed)):
        assert refused(cipher, sealed[:length], b"")
        assert refused(cipher, sealed[length + 1 :], b"")
    assert refused(cipher, sealed + b"\0", b"")


def test_seal_into_writes_the_same_bytes_into_any_place() -> None:
    cipher = Xaes256Gcm(bytes(32))
    out = bytearray(3 + 10 + OVERHEAD + 5)
    cipher.seal_into(memoryview(b"0123456789"), b"a", memoryview(out)[3 : 13 + OVERHEAD], NONCE)
    assert bytes(out) == bytes(3) + cipher.seal(b"0123456789", b"a", NONCE) + bytes(5)
    with pytest.raises(ValueError, match="buffer"):
        cipher.seal_into(b"0123456789", b"a", out)


def test_nonces_are_drawn_anew() -> None:
    cipher = Xaes256Gcm(bytes(32))
    assert len({cipher.seal(b"", b"")[:NONCE_SIZE] for _ in range(1000)}) == 1000


@pytest.mark.parametrize("size", [0, 16, 24, 31, 33])
def test_keys_have_one_length(size: int) -> None:
    with pytest.raises(ValueError, match="key has 32 bytes"):
        Xaes256Gcm(bytes(size))


@pytest.mark.parametrize("size", [0, 12, 23, 25])
def test_nonces_have_one_length(size: int) -> None:
    with pytest.raises(ValueError, match="nonce has 24 bytes"):
        Xaes256Gcm(bytes(32)).seal(b"", b"", bytes(size))


def test_threads_share_a_cipher() -> None:
    cipher = Xaes256Gcm(bytes(32))
    failures: list[BaseException] = []

    def work(mark: int) -> None:
        try:
            for n in range(500):
                content = bytes([mark]) * n
                assert cipher.open(cipher.seal(content, b"x"), b"x") == content
        except BaseException as error:  # the main thread must hear of any error
            failures.append(error)

    threads = [threading.Thread(target=work, args=(mark,)) for mark in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
