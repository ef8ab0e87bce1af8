"""The need list of a point: each needed archive and a bitmap of its live records (NEED-1 to NEED-5).

A root object lists content-addressed buckets by the first bits of the archives' names. Their number is the
smallest power of two that keeps every bucket under 1,024 archives. Points share the buckets in which nothing
changed. The salt is the smallest with which the object is not a condemned one, because nothing may be built
upon that any more.

    bucket  magic 8 "offsNBK1", archives u32, salt u32, rows of 76 bytes (holdings), bitmaps in the order of the
            rows: ceil(records / 8) bytes each, record i in bit i % 8 of byte i // 8, bits beyond the last zero
    root    magic 8 "offsNRT1", bits u8, 3 zero, salt u32, then 2^bits digests of buckets; 32 zero bytes for an empty one
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from formats.ids import Digest, digest
from formats.tables.holdings import ROW, Holding, decode_rows, encode_rows
from formats.untrusted import refuse

BUCKET_HEAD = struct.Struct("<8sII")
ROOT_HEAD = struct.Struct("<8sB3xI")
BUCKET_MAGIC = b"offsNBK1"
ROOT_MAGIC = b"offsNRT1"
BUCKET_ARCHIVES_MAX = 1023
BITS_MAX = 16
EMPTY = bytes(32)


@dataclass(frozen=True, slots=True)
class Need:
    """One archive, and a bitmap of its live records."""

    archive: Holding
    live: bytes

    def is_live(self, record: int) -> bool:
        return bool(self.live[record >> 3] >> (record & 7) & 1)

    def live_count(self) -> int:
        return int.from_bytes(self.live, "little").bit_count()


Buckets = dict[tuple[Digest, int, int], list[Need]]  # by digest, number, and bits of the number


def bitmap(records: int, live: Sequence[int]) -> bytes:
    """Return a bitmap of `records` bits in which the numbers in `live` are set."""
    bits = bytearray((records + 7) // 8)
    for record in live:
        bits[record >> 3] |= 1 << (record & 7)
    return bytes(bits)


def of_bits(archive: Holding, bits: int) -> Need:
    """Return the need for the records with the set bits as numbers."""
    return Need(archive, bits.to_bytes((archive.records + 7) // 8, "little"))


def all_of(archive: Holding) -> Need:
    """Return the need for every record of an archive."""
    return Need(archive, bitmap(archive.records, range(archive.records)))


def encode(
    needs: Sequence[Need], avoid: Callable[[Digest], bool] = lambda _: False
) -> tuple[bytes, Mapping[Digest, bytes]]:
    """Return the root object, and the buckets by digest.

    No object has a digest for which `avoid` is true.
    """
    ordered = sorted(needs, key=lambda n: n.archive.name)
    bits = 0
    while True:
        buckets: list[list[Need]] = [[] for _ in range(1 << bits)]
        for need in ordered:
            buckets[_bucket_of(need.archive.name, bits)].append(need)
        if max(map(len, buckets)) <= BUCKET_ARCHIVES_MAX:
            break
        bits += 1
    objects: dict[Digest, bytes] = {}
    digests: list[bytes] = []
    for bucket in buckets:
        if not bucket:
            digests.append(EMPTY)
            continue
        rows = encode_rows(n.archive for n in bucket) + b"".join(n.live for n in bucket)
        data = _salted(lambda salt: BUCKET_HEAD.pack(BUCKET_MAGIC, len(bucket), salt) + rows, avoid)  # noqa: B023
        objects[digest(data)] = data
        digests.append(digest(data))
    listed = b"".join(digests)
    return _salted(lambda salt: ROOT_HEAD.pack(ROOT_MAGIC, bits, salt) + listed, avoid), objects


def _salted(make: Callable[[int], bytes], avoid: Callable[[Digest], bool]) -> bytes:
    return next(data for data in map(make, count()) if not avoid(digest(data)))


def decode_root(data: bytes, where: str) -> list[Digest | None]:
    """Return the digests of the buckets in order, None for an empty one. Raises FormatError NEED-1."""
    if len(data) < ROOT_HEAD.size:
        refuse("NEED-1", "too short for the root of a need list", where)
    magic, bits, _ = ROOT_HEAD.unpack_from(data)
    if magic != ROOT_MAGIC or bits > BITS_MAX or data[9:12] != bytes(3):
        refuse("NEED-1", "not the root of a need list", where)
    if len(data) != ROOT_HEAD.size + (32 << bits):
        refuse("NEED-1", "the root of a need list has not the length it claims", where)
    parts = (data[at : at + 32] for at in range(ROOT_HEAD.size, len(data), 32))
    return [None if part == EMPTY else Digest(part) for part in parts]


def decode_bucket(data: bytes, number: int, bits: int, where: str) -> list[Need]:
    """Read bucket `number` of 2^`bits`.

    Raises FormatError NEED-2 (structure), NEED-3 (wrong bucket), NEED-4 (bitmap).
    """
    if len(data) < BUCKET_HEAD.size:
        refuse("NEED-2", "too short for a bucket", where)
    magic, archives, _ = BUCKET_HEAD.unpack_from(data)
    rows_end = BUCKET_HEAD.size + archives * ROW.size
    if magic != BUCKET_MAGIC or not 1 <= archives <= BUCKET_ARCHIVES_MAX:
        refuse("NEED-2", "not a bucket of a need list", where)
    if rows_end > len(data):
        refuse("NEED-2", "a bucket is cut short", where)
    needs: list[Need] = []
    at = rows_end
    for archive in decode_rows(memoryview(data)[BUCKET_HEAD.size : rows_end], where):
        if _bucket_of(archive.name, bits) != number:
            refuse("NEED-3", "an archive stands in the wrong bucket", where)
        live = data[at : at + (archive.records + 7) // 8]
        at += len(live)
        if len(live) != (archive.records + 7) // 8 or (
            archive.records % 8 and live[-1] >> archive.records % 8
        ):
            refuse("NEED-4", "a bitmap has not one bit a record", where)
        needs.append(Need(archive, live))
    if at != len(data):
        refuse("NEED-2", "a bucket has bytes beyond its end", where)
    return needs


def load(
    root_digest: Digest, fetch: Callable[[Digest], bytes], where: str, known: Buckets | None = None
) -> list[Need]:
    """Read a whole need list through `fetch`, which returns the object of a digest, *checked* against it (NEED-5).

    Buckets that are `known` are not read again, nor kept twice: consecutive points share most of their
    buckets.
    """
    digests = decode_root(fetch(root_digest), where)
    bits = (len(digests) - 1).bit_length()
    known = {} if known is None else known
    found: list[Need] = []
    for number, bucket in enumerate(digests):
        if bucket is None:
            continue
        key = (bucket, number, bits)
        if key not in known:
            known[key] = decode_bucket(fetch(bucket), number, bits, f"{where}/{number}")
        found += known[key]
    return found


def add_rows(
    root_digest: Digest, fetch: Callable[[Digest], bytes], where: str, rows: set[bytes], known: set[Digest]
) -> None:
    """Add the rows (HOLD-1) of the archives of a need list to `rows`, without parsing them or the bitmaps.

    Skip the buckets that are `known`, and add the others to them: so the lists of a thousand points take
    little time. Raises the errors of `load`.
    """
    for number, bucket in enumerate(decode_root(fetch(root_digest), where)):
        if bucket is None or bucket in known:
            continue
        rows.update(_rows(fetch(bucket), f"{where}/{number}"))
        known.add(bucket)


def archives_of(data: bytes, where: str) -> list[Holding]:
    """Return the archives of a bucket of any number. Raises FormatError NEED-2, HOLD-1, HOLD-2."""
    return decode_rows(memoryview(b"".join(_rows(data, where))), where)


def _rows(data: bytes, where: str) -> list[bytes]:
    """Cut the rows of the archives out of a bucket. Raises FormatError NEED-2."""
    archives = BUCKET_HEAD.unpack_from(data)[1] if len(data) >= BUCKET_HEAD.size else 0
    end = BUCKET_HEAD.size + archives * ROW.size
    if not data.startswith(BUCKET_MAGIC) or not 1 <= archives <= BUCKET_ARCHIVES_MAX or end > len(data):
        refuse("NEED-2", "not a bucket of a need list", where)
    return [data[at : at + ROW.size] for at in range(BUCKET_HEAD.size, end, ROW.size)]


def objects_of(root_digest: Digest, fetch: Callable[[Digest], bytes], where: str) -> list[Digest]:
    """Return the digests of the objects of a need list: its root and its buckets. The buckets are not read.

    Raises the errors of `load`.
    """
    return [root_digest, *(bucket for bucket in decode_root(fetch(root_digest), where) if bucket is not None)]


def _bucket_of(name: bytes, bits: int) -> int:
    return int.from_bytes(name[:4], "big") >> (32 - bits)
