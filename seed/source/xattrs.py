"""Extended attributes as one column of the catalog: raw bytes, with ACLs and capabilities (CAT-7)."""

import errno
import os
import struct
import sys
from collections.abc import Sequence

_UNSUPPORTED, _GONE = 95, 61  # EOPNOTSUPP, ENODATA
KEPT_MAX = 4 << 20  # bytes of one entry, packed: its row in the catalog is one piece
TOO_MANY = -1  # in place of an errno: there are more attributes than are kept


def read(where: int | bytes) -> tuple[bytes, int]:
    """Return the packed attributes of an open file, or of a path without following a link.

    Return also an errno or `TOO_MANY` if some attributes are lacking, else 0. If there are too many, the
    attributes that the system itself uses come first: `security`, `system` and `trusted` sort before `user`.
    """
    if sys.platform != "linux":
        return b"", 0
    follow = isinstance(where, int)
    pairs: list[tuple[bytes, bytes]] = []
    failure = size = 0
    try:
        names = os.listxattr(where, follow_symlinks=follow)
    except OSError as error:
        return b"", 0 if error.errno == _UNSUPPORTED else error.errno or 0
    if not names:
        return b"", 0
    for name in sorted(names):
        try:
            value = os.getxattr(where, name, follow_symlinks=follow)
        except OSError as error:
            failure = failure if error.errno == _GONE else error.errno or 0
            continue
        pair = os.fsencode(name), value
        if size + (length := len(pack([pair]))) > KEPT_MAX:
            failure = failure or TOO_MANY
            continue
        size += length
        pairs.append(pair)
    return pack(pairs), failure


def why(failure: int) -> str:
    """Return in words why attributes are lacking."""
    if failure == TOO_MANY:
        return f"it has more extended attributes than the {KEPT_MAX >> 20} MiB that are kept of one entry"
    if failure == errno.E2BIG:
        return "it has more extended attributes than the system lists"
    return os.strerror(failure)


def pack(pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return for each pair: name length u16, name, value length u32, value, all little-endian."""
    return b"".join(
        struct.pack("<H", len(name)) + name + struct.pack("<I", len(value)) + value for name, value in pairs
    )


def unpack(packed: bytes) -> list[tuple[bytes, bytes]]:
    """Return the pairs of packed attributes. Drop a pair that is cut short at the end."""
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
