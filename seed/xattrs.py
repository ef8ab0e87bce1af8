"""Extended attributes as one column of the catalog: raw bytes, ACLs and capabilities among them (CAT-7)."""

import os
import struct
import sys
from collections.abc import Sequence

_UNSUPPORTED, _GONE = 95, 61  # EOPNOTSUPP, ENODATA


def read(where: int | bytes) -> tuple[bytes, int]:
    """The attributes of an open file, or of what has a name and is no link that is followed, packed; and an errno where
    some could not be read, else 0."""
    if sys.platform != "linux":
        return b"", 0
    follow = isinstance(where, int)
    pairs: list[tuple[bytes, bytes]] = []
    failure = 0
    try:
        names = os.listxattr(where, follow_symlinks=follow)
    except OSError as error:
        return b"", 0 if error.errno == _UNSUPPORTED else error.errno or 0
    if not names:
        return b"", 0
    for name in sorted(names):
        try:
            pairs.append((os.fsencode(name), os.getxattr(where, name, follow_symlinks=follow)))
        except OSError as error:
            failure = failure if error.errno == _GONE else error.errno or 0
    return pack(pairs), failure


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
