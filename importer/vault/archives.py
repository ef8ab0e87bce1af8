"""The reading of archives without keys: an archive whole, or the index at its end."""

from formats import layout
from formats.errors import IntegrityError, damage_aside
from formats.ids import KeyId, digest
from formats.store.checked import read_index
from formats.store.contract import Store
from formats.tables.holdings import Holding
from formats.tables.sections import Section, section_of


def read_whole(store: Store, archive: Holding, space: memoryview) -> memoryview:
    """Read an archive once into `space`, and check it against its name and its size.

    Raises IntegrityError object-damaged, NotFoundError, StoreError, MediaError.
    """
    name = layout.archive_name(archive.name)
    data = space[: store.get_into(name, space)]
    if len(data) != archive.size or digest(data) != bytes(archive.name):
        raise IntegrityError("object-damaged", "the archive is damaged", subject=name)
    return data


def read_described(
    store: Store, archive: Holding, key_id: KeyId, space: memoryview
) -> tuple[Section, memoryview]:
    """Read a whole archive of a key, and return its index and its bytes.

    Raises the errors of `read_whole`, FormatError, and IntegrityError if the archive is not as `archive` says.
    """
    name = layout.archive_name(archive.name)
    data = read_whole(store, archive, space)
    section, key = section_of(data, archive.name, name)
    if (section.archive, key) != (archive, key_id):
        raise IntegrityError("object-damaged", "the archive is not the one that is described", subject=name)
    return section, data


def own_index(store: Store, archive: Holding) -> Section | None:
    """Return the index at the end of an archive, believed by its digest alone, or None. Raises StoreError."""
    with damage_aside():
        return read_index(store, archive)
    return None
