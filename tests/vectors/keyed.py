"""Vectors of keys, sealing and key slots."""

from formats.keyed.aead import Xaes256Gcm
from formats.keyed.keys import PURPOSES, MasterKey
from formats.keyed.slots import KdfCost, make_slot, slot_to_json
from formats.untrusted import Json
from tests.vectors.generate import readable, vector

MASTER = MasterKey(bytes(range(32)))
PASSPHRASE = "cinq petits bateaux d\u2019e\u0301te\u0301"  # decomposed: it is normalised to NFC first
LOW_COST = KdfCost(memory_kib=19 << 10, time=1, lanes=1)


@vector("keys.json")
def keys() -> bytes:
    """Return every sub-key of one master key."""
    sub_keys: dict[str, bytes] = {
        "chunk-id/content": MASTER.chunk_id_content,
        "chunk-id/catalog": MASTER.chunk_id_catalog,
        "content-id": MASTER.content_id,
        "seal": MASTER.seal,
        "proof": MASTER.proof.private_bytes_raw(),
    }
    listed: dict[str, Json] = {purpose: key.hex() for purpose, key in sub_keys.items()}
    listed["chunker"] = MASTER.chunker
    assert listed.keys() == PURPOSES.keys()
    return readable({"master": MASTER.raw.hex(), "keys": listed, "key id": MASTER.key_id.hex()})


@vector("xaes.json")
def xaes() -> bytes:
    """Return the two messages of the C2SP specification, then lengths around a block and a record's additional data."""
    nonce = b"ABCDEFGHIJKLMNOPQRSTUVWX"
    cases = [
        (b"\x01" * 32, b"XAES-256-GCM", b""),
        (b"\x03" * 32, b"XAES-256-GCM", b"c2sp.org/XAES-256-GCM"),
    ]
    cases += [
        (MASTER.seal, bytes(range(n)), b"offseed record v1" + bytes(49)) for n in (0, 1, 15, 16, 17, 255)
    ]
    sealed: list[Json] = [
        {
            "key": key.hex(),
            "nonce": nonce.hex(),
            "plaintext": plaintext.hex(),
            "aad": aad.hex(),
            "sealed": Xaes256Gcm(key).seal(plaintext, aad, nonce).hex(),
        }
        for key, plaintext, aad in cases
    ]
    return readable(sealed)


@vector("slot.json")
def slot() -> bytes:
    """Return one key slot, at the lowest cost a reader accepts."""
    made = make_slot(PASSPHRASE, MASTER, LOW_COST, salt=bytes(range(16)), nonce=bytes(range(100, 124)))
    return readable(
        {
            "passphrase": PASSPHRASE,
            "master": MASTER.raw.hex(),
            "slot": slot_to_json(made),
        }
    )
