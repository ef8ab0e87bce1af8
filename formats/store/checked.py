"""The checked reading of an object: its reader knows the digest from elsewhere."""

from formats import layout
from formats.errors import IntegrityError
from formats.ids import Digest, digest
from formats.store.contract import Store


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
