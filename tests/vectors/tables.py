"""Vectors of tables that are read without keys: archive, index, tables of archives, index objects, need lists."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from blake3 import blake3

from formats.ids import ArchiveName, ChunkId, digest
from formats.tables import needs
from formats.tables.archive import CONTENT_CLASS, METADATA_CLASS, Archive, ArchiveBuilder
from formats.tables.holdings import Holding, encode_tables
from formats.tables.index import CATALOG, CONTENT, RECORDS_MAX, record_digest
from formats.tables.needs import Need
from formats.tables.sections import Section, encode_objects
from tests.vectors.generate import vector
from tests.vectors.keyed import MASTER

LENGTHS = (46, 61, 45, 200)  # of the records; a real one has 45 bytes and more
SALT = bytes(range(200, 216))


@dataclass(frozen=True)
class Built:
    """An archive, its bytes, and its facts for the tables."""

    archive: Archive
    data: bytes
    holding: Holding


def drawn(name: str, size: int) -> bytes:
    """Return `size` bytes that look random and never change."""
    return blake3(name.encode()).digest(length=size)


def build(records: Sequence[bytes], archive_class: int = CONTENT_CLASS) -> Built:
    kind = CONTENT if archive_class == CONTENT_CLASS else CATALOG
    builder = ArchiveBuilder(bytearray(1 << 20), archive_class, MASTER.key_id, salt=SALT)
    for number, record in enumerate(records):
        chunk = ChunkId(drawn(f"chunk {number}", 32))
        builder.add(kind, chunk, record, record_digest(record))
    made = builder.finish()
    holding = Holding(made.name, made.index_digest, made.size, made.records, archive_class)
    return Built(made, bytes(made.data), holding)


@cache
def content() -> Built:
    return build([drawn(f"record {n}", length) for n, length in enumerate(LENGTHS)])


@cache
def metadata() -> Built:
    return build([drawn("segment", 99)], METADATA_CLASS)


def holding(number: int) -> Holding:
    """Return one of many invented archives."""
    name = ArchiveName(drawn(f"archive {number}", 32))
    index_digest = digest(name)
    records = number % 30 + 1
    archive_class = METADATA_CLASS if number % 50 == 0 else CONTENT_CLASS
    return Holding(name, index_digest, 1 << 20, records, archive_class)


def need(number: int) -> Need:
    archive = holding(number)
    live = [record for record in range(archive.records) if (number + record) % 3]
    return Need(archive, needs.bitmap(archive.records, live))


def sections() -> list[Section]:
    return [Section(built.holding, built.archive.index) for built in (content(), metadata())]


@vector("archive.bin")
def archive() -> bytes:
    """Return a content archive of four records."""
    return content().data


@vector("archive-metadata.bin")
def archive_metadata() -> bytes:
    return metadata().data


@vector("index.bin")
def index() -> bytes:
    return content().archive.index


@vector("index-object.bin")
def index_object() -> bytes:
    (data,) = encode_objects(sections())
    return data


@vector("holdings.bin")
def holdings() -> bytes:
    """Return a table of twenty archives, given in no order."""
    (data,) = encode_tables([holding(number) for number in range(20)])
    return data


@vector("needs-bucket.bin")
def needs_bucket() -> bytes:
    """Return the one bucket of a small need list, with the largest and the smallest bitmap."""
    many = Holding(ArchiveName(bytes(32)), digest(b""), 64 << 20, RECORDS_MAX, CONTENT_CLASS)
    live = needs.bitmap(RECORDS_MAX, [0, 7, 8, RECORDS_MAX - 1])
    _, buckets = needs.encode([*(need(number) for number in range(3)), Need(many, live)])
    (data,) = buckets.values()
    return data


@vector("needs-root.bin")
def needs_root() -> bytes:
    """Return the root over more archives than one bucket takes; it pins the bytes of its buckets by their digests."""
    root, _ = needs.encode([need(number) for number in range(1500)])
    return root
