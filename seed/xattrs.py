"""Extended attributes as one column of the catalog: raw bytes, ACLs and capabilities among them (CAT-7)."""

import errno
import os
import struct
import sys
from collections.abc import Sequence

_UNSUPPORTED, _GONE = 95, 61  # EOPNOTSUPP, ENODATA
KEPT_MAX = 4 << 20  # bytes of one entry, packed: its row in the catalog is one piece
TOO_MANY = -1  # where an errno stands: there are more than are kept


def read(where: int | bytes) -> tuple[bytes, int]:
    """Return the attributes of an open file, or of what has a name and is no link that is followed, packed; and an errno
    or `TOO_MANY` where some are lacking, else 0.

    Of too many those come first that the system itself uses: `security`, `system` and `trusted` sort before `user`.
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
