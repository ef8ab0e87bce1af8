"""The place of the Windows writer, which is not written yet: each call raises an error that says so."""

from collections.abc import Iterable
from typing import Self

from formats.keyed.catalog import CatalogEntry
from formats.monitor import Monitor
from seed.restore.tree.name_state import Compare, Mark, NameState
from seed.restore.tree.new_file import NewFile
from seed.source.windows import unsupported


class TreeWriter:
    """A target folder and the ways to put entries into it."""

    overwrite: bool
    compare: Compare

    def __init__(
        self, target: str, monitor: Monitor, *, overwrite: bool, compare: Compare | None = None
    ) -> None:
        raise unsupported()

    def begin(self) -> None:
        raise unsupported()

    def prepare(self) -> None:
        raise unsupported()

    def make_room(self, path: bytes) -> None:
        raise unsupported()

    def branch(self, number: int, monitor: Monitor) -> Self:
        raise unsupported()

    def judge(self, entry: CatalogEntry, path: bytes) -> NameState:
        raise unsupported()

    def rival(self, path: bytes) -> str:
        raise unsupported()

    def open_there(self, path: bytes) -> int:
        raise unsupported()

    def make_folder(self, path: bytes) -> bool:
        raise unsupported()

    def finish_folder(self, entry: CatalogEntry, path: bytes) -> None:
        raise unsupported()

    def open_file(self, path: bytes) -> NewFile:
        raise unsupported()

    def write_at(self, new: NewFile, data: memoryview, offset: int) -> None:
        raise unsupported()

    def set_size(self, new: NewFile, size: int) -> None:
        raise unsupported()

    def finish_file(self, entry: CatalogEntry, path: bytes, new: NewFile) -> None:
        raise unsupported()

    def flush(self, staged: Iterable[NewFile]) -> None:
        raise unsupported()

    def publish(self, new: NewFile, path: bytes, mark: Mark | None) -> None:
        raise unsupported()

    def abandon_file(self, new: NewFile) -> None:
        raise unsupported()

    def make_link(self, existing: bytes, path: bytes, mark: Mark | None) -> None:
        raise unsupported()

    def is_link(self, existing: bytes, path: bytes) -> bool:
        raise unsupported()

    def make_other(self, entry: CatalogEntry, path: bytes) -> NewFile | None:
        raise unsupported()

    def note(self, text: str) -> None:
        raise unsupported()

    def settle(self) -> None:
        raise unsupported()

    def sync(self) -> None:
        raise unsupported()

    def close(self) -> None:
        raise unsupported()
