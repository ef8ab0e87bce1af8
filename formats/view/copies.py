"""The second copies of documents that nothing else can replace: the vault holds such a document twice."""

from contextlib import suppress

from formats import layout
from formats.documents import envelope
from formats.errors import NameHeldByOtherError
from formats.store.checked import is_whole
from formats.store.contract import Store


def put_document(store: Store, name: str, data: bytes) -> None:
    """Put a document, and its copy if nothing else can replace it. Raises the errors of `Store.put_new`.

    The importer replaces junk under the name of a copy.
    """
    first, *copies = layout.places_of(name)
    store.put_new(first, data)
    for copy in copies:
        with suppress(NameHeldByOtherError):
            store.put_new(copy, data)


def listed_twice(store: Store, prefix: str) -> dict[str, int]:
    """Return the names below a prefix and their sizes; 0 if only a copy has the name."""
    sizes = dict(store.list(prefix))
    if layout.is_copied(prefix):
        for name, _ in store.list(layout.copy_name(prefix)):
            sizes.setdefault(layout.copied_from(name), 0)
    return sizes


def is_there(store: Store, name: str) -> bool:
    """Return whether the bytes of a name are in one of its places, signed by anybody."""
    return any(is_whole(store, place, envelope.SIZE_MAX + 1) for place in layout.places_of(name))
