"""The catalog of a recovery point as a Parquet file for other programs: DuckDB, pandas, a spreadsheet.

Each name has one row. Nothing in the file is encrypted, so only its owner may read it (mode 0600). `path` is
text: bytes outside UTF-8 stand there as `\\xNN`. `path_bytes` has them as they are.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from blake3 import blake3

from formats.documents.manifest import Manifest
from formats.errors import UsageError
from formats.keyed.catalog import TYPES, CatalogEntry
from formats.store.failures import told

ROWS = 1 << 16  # of a row group
CONTENT_SIZE = 16  # bytes, as the content id of a small file

SCHEMA = pa.schema(
    [
        pa.field("point", pa.string(), nullable=False),
        pa.field("point_created", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("path_bytes", pa.binary(), nullable=False),
        pa.field("type", pa.dictionary(pa.int8(), pa.string()), nullable=False),
        pa.field("mode", pa.uint32(), nullable=False),
        pa.field("uid", pa.uint32(), nullable=False),
        pa.field("gid", pa.uint32(), nullable=False),
        pa.field("user", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("mtime", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("ctime", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("device", pa.uint64(), nullable=False),
        pa.field("inode", pa.uint64(), nullable=False),
        pa.field("links", pa.uint32(), nullable=False),
        pa.field("target", pa.string()),
        pa.field(
            "content", pa.string()
        ),  # small files with equal content have equal text here; so have large ones
    ]
)
_SIZE_MAX = (1 << 63) - 1
_TIME_MIN, _TIME_MAX = -(1 << 62) // 10**6, (1 << 62) // 10**6  # seconds that 64-bit microseconds reach


def write(path: Path, manifest: Manifest, entries: Iterable[CatalogEntry]) -> int:
    """Write all `entries` to a new file, which is there whole or not at all; return the number of its rows.

    Raises UsageError file-exists, path-not-found, and the errors of reading `entries`.
    """
    if os.path.lexists(path):
        raise UsageError(
            "file-exists", "this file exists already", subject=str(path), hint="choose another name"
        )
    if not path.parent.is_dir():
        raise UsageError(
            "path-not-found", "there is no such folder", subject=str(path.parent), hint="make it first"
        )
    rows = 0
    with told(str(path)):
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with told(str(path)), os.fdopen(handle, "wb") as file:
            with pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
                for group in _groups(_rows(manifest, entries)):
                    writer.write_table(pa.table(list(zip(*group, strict=True)), schema=SCHEMA))
                    rows += len(group)
            file.flush()
            os.fsync(file.fileno())
        with told(str(path)):
            os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    return rows


def _groups(rows: Iterable[Sequence[Any]]) -> Iterator[list[Sequence[Any]]]:
    group: list[Sequence[Any]] = []
    for row in rows:
        group.append(row)
        if len(group) == ROWS:
            yield group
            group = []
    if group:
        yield group


def _rows(manifest: Manifest, entries: Iterable[CatalogEntry]) -> Iterator[Sequence[Any]]:
    """Yield one row for each name, also for a file with several entries."""
    head = (manifest.point, _micros(manifest.created, 0))
    first: CatalogEntry | None = None
    chunks = blake3()
    for entry in entries:
        if entry.part == 0:
            if first is not None:
                yield _row(head, first, chunks)
            first, chunks = entry, blake3()
        chunks.update(entry.chunks)
    if first is not None:
        yield _row(head, first, chunks)


def _row(head: tuple[str, int], entry: CatalogEntry, chunks: blake3) -> Sequence[Any]:
    content = entry.content or (chunks.digest(length=CONTENT_SIZE) if entry.chunks else b"")
    return (
        *head,
        "/" + _text(entry.path),
        b"/" + entry.path,
        TYPES[entry.type],
        entry.mode,
        entry.uid,
        entry.gid,
        entry.user,
        entry.group,
        min(entry.size, _SIZE_MAX),
        _micros(entry.mtime, entry.mtime_ns),
        _micros(entry.ctime, entry.ctime_ns),
        entry.device,
        entry.inode,
        entry.links,
        _text(entry.target) if entry.target else None,
        content.hex() if content else None,
    )


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


def _micros(seconds: int, nanoseconds: int) -> int:
    return min(max(seconds, _TIME_MIN), _TIME_MAX) * 10**6 + nanoseconds // 1000
