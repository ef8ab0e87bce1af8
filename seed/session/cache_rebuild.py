"""The home's cache made whole again: the lost objects of the points that a run builds upon.

They come from the vault, and each object is checked against its name. The code that reads an object decides
whether to believe it.
"""

from collections.abc import Iterable, Iterator

from formats import layout
from formats.errors import NotFoundError
from formats.ids import Digest, hex_digest
from formats.store.contract import Store
from formats.tables import needs
from formats.tables.archive import METADATA_CLASS
from seed.points.layered_store import LayeredStore
from seed.points.point_reader import PointReader
from seed.targets.disk_pool import MetadataCache


def rebuild(readers: Iterable[PointReader], kept: LayeredStore, vault: Store, cache: MetadataCache) -> bool:
    """Bring into the cache the objects of the points of `readers` that the home, `kept`, lacks.

    Returns whether it brought any. Raises HomeError home-room; StoreError, MediaError if the vault does not
    answer.
    """
    brought = False
    for reader in readers:
        for name in _names(reader):
            if all(store.head(name) is None for store in kept.stores):
                brought |= _bring(name, vault, cache)
    return brought


def _names(reader: PointReader) -> Iterator[str]:
    """Yield the names of a point's objects, but not of archives with content."""
    manifest = reader.point.manifest
    yield layout.numbered(layout.manifest_prefix(manifest.machine), manifest.sequence, reader.point.digest)
    yield from reader.indexes
    yield from (
        layout.archive_name(need.archive.name)
        for need in reader.needs
        if need.archive.archive_class == METADATA_CLASS
    )
    root, union = Digest(bytes.fromhex(manifest.needs)), reader.union
    listed = needs.objects_of(root, lambda d: union.get_checked(layout.need_name(d), d), "needs")
    yield from map(layout.need_name, listed)


def _bring(name: str, vault: Store, cache: MetadataCache) -> bool:
    """Bring an object of the vault; return whether it came whole."""
    try:
        data = vault.get(name)
    except NotFoundError:
        return False
    if not layout.is_name_of(name, hex_digest(data)):
        return False  # its reader says so
    cache.put(name, data)
    return True
