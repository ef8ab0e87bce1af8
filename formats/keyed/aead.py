"""Authenticated encryption by XAES-256-GCM (c2sp.org/XAES-256-GCM); nothing else here uses a raw cipher.

`open` returns byte for byte the input of `seal`, under the same key and the same additional data. Any other
input, of any bytes or length, is one `IntegrityError`. Threads may share a cipher.

Each nonce is random, 24 bytes. The reason: one sealing key lives as long as the vault. A counter would have
to survive a restored home, a rolled-back virtual machine and a run killed at any byte. If it repeated once,
GCM would give away the authentication key and the difference of two plaintexts. Plain AES-GCM takes only
ninety-six random bits, which would begin to collide after some four thousand million records. XAES derives
from the first 12 bytes a key of its own for each record, and uses the last 12 as that key's GCM nonce. So
2^80 records go under one key before the risk of a collision reaches 2^-32, and no state is kept anywhere.

XAES-256-GCM does not commit to its key: an attacker can make bytes that open under two keys. So each caller
of `open` checks something that only the right key gives: a record its ChunkId, a key slot its key id.
"""

import os
import threading

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from formats.errors import IntegrityError

KEY_SIZE = 32
NONCE_SIZE = 24
TAG_SIZE = 16
OVERHEAD = NONCE_SIZE + TAG_SIZE

Buffer = bytes | bytearray | memoryview

_BLOCK = 16


class _Aes(threading.local):
    """Raw AES-256, whole blocks only; one context a thread, because a context cannot be shared."""

    def __init__(self, key: bytes) -> None:
        # ECB is AES itself here: the specification builds its key derivation from single blocks.
        self.encrypt = Cipher(algorithms.AES256(key), modes.ECB()).encryptor().update  # noqa: S305


class Xaes256Gcm:
    """One key, ready to seal and open any number of messages."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_SIZE:
            raise ValueError(f"an XAES-256-GCM key has {KEY_SIZE} bytes, not {len(key)}")
        self._aes = _Aes(key)
        # CMAC's subkey K1 (doubling in GF(2^128)), repeated twice: one step masks both key blocks.
        zero = int.from_bytes(self._aes.encrypt(bytes(_BLOCK)), "big")
        k1 = (zero << 1) & ((1 << 128) - 1) ^ (0x87 if zero >> 127 else 0)
        self._mask = k1 << 128 | k1

    def seal(self, plaintext: Buffer, aad: bytes, nonce: bytes | None = None) -> bytes:
        """Return nonce ‖ ciphertext ‖ tag, `OVERHEAD` bytes more than `plaintext`.

        Only test vectors give a `nonce`.
        """
        sealed = bytearray(len(plaintext) + OVERHEAD)
        self.seal_into(plaintext, aad, sealed, nonce)
        return bytes(sealed)

    def seal_into(
        self, plaintext: Buffer, aad: bytes, out: bytearray | memoryview, nonce: bytes | None = None
    ) -> None:
        """Seal into `out`, exactly `OVERHEAD` bytes longer: a new megabyte costs more than its encryption."""
        if nonce is None:
            nonce = os.urandom(NONCE_SIZE)
        gcm = self._derive(nonce)
        view = memoryview(out)
        view[:NONCE_SIZE] = nonce
        gcm.encrypt_into(nonce[12:], plaintext, aad, view[NONCE_SIZE:])

    def open(self, sealed: Buffer, aad: bytes, where: str = "") -> bytes:
        """Return the plaintext that was sealed with the same `aad`.

        Raises IntegrityError, its subject `where`.
        """
        if len(sealed) >= OVERHEAD:
            view = memoryview(sealed)
            nonce = bytes(view[:NONCE_SIZE])
            try:
                return self._derive(nonce).decrypt(nonce[12:], view[NONCE_SIZE:], aad)
            except InvalidTag:
                pass
        raise IntegrityError(
            "seal-broken",
            "sealed bytes do not open under this key",
            subject=where,
            hint="they were damaged, or they belong to another key or place",
        )

    def _derive(self, nonce: bytes) -> AESGCM:
        """Return the AES-256-GCM key that the first half of `nonce` selects.

        The derivation is NIST SP 800-108 over CMAC, unrolled.
        """
        if len(nonce) != NONCE_SIZE:
            raise ValueError(f"an XAES-256-GCM nonce has {NONCE_SIZE} bytes, not {len(nonce)}")
        context = nonce[:12]
        blocks = int.from_bytes(b"\0\1X\0" + context + b"\0\2X\0" + context, "big") ^ self._mask
        return AESGCM(self._aes.encrypt(blocks.to_bytes(2 * _BLOCK, "big")))
