"""Sealed chunks: a sealed chunk opens under its own kind, key and id, and every other record has its error."""

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.errors import FormatError, IntegrityError
from formats.ids import ChunkId, content_id
from formats.keyed.chunk import INNER, RAW, RAW_SIZE_MAX, RECORD_OVERHEAD, ZSTD, ChunkSealer
from formats.keyed.keys import MasterKey
from formats.tables.index import CATALOG, CONTENT, KINDS
from tests.tables.flaws import Outcome, flips, outcome
from tests.vectors.catalog import FRAME, NONCE, REPEATED, SEALER
from tests.vectors.generate import DATA
from tests.vectors.keyed import MASTER

GOLDEN = json.loads((DATA / "records.json").read_bytes())["records"]
BROKEN = (IntegrityError, "seal-broken")


@pytest.mark.parametrize("golden", GOLDEN, ids=["empty", "content", "catalog", "zstd"])
def test_the_golden_records_open(golden: dict[str, str]) -> None:
    raw, chunk = bytes.fromhex(golden["raw"]), ChunkId(bytes.fromhex(golden["chunk id"]))
    kind = int(golden["kind"])
    record = bytes.fromhex(golden["record"])
    assert SEALER.open(kind, chunk, record, "here") == raw
    assert SEALER.open(kind, chunk, memoryview(bytearray(record)), "here") == raw
    assert SEALER.chunk_id(kind, raw) == chunk
    assert content_id(raw, MASTER.content_id).hex() == golden["content id"]


def crafted(inner: bytes, raw: bytes = REPEATED, kind: int = CONTENT) -> tuple[int, ChunkId, bytes]:
    """Return a record that needs only the key: any inner bytes under the id of `raw`."""
    chunk = SEALER.chunk_id(kind, raw)
    return kind, chunk, SEALER._aead.seal(inner, SEALER._aad(kind, chunk))


def inner(codec: int, length: int, data: bytes) -> bytes:
    return INNER.pack(codec, length) + data


