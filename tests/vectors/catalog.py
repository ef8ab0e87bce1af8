"""Vectors that only the key opens: ids, sealed chunks, catalog segments and pages.

A zstd frame carries its writer's version, so the one here was written once. It must open to
the same bytes for ever; a newer library need not write it so.
"""

from collections.abc import Sequence

from formats.ids import ChunkId, content_id
from formats.keyed.catalog import (
    BLOCK_DEVICE,
    CHARACTER_DEVICE,
    FIFO,
    FILE,
    FOLDER,
    SOCKET,
    SYMLINK,
    CatalogEntry,
    PageRow,
    SegmentCutter,
)
from formats.keyed.chunk import INNER, ZSTD, ChunkSealer
from formats.keyed.segments import encode_entries, encode_page
from formats.tables.index import CATALOG, CONTENT
from formats.untrusted import Json
from tests.vectors.generate import readable, vector
from tests.vectors.keyed import MASTER
from tests.vectors.tables import drawn

NONCE = bytes(range(50, 74))
REPEATED = b"offseed " * 100
FRAME = bytes.fromhex("28b52ffd6020027d0000406f6666736565642001001557152e")  # zstd of the above

SEALER = ChunkSealer(MASTER)


def lengths(*sizes: int) -> bytes:
    return b"".join(size.to_bytes(4, "little") for size in sizes)


def regions(*pairs: tuple[int, int]) -> bytes:
    return b"".join(o.to_bytes(8, "little") + n.to_bytes(8, "little") for o, n in pairs)


def chunks(*names: str) -> bytes:
    return b"".join(drawn(name, 32) for name in names)


OWNER = {"uid": 1000, "gid": 100, "user": "anna", "group": "users"}
TIMES = {"mtime": 1_700_000_000, "mtime_ns": 123_456_789, "ctime": 1_700_000_001, "ctime_ns": 1}


def entry(path: bytes, kind: int, **rest: object) -> CatalogEntry:
    columns = {"mode": 0o644, **OWNER, **TIMES, "device": 64769, "inode": len(path), **rest}
    return CatalogEntry(path, kind, **columns)  # type: ignore[arg-type]


BUNDLE, CONTENT_OF = ChunkId(chunks("bundle")), drawn("content", 16)


# Every kind of entry and every way that content can lie, in the order of the walk: `a` before `a/b` before `a-b`.
ENTRIES: Sequence[CatalogEntry] = (
    entry(b"a", FOLDER, mode=0o1777, links=3),
    entry(b"a/b", FILE, size=11).in_bundle(BUNDLE, 4096, CONTENT_OF),
    entry(b"a/b/c", FILE, size=11, links=2).in_bundle(BUNDLE, 0, CONTENT_OF),
    entry(b"a-b", FILE, size=0),
    entry(b"empty hole", FILE, size=1 << 40),
    entry(b"holes", FILE, size=1 << 33, extents=regions((4096, 8), (1 << 32, 3))).in_whole_chunks(chunks("h"), lengths(11)),
    entry(b"large", FILE, size=7 << 20).in_whole_chunks(chunks("x", "y"), lengths(4 << 20, 3 << 20)),
    CatalogEntry(b"large", FILE, part=1).in_whole_chunks(chunks("z"), lengths(1)),
    entry(b"long ago", FILE, mtime=-(1 << 40), mtime_ns=999_999_999, uid=(1 << 32) - 2, inode=(1 << 64) - 1),
    entry(b"pipe", FIFO),
    entry(b"socket", SOCKET),
    entry(b"tty", CHARACTER_DEVICE, rdev=0x0501),
    entry(b"sda", BLOCK_DEVICE, rdev=0x0800),
    entry(b"xattrs", SYMLINK, target=b"../a\xff", xattrs=b"\x06\0user.a\x03\0\0\0abc"),
    entry("\u00e9t\u00e9".encode(), FILE, user="", group="\u00e9"),
    entry(b"\xff not text", FOLDER),
)  # fmt: skip
ENTRIES = sorted(ENTRIES, key=lambda e: (e.path.replace(b"/", b"\0"), e.part))

PAGE = (
    PageRow(ChunkId(drawn("one", 32)), 300, b"a", b"a/z"),
    PageRow(ChunkId(drawn("two", 32)), 8192, b"a-b", b"large"),
    PageRow(ChunkId(drawn("three", 32)), 1, b"large", b"large"),
)


@vector("records.json")
def records() -> bytes:
    """Return ids of chunks, and the records that seal them: raw, and from a frozen zstd frame."""
    listed: list[Json] = []
    for kind, raw, packed in (
        (CONTENT, b"", None),
        (CONTENT, drawn("raw", 100), None),
        (CATALOG, drawn("raw", 100), None),
        (CONTENT, REPEATED, FRAME),
    ):
        chunk = SEALER.chunk_id(kind, raw)
        if packed is None:
            record = SEALER.seal(kind, chunk, raw, nonce=NONCE)
        else:
            inner = INNER.pack(ZSTD, len(raw)) + packed
            record = SEALER._aead.seal(inner, SEALER._aad(kind, chunk), nonce=NONCE)
        listed.append(
            {
                "kind": kind,
                "raw": raw.hex(),
                "chunk id": chunk.hex(),
                "content id": content_id(raw, MASTER.content_id).hex(),
                "record": record.hex(),
            }
        )
    return readable({"master": MASTER.raw.hex(), "records": listed})


@vector("cuts.json")
def cuts() -> bytes:
    """Return those of 20,000 paths that end a segment."""
    cutter = SegmentCutter(MASTER)
    paths = (f"folder/{number}" for number in range(20_000))
    return readable([path for path in paths if cutter.cuts_after(path.encode())])


@vector("segment.bin")
def segment() -> bytes:
    """Return the entries above."""
    return encode_entries(ENTRIES)


@vector("page.bin")
def page() -> bytes:
    """Return the page above."""
    return encode_page(PAGE)
