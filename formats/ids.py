"""Typed ids and digests. They are bytes in tables, and lower-case hex in documents and names."""

import os
from typing import NewType

from blake3 import blake3

ChunkId = NewType("ChunkId", bytes)  # 32 bytes: keyed BLAKE3-256 of a chunk's plaintext
ContentId = NewType("ContentId", bytes)  # 16 bytes: keyed BLAKE3-128 of a small file, seen only inside seals
ArchiveName = NewType("ArchiveName", bytes)  # 32 bytes: BLAKE3-256 of all bytes of the archive
Digest = NewType("Digest", bytes)  # 32 bytes: BLAKE3-256 of an object or a part of one
KeyId = NewType("KeyId", bytes)  # 16 bytes: public name of a master key

VaultId = NewType("VaultId", str)  # 32 hex digits, random
MachineId = NewType("MachineId", str)  # 32 hex digits: BLAKE3-128 of the machine's public key
SetId = NewType("SetId", str)  # 32 hex digits, random
PointId = NewType("PointId", str)  # 32 hex digits, random
HexDigest = NewType("HexDigest", str)  # 64 hex digits of a Digest


def digest(data: bytes | bytearray | memoryview) -> Digest:
    """Return the BLAKE3-256 of `data`. From 1 MiB on it uses several threads."""
    threads = blake3.AUTO if len(data) >= 1 << 20 else 1
    return Digest(blake3(data, max_threads=threads).digest())


def content_id(data: bytes | memoryview, key: bytes) -> ContentId:
    """Return the id of a small file's content under `key`, the key that the master key gives for content ids."""
    return ContentId(blake3(data, key=key).digest(length=16))


def hex_digest(data: bytes | bytearray | memoryview) -> HexDigest:
    return HexDigest(digest(data).hex())


def random_id() -> str:
    """Return 32 random hex digits, for vaults, sets and points."""
    return os.urandom(16).hex()


def machine_id(public_key: bytes) -> MachineId:
    """Return the id of the machine that holds the private half of `public_key` (32 bytes, Ed25519)."""
    return MachineId(blake3(public_key).digest(length=16).hex())


def fingerprint(machine: MachineId) -> str:
    """Return the machine's id in groups of four digits, so that people can read it to each other."""
    return "-".join(machine[i : i + 4] for i in range(0, 32, 4))


def parse_fingerprint(text: str) -> MachineId:
    """Return the machine that a person typed. Dashes, colons, spaces and capitals are accepted."""
    return MachineId("".join(c for c in text.lower() if c not in "-: "))
