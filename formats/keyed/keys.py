"""The master key and the keys that are derived from it.

Each purpose has a sub-key of its own, so that no two uses can weaken each other. The public key id tells
nothing about any of them. Key bytes never appear in a repr or a log.
"""

import secrets
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from formats.ids import KeyId, digest

MASTER_KEY_SIZE = 32

# Purpose -> bytes. HKDF-SHA256 without salt, info `offseed/v1/<purpose>` (KEY-1).
PURPOSES = {
    "chunk-id/content": 32,
    # Separate from the one above: a user's backup of our own catalog segment must not get that segment's id.
    "chunk-id/catalog": 32,
    "content-id": 32,
    "seal": 32,
    "chunker": 8,
    "proof": 32,
}


@dataclass(frozen=True)
class MasterKey:
    """The one secret of a machine's backups. Its holder can read them; a restore trusts nothing else."""

    raw: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.raw) != MASTER_KEY_SIZE:
            raise ValueError(f"a master key has {MASTER_KEY_SIZE} bytes, not {len(self.raw)}")

    @classmethod
    def generate(cls) -> Self:
        return cls(secrets.token_bytes(MASTER_KEY_SIZE))

    def __repr__(self) -> str:
        return f"MasterKey(key_id={self.key_id.hex()})"

    @property
    def chunk_id_content(self) -> bytes:
        """The key of the BLAKE3 that names chunks of file content."""
        return self._derive("chunk-id/content")

    @property
    def chunk_id_catalog(self) -> bytes:
        """The key of the BLAKE3 that names catalog segments."""
        return self._derive("chunk-id/catalog")

    @property
    def content_id(self) -> bytes:
        """The key of the BLAKE3 that finds equal small files."""
        return self._derive("content-id")

    @property
    def seal(self) -> bytes:
        """The XAES-256-GCM key of every record."""
        return self._derive("seal")

    @property
    def chunker(self) -> int:
        """The seed of content-defined cutting: little-endian, the highest bit cleared."""
        return int.from_bytes(self._derive("chunker"), "little") & ((1 << 63) - 1)

    @property
    def proof(self) -> Ed25519PrivateKey:
        """The key that proves to the side without keys that a machine holds this master key.

        Its public half stands in the machine's request.
        """
        return Ed25519PrivateKey.from_private_bytes(self._derive("proof"))

    @cached_property
    def key_id(self) -> KeyId:
        """The public name of this key: that of the public half of `proof`, as signatures name it (KEY-2)."""
        return KeyId(digest(self.proof.public_key().public_bytes_raw())[:16])

    def _derive(self, purpose: str) -> bytes:
        info = f"offseed/v1/{purpose}".encode()
        return HKDF(SHA256(), PURPOSES[purpose], salt=None, info=info).derive(self.raw)
