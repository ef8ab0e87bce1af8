"""The home's cache made whole again: what the points that a run builds upon consist of, and the home has lost.

It comes from the vault, each object checked against its name; what it is believed for is judged where it is read.
"""

from collections.abc import Iterable, Iterator

from formats import layout
from formats.errors import NotFoundError
from formats.ids import Digest, hex_digest
from formats.store.contract import Store
from formats.tables import needs
from formats.tables.archive import METADATA_CLASS
from seed.placing import MetadataCache
from seed.point_reader import PointReader
from seed.reading import Union


def rebuild(readers: Iterable[PointReader], kept: Union, vault: Store, cache: MetadataCache) -> bool:
    """Bring into the cache what the points of `readers` consist of and the home, `kept`, lacks. Whether that was anything.

    Raises HomeError home-room; StoreError, MediaError where the vault does not answer.
    """
    brought = False
    for reader in readers:
        for name in _names(reader):
            if all(store.head(name) is None for store in kept.stores):
                brought |= _bring(name, vault, cache)
    return brought


def _names(reader: PointReader) -> Iterator[str]:
    """The objects of a point, but for those that hold content."""
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
    """Whether an object of the vault came whole."""
    try:
        data = vault.get(name)
    except NotFoundError:
        return False
    if not layout.is_name_of(name, hex_digest(data)):
        return False  # who reads it says so
    cache.put(name, data)
    return True
