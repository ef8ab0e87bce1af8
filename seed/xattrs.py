"""Extended attributes as one column of the catalog: raw bytes, ACLs and capabilities among them (CAT-7)."""

import struct
from collections.abc import Sequence


def pack(pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Name length u16, name, value length u32, value, for each; little-endian."""
    return b"".join(
        struct.pack("<H", len(name)) + name + struct.pack("<I", len(value)) + value for name, value in pairs
    )


def unpack(packed: bytes) -> list[tuple[bytes, bytes]]:
    """The inverse of `pack`; what is cut short at the end is dropped."""
    pairs: list[tuple[bytes, bytes]] = []
    at = 0
    while at + 2 <= len(packed):
        (length,) = struct.unpack_from("<H", packed, at)
        name = packed[at + 2 : at + 2 + length]
        at += 2 + length
        if at + 4 > len(packed):
            break
        (length,) = struct.unpack_from("<I", packed, at)
        pairs.append((name, packed[at + 4 : at + 4 + length]))
        at += 4 + length
    return pairs
