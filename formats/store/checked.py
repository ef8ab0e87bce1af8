"""The checked reading of objects and records: their reader knows the digest from elsewhere."""

from typing import Protocol

from formats import layout
from formats.errors import IntegrityError, damage_aside
from formats.ids import ArchiveName, Digest, digest, hex_digest
from formats.store.contract import Store
from formats.tables.archive import FOOTER
from formats.tables.holdings import Holding
from formats.tables.index import ROW, IndexRow
from formats.tables.sections import Section


class Readable(Protocol):
    """A store, or several stores read as one."""

    def get(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """Return bytes of an object. Raises as `Store.get`."""


def read_checked(store: Store, name: str, wanted: Digest, length: int | None = None) -> bytes:
    """Return the object of that name and digest; read at most `length` bytes.

    Raises NotFoundError, StoreError, MediaError; IntegrityError object-damaged if its bytes are others.
    """
    data = store.get(name, length=length)
    if digest(data) != wanted:
        raise IntegrityError("object-damaged", "its bytes are not those of its digest", subject=name)
    return data


def read_need(store: Store, wanted: Digest) -> bytes:
    """Return a part of a need list. Raises as `read_checked`."""
    return read_checked(store, layout.need_name(wanted), wanted)


def read_record(store: Store, archive: ArchiveName, row: IndexRow) -> bytes | None:
    """Return a sealed record of an archive, or None if it is damaged or missing.

    Raises StoreError, MediaError if the error says nothing of the object.
    """
    with damage_aside():
        record = store.get(layout.archive_name(archive), row.offset, row.length)
        return record if row.matches(record) else None
    return None


def read_index(store: Readable, archive: Holding) -> Section:
    """Return the index at the end of an archive, believed by the digest in its row.

    Raises NotFoundError, StoreError, MediaError; IntegrityError object-damaged if it is another one.
    """
    name = layout.archive_name(archive.name)
    size = archive.records * ROW.size
    start = archive.size - FOOTER.size - size
    index = store.get(name, start, size) if start > 0 else b""  # a replacement may say anything
    if digest(index) != archive.index_digest:
        raise IntegrityError("object-damaged", "its index is damaged", subject=name)
    return Section(archive, index)


def is_whole(store: Store, place: str, length: int | None = None) -> bool:
    """Return whether an object is there, and its bytes have the digest in its name; read at most `length`.

    Raises StoreError, MediaError if the error says nothing of the object.
    """
    with damage_aside():
        return layout.is_name_of(place, hex_digest(store.get(place, length=length)))
    return False
