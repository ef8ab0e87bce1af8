"""What every store promises, and the few rules that all stores share.

An object is written once, whole, under its name, and is then only read, listed and perhaps deleted. An object
has at least one byte: what has none does not exist (it may be the claim of a writer that died).
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol, runtime_checkable

from formats.errors import IntegrityError
from formats.layout import check_folder, size_max
from formats.store.foreign import Passed

Octets = bytes | bytearray | memoryview


class Store(Protocol):
    """A flat, write-once place of named objects; all of it may be called from any thread.

    Every name is checked by `layout.check_name`, which raises FormatError. Beyond the errors named below,
    any call raises MediaError where the medium is full, read-only or broken, and StoreError("denied") where
    access is refused; the subject is `<address>/<name>`.
    """

    address: str
    """What people, and errors, call the store."""

    def put_new(self, name: str, data: Octets) -> bool:
        """Write `data` under `name`, once; durable on return. `data` is not kept, and is not empty.

        True if it was written, False if an equal object (length, then bytes or digest) was there already.
        Raises NameHeldByOtherError if another one was, ObstructedError if something stands in the way that is no object,
        ValueError if `data` is empty.
        """

    def get(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """`length` bytes of the object (None: all) from byte `start` on, cut at the object's end.

        Raises NotFoundError if there is no such object, ObstructedError if something else stands there; and IntegrityError
        where all is asked for, and is more than one of that name can have (NAME-3).
        """

    def get_into(self, name: str, buffer: memoryview) -> int:
        """Read the whole object to the front of `buffer` (format "B"); the object's size in bytes.

        Raises NotFoundError, ObstructedError, and IntegrityError if the object is longer than `buffer`.
        """

    def head(self, name: str) -> int | None:
        """The object's size in bytes, None where there is none."""

    def list(self, prefix: str, passed: Passed | None = None) -> Iterator[tuple[str, int]]:
        """Name and size in bytes of all objects in and below the folder `prefix`, sorted by name.

        A folder is `archives/`, `manifests/<machine>/`, with or without the last slash; "" is everything.
        Whatever is foreign is passed over, and told to `passed` on the way. Memory is needed for one folder's objects only.
        """

    def written(self, name: str) -> datetime | None:
        """When the object was written, by the clock of the store: of a folder, that of its file system, which whoever may write
        there can set. None where there is none of that name."""

    def delete(self, name: str) -> None:
        """Remove the object; none there is fine. A power cut soon after may bring it back."""

    def set_aside(self, name: str, kind: str | None = None) -> str:
        """Move what lies at the path `name` to a new place below `set-aside/`, where no listing looks.

        Returns that place. Nothing is opened, followed or replaced. Raises NotFoundError where nothing is there; or, with `kind`,
        nothing of that kind any more: an object may have come into the place of what was seen there.
        """

    def close(self) -> None:
        """Let go of handles; the store is not used afterwards. Closing twice is fine."""


class Limiter(Protocol):
    """Holds back what travels. May be asked by many threads."""

    def take(self, count: int) -> None:
        """Wait until `count` more bytes may travel."""


@runtime_checkable
class Guarded(Protocol):
    """What a store offers that asks who comes, beside what all stores do."""

    def rights(self) -> frozenset[str]:
        """Which of `create`, `read`, `list`, `write` (over what is there) and `delete` are given; tried, not believed."""

    def redundancy(self) -> str | None:
        """`geo` or `local`, None where the service does not tell."""

    def grant(self, ends: datetime, *, policy: str | None = None) -> str | None:
        """A new secret that may create, read and list until `ends`; by the stored access policy of that name, which can
        be revoked. None where this access may not give one."""

    def revoke(self, policy: str) -> bool:
        """End all that was granted by a stored access policy; False where there is none of that name."""


def folder_of(prefix: str) -> str:
    """Return the folder that a listing's `prefix` names, without its last slash. Raises FormatError."""
    return check_folder(prefix.removesuffix("/")) if prefix else ""


def octets(data: Octets) -> memoryview:
    """`data` as single bytes; the caller releases the view. Raises ValueError if there are none."""
    if not len(data):
        raise ValueError("an object has at least one byte")
    return memoryview(data).cast("B")


def check_range(start: int, length: int | None) -> None:
    """Raises ValueError for what is no range."""
    if start < 0 or (length is not None and length < 0):
        raise ValueError("a range begins at byte 0 or later and is not of negative length")


def span(size: int, start: int, length: int | None) -> tuple[int, int]:
    """Begin and end of the range `start`, `length` in an object of `size` bytes, cut at its end."""
    check_range(start, length)
    begin = min(start, size)
    return begin, size if length is None else min(begin + length, size)


def check_whole(name: str, size: int, length: int | None, address: str) -> None:
    """Raises IntegrityError where all of an object is to be read, and it is longer than one of that name can be."""
    if length is None and size > size_max(name):
        raise overlong(name, address)


def overlong(name: str, address: str) -> IntegrityError:
    """The error for an object that is longer than its name allows (NAME-3), or the buffer that its reader has for it."""
    return IntegrityError(
        "object-damaged",
        "the object is longer than it should be",
        subject=f"{address}/{name}",
        hint="fetch it from another store, or have it sent again",
    )
