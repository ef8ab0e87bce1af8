"""Keys of small order: no signature by them counts, because anybody can compute one that verifies."""

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from formats.documents import envelope
from formats.documents.envelope import Envelope, Signature, is_weak, key_name, pae
from formats.documents.vault import Slots
from formats.errors import IntegrityError
from formats.ids import MachineId, VaultId
from formats.untrusted import encode_json

Point = tuple[int, int]

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493  # of the base point
D = -121665 * pow(121666, P - 2, P) % P


def added(one: Point, other: Point) -> Point:
    (x1, y1), (x2, y2) = one, other
    k = D * x1 * x2 * y1 * y2 % P
    return (x1 * y2 + x2 * y1) * pow(1 + k, P - 2, P) % P, (y1 * y2 + x1 * x2) * pow(1 - k, P - 2, P) % P


def times(count: int, point: Point) -> Point:
    total = (0, 1)
    while count:
        total = added(total, point) if count & 1 else total
        point, count = added(point, point), count >> 1
    return total


def on_the_curve(y: int) -> Point | None:
    squared = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    for x in (root := pow(squared, (P + 3) // 8, P), root * pow(2, (P - 1) // 4, P) % P):
        if x * x % P == squared:
            return x, y
    return None


def small_order() -> set[bytes]:
    """Return all encodings of the eight points with an order that divides 8.

    Any point that is multiplied by ORDER becomes one of them.
    """
    points = {(0, 1)}
    for y in range(3, 40):
        if (point := on_the_curve(y)) is not None:
            rest = times(ORDER, point)
            points |= {times(count, rest) for count in range(8)}
    assert len(points) == 8
    return {
        (value | sign << 255).to_bytes(32, "little")
        for x, y in points
        for value in (y, y + P)
        for sign in (0, 1)
        if value < 1 << 255 and (sign == x & 1 or x == 0)
    }


WEAK = sorted(small_order())
DOCUMENT = Slots(
    number=1, vault=VaultId("0" * 32), machine=MachineId("0" * 32), key_id="0" * 32, slots=(), keep_from=1
)


def forged(public: bytes, message: bytes) -> bytes | None:
    """Return a signature that verifies and needs no private key, or None if none is found.

    It tries the scalar 0 with each point of small order in turn.
    """
    for point in WEAK:
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(point + bytes(32), message)
        except InvalidSignature:
            continue
        return point + bytes(32)
    return None


@pytest.mark.parametrize("public", WEAK, ids=bytes.hex)
def test_what_anybody_can_sign_is_nobodys_word(public: bytes) -> None:
    payload = encode_json(DOCUMENT.to_json())
    signature = forged(public, pae(Slots.payload_type(), payload)) or bytes(64)
    kept = Envelope(
        payload=payload, payloadType=Slots.payload_type(),
        signatures=(Signature(keyid=key_name(public), sig=signature),),
    )  # fmt: skip
    signed = envelope.read(encode_json(kept.to_json()), "here")
    with pytest.raises(IntegrityError) as caught:
        signed.verify(Slots, public)
    assert caught.value.code == "signature-wrong"
    assert is_weak(public)


def test_the_library_takes_some_of_them() -> None:
    """Show that the library accepts some of these signatures, so that the check is needed."""
    assert [key for key in WEAK if forged(key, b"any message")]


def test_an_honest_key_is_not_weak() -> None:
    for _ in range(100):
        assert not is_weak(Ed25519PrivateKey.generate().public_key().public_bytes_raw())
