"""The place of the Windows reader, which is not written yet: each call raises an error that says so.

`importer` and the vault side run on Windows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from formats.errors import UsageError
from formats.keyed.catalog import CatalogEntry, Looked
from formats.monitor import Monitor
from seed.source.batch import BatchResult, Wanted
from seed.source.source_rules import SourceRules


def unsupported() -> UsageError:
    return UsageError(
        "platform",
        "reading and writing file trees is not supported on Windows yet",
        hint="run the agent on Linux or macOS; the importer runs here",
    )


@dataclass
class FoundEntry:
    """An entry and the way to its bytes."""

    path: bytes
    type: int
    looked: Looked
    allocated: int = 0
    lacking: bool = False
    above: bool = False

    @property
    def number(self) -> tuple[int, int]:
        raise unsupported()

    def described(self) -> CatalogEntry:
        raise unsupported()

    def open(self) -> int:
        raise unsupported()

    def renewed(self) -> "FoundEntry | None":
        raise unsupported()


class Walk:
    """An iterator over `roots`."""

    roots: list[bytes]
    rules: SourceRules

    def __init__(self, roots: Sequence[bytes], rules: SourceRules, monitor: Monitor) -> None:
        raise unsupported()

    def __iter__(self) -> Iterator[FoundEntry]:
        raise unsupported()


class FolderOpener:
    """An opener of files by path."""

    def open(self, path: bytes) -> int:
        raise unsupported()

    def close(self) -> None:
        raise unsupported()


def found_at(path: bytes, folders: FolderOpener) -> FoundEntry | None:
    raise unsupported()


def read_batch(files: Sequence[Wanted], space: memoryview, key: bytes, folders: FolderOpener) -> BatchResult:
    raise unsupported()


def read_into(handle: int, space: memoryview) -> int:
    raise unsupported()


def data_extents(handle: int, size: int) -> list[tuple[int, int]]:
    raise unsupported()
