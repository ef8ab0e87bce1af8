"""The contract of every store, and the few rules that all stores share.

An object is written once, whole, under its name. After that it is only read, listed and perhaps deleted. An
object has at least one byte: a file without bytes is no object (it may be the claim of a writer that died).
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol, runtime_checkable

from formats.errors import IntegrityError
from formats.layout import check_folder, size_max
from formats.store.foreign import Passed

Octets = bytes | bytearray | memoryview


class Store(Protocol):
    """A flat, write-once place of named objects. Any thread may call any method.

    Every method checks names by `layout.check_name`, which raises FormatError. Beyond the errors named below,
    any call raises MediaError if the medium is full, read-only or broken, and StoreError("denied") if
    access is refused. The subject is `<address>/<name>`.
    """

    address: str
    """What people, and errors, call the store."""

    def put_new(self, name: str, data: Octets) -> bool:
        """Write `data` under `name`, once; durable on return. `data` is not kept, and is not empty.

        Return True if it was written, False if an equal object (length, then bytes or digest) was there
        already. Raises NameHeldByOtherError if another object was there, ObstructedError if something stands
        in the way that is no object, ValueError if `data` is empty.
        """

    def get(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """Return `length` bytes of the object (None: all) from byte `start` on, cut at the object's end.

        Raises NotFoundError if there is no such object, ObstructedError if something else stands there.
        Raises IntegrityError if all bytes are requested and the object is longer than an object of that name
        can be (NAME-3).
        """

    def get_into(self, name: str, buffer: memoryview) -> int:
        """Read the whole object to the front of `buffer` (format "B"); return the object's size in bytes.

        Raises NotFoundError, ObstructedError, and IntegrityError if the object is longer than `buffer`.
        """

    def head(self, name: str) -> int | None:
        """Return the object's size in bytes, None if there is none."""

    def list(self, prefix: str, passed: Passed | None = None) -> Iterator[tuple[str, int]]:
        """Yield name and size in bytes of all objects in and below the folder `prefix`, sorted by name.

        A folder is `archives/`, `manifests/<machine>/`, with or without the last slash; "" is everything.
        Foreign entries are skipped, and reported to `passed` on the way. Memory is needed for one folder's
        objects only.
        """

    def written(self, name: str) -> datetime | None:
        """Return when the object was written, by the clock of the store; None if there is no object of that name.

        For a folder this is the time of its file system. Any user with the right to write there can set it.
        """

    def delete(self, name: str) -> None:
        """Remove the object; it is no error if there is none. A power cut soon after may bring it back."""

    def set_aside(self, name: str, kind: str | None = None) -> str:
        """Move the entry at the path `name` to a new place below `set-aside/`, where no listing looks.

        Return that place. Nothing is opened, followed or replaced. Raises NotFoundError if nothing is there.
        With `kind`, it raises that too if the entry is no longer of that kind: an object may have taken the
        place of the entry that was seen.
        """

    def close(self) -> None:
        """Release the handles; the store is not used afterwards. Closing twice is fine."""


class Limiter(Protocol):
    """A brake on transfers. Many threads may ask it."""

    def take(self, count: int) -> None:
        """Wait until `count` more bytes may travel."""


@runtime_checkable
class Guarded(Protocol):
    """The additional methods of a store that asks for an access."""

    def rights(self) -> frozenset[str]:
        """Return the given rights, found by trial.

        The rights are `create`, `read`, `list`, `write` (over existing blobs) and `delete`.
        """

    def redundancy(self) -> str | None:
        """Return `geo` or `local`, None if the service does not tell."""

    def grant(self, ends: datetime, *, policy: str | None = None) -> str | None:
        """Return a new secret that may create, read and list until `ends`; None if this access may not give one.

        With `policy`, it belongs to the stored access policy of that name, which can be revoked.
        """

    def revoke(self, policy: str) -> bool:
        """End all access that a stored access policy has granted; return False if there is none of that name."""


def folder_of(prefix: str) -> str:
    """Return the folder that a listing's `prefix` names, without its last slash. Raises FormatError."""
    return check_folder(prefix.removesuffix("/")) if prefix else ""


def octets(data: Octets) -> memoryview:
    """Return `data` as single bytes; the caller releases the view. Raises ValueError if there are none."""
    if not len(data):
        raise ValueError("an object has at least one byte")
    return memoryview(data).cast("B")


def check_range(start: int, length: int | None) -> None:
    """Raise ValueError unless the range is valid."""
    if start < 0 or (length is not None and length < 0):
        raise ValueError("a range begins at byte 0 or later and is not of negative length")


def span(size: int, start: int, length: int | None) -> tuple[int, int]:
    """Return begin and end of the range `start`, `length` in an object of `size` bytes, cut at its end."""
    check_range(start, length)
    begin = min(start, size)
    return begin, size if length is None else min(begin + length, size)


def check_whole(name: str, size: int, length: int | None, address: str) -> None:
    """Raise IntegrityError if a whole object is to be read that is longer than its name allows."""
    if length is None and size > size_max(name):
        raise overlong(name, address)


def overlong(name: str, address: str) -> IntegrityError:
    """Return the error for an object that is longer than its name allows (NAME-3), or than its reader's buffer."""
    return IntegrityError(
        "object-damaged",
        "the object is longer than it should be",
        subject=f"{address}/{name}",
        hint="fetch it from another store, or have it sent again",
    )