COMPRESS = pa.Codec("zstd").compress
FLAWS: dict[str, tuple[bytes, Outcome]] = {
    "nothing inside": (b"", (FormatError, "REC-2")),
    "half a head": (bytes(4), (FormatError, "REC-2")),
    "a raw length too large": (inner(RAW, RAW_SIZE_MAX + 1, REPEATED), (FormatError, "REC-3")),
    "the largest raw length": (inner(ZSTD, (1 << 32) - 1, FRAME), (FormatError, "REC-3")),
    "raw data cut": (inner(RAW, len(REPEATED), REPEATED[:-1]), (FormatError, "REC-3")),
    "raw data with a tail": (inner(RAW, len(REPEATED), REPEATED + b"\0"), (FormatError, "REC-3")),
    "no raw data": (inner(RAW, len(REPEATED), b""), (FormatError, "REC-3")),
    "codec 2": (inner(2, len(REPEATED), FRAME), (FormatError, "REC-4")),
    "codec 255": (inner(255, len(REPEATED), FRAME), (FormatError, "REC-4")),
    "a frame cut": (inner(ZSTD, len(REPEATED), FRAME[:-1]), (FormatError, "REC-4")),
    "a frame with a tail": (inner(ZSTD, len(REPEATED), FRAME + b"\0"), (FormatError, "REC-4")),
    "no frame": (inner(ZSTD, len(REPEATED), b""), (FormatError, "REC-4")),
    "bytes that are no frame": (inner(ZSTD, len(REPEATED), REPEATED), (FormatError, "REC-4")),
    "a length too small for its frame": (inner(ZSTD, len(REPEATED) - 1, FRAME), (FormatError, "REC-4")),
    "a length too large for its frame": (inner(ZSTD, len(REPEATED) + 1, FRAME), (FormatError, "REC-4")),
    "a frame of more than a chunk may have": (
        inner(ZSTD, RAW_SIZE_MAX, bytes(COMPRESS(bytes(RAW_SIZE_MAX + 1)))),
        (FormatError, "REC-4"),
    ),
    "other raw data": (inner(RAW, 5, b"other"), BROKEN),
    "another frame": (inner(ZSTD, 1000, bytes(COMPRESS(bytes(1000)))), BROKEN),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_every_flaw_inside_the_seal_has_its_rule(flaw: str) -> None:
    data, expected = FLAWS[flaw]
    assert outcome(opened, *crafted(data)) == expected


def opened(kind: int, chunk: ChunkId, record: bytes) -> bytes:
    return SEALER.open(kind, chunk, record, "here")


CHUNK = SEALER.chunk_id(CONTENT, REPEATED)
RECORD = SEALER.seal(CONTENT, CHUNK, REPEATED, nonce=NONCE)
OUTSIDE: dict[str, Callable[[], tuple[int, ChunkId, bytes]]] = {
    "nothing": lambda: (CONTENT, CHUNK, b""),
    "less than a seal": lambda: (CONTENT, CHUNK, RECORD[:39]),
    "cut by a byte": lambda: (CONTENT, CHUNK, RECORD[:-1]),
    "without its first byte": lambda: (CONTENT, CHUNK, RECORD[1:]),
    "a tail": lambda: (CONTENT, CHUNK, RECORD + b"\0"),
    "another kind": lambda: (CATALOG, CHUNK, RECORD),
    "another id": lambda: (CONTENT, ChunkId(bytes(32)), RECORD),
    "the id of the other kind": lambda: (CATALOG, SEALER.chunk_id(CATALOG, REPEATED), RECORD),
    "another chunk's record": lambda: (CONTENT, CHUNK, SEALER.seal(CONTENT, SEALER.chunk_id(CONTENT, b"x"), b"x")),
    "another machine's record": lambda: (CONTENT, CHUNK, ChunkSealer(MasterKey(bytes(32))).seal(CONTENT, CHUNK, REPEATED)),
}  # fmt: skip


@pytest.mark.parametrize("flaw", OUTSIDE)
def test_a_record_cannot_stand_in_for_another(flaw: str) -> None:
    assert outcome(opened, *OUTSIDE[flaw]()) == BROKEN


def test_every_flipped_bit_is_noticed() -> None:
    for _, data in flips(RECORD):
        assert outcome(opened, CONTENT, CHUNK, data) == BROKEN
    for _, data in flips(CHUNK):
        assert outcome(opened, CONTENT, ChunkId(data), RECORD) == BROKEN


def codec_of(raw: bytes) -> int:
    """Return the codec that the sealer chose for `raw`."""
    chunk = SEALER.chunk_id(CONTENT, raw)
    plain = SEALER._aead.open(SEALER.seal(CONTENT, chunk, raw), SEALER._aad(CONTENT, chunk))
    codec, length = INNER.unpack_from(plain)
    assert length == len(raw)
    return int(codec)


RANDOM = os.urandom(1 << 20)


@pytest.mark.parametrize(
    ("raw", "codec"),
    [
        (b"", RAW),
        (b"x", RAW),
        (REPEATED, ZSTD),
        (RANDOM[:1000], RAW),
        (RANDOM, RAW),
        (bytes(1 << 20), ZSTD),
        (RANDOM[: 1 << 17] + bytes(1 << 18), ZSTD),
    ],
)
def test_incompressible_data_is_stored_as_it_is(raw: bytes, codec: int) -> None:
    assert codec_of(raw) == codec
    chunk = SEALER.chunk_id(CONTENT, raw)
    record = SEALER.seal(CONTENT, chunk, raw)
    assert len(record) <= len(raw) + RECORD_OVERHEAD
    assert SEALER.open(CONTENT, chunk, record, "here") == raw


def test_a_sealer_is_shared_by_threads() -> None:
    def round_trip(number: int) -> bool:
        raw = number.to_bytes(4, "big") * 5000
        chunk = SEALER.chunk_id(CONTENT, raw)
        return SEALER.open(CONTENT, chunk, SEALER.seal(CONTENT, chunk, raw), "here") == raw

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(round_trip, range(200)))


def test_ids_differ_by_kind_key_and_use() -> None:
    other = ChunkSealer(MasterKey(bytes(32)))
    ids = [sealer.chunk_id(kind, b"same") for sealer in (SEALER, other) for kind in KINDS]
    contents = [content_id(b"same", sealer.content_key) for sealer in (SEALER, other)]
    assert len({i[:16] for i in [*ids, *contents]}) == 6
    assert {len(i) for i in ids} == {32}
    assert {len(i) for i in contents} == {16}


def test_equal_chunks_are_sealed_differently_each_time() -> None:
    assert len({SEALER.seal(CONTENT, CHUNK, REPEATED) for _ in range(20)}) == 20


@given(
    raw=st.binary(max_size=300) | st.integers(0, 5000).map(bytes),
    kind=st.sampled_from(KINDS),
    level=st.sampled_from([1, 3, 9]),
)
def test_what_was_sealed_opens(raw: bytes, kind: int, level: int) -> None:
    writer, reader = ChunkSealer(MASTER, level), ChunkSealer(MASTER)
    chunk = writer.chunk_id(kind, raw)
    record = writer.seal(kind, chunk, raw)
    assert reader.open(kind, chunk, record, "here") == raw
    assert RECORD_OVERHEAD <= len(record) <= len(raw) + RECORD_OVERHEAD


@given(codec=st.sampled_from([RAW, ZSTD, 2]), length=st.integers(0, 2000), data=st.binary(max_size=60))
def test_any_bytes_inside_the_seal_give_a_chunk_or_an_error(codec: int, length: int, data: bytes) -> None:
    assert outcome(opened, *crafted(inner(codec, length, FRAME[: length % 30] + data)))[1] in (
        "REC-3",
        "REC-4",
        "seal-broken",
    )
