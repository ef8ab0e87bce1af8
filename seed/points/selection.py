"""The part of a recovery point for a command: a path with its contents, and globs that include or exclude."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from formats.keyed.catalog import FOLDER, CatalogEntry
from seed.source.source_rules import Patterns


@dataclass(frozen=True)
class Selection:
    """The part of a point that is restored.

    It lies `below` a path. It has only the paths that `includes` match, and no path that `excludes` match.
    """

    below: bytes = b""
    includes: Patterns | None = None
    excludes: Patterns = field(default_factory=lambda: Patterns(()))

    @property
    def is_all(self) -> bool:
        return not self.below and self.includes is None and not self.excludes

    def words(self) -> str:
        """Return the selection as its options would be written."""
        globs = [("--include", self.includes), ("--exclude", self.excludes)]
        shown = [f"{option} {g}" for option, patterns in globs if patterns for g in patterns.globs]
        return ", ".join(["/" + os.fsdecode(self.below)] * bool(self.below or not shown) + shown)

    def select(self, entries: Iterable[CatalogEntry]) -> Iterator[CatalogEntry]:
        """Yield the selected entries in order.

        A folder with only some of its contents included comes with the first of these.
        """
        above: list[CatalogEntry] = []
        taken = False
        for entry in entries:
            if entry.part:  # a further row of the file before
                if taken:
                    yield entry
                continue
            while above and not _lies_in(entry.path, above[-1].path):
                above.pop()
            path = b"/" + entry.path
            wanted = not self._any(self.excludes, path)
            taken = wanted and (self.includes is None or self._any(self.includes, path))
            if taken:
                yield from above
                above.clear()
                yield entry
            elif wanted and entry.type == FOLDER:
                above.append(entry)

    @staticmethod
    def _any(patterns: Patterns, path: bytes) -> bool:
        """Return whether the path or a folder above it matches."""
        return bool(patterns) and any(patterns.match(path[:end]) for end in _ends(path))


def _lies_in(path: bytes, folder: bytes) -> bool:
    return not folder or path.startswith(folder + b"/")


def _ends(path: bytes) -> Iterator[int]:
    yield from (m.start() for m in re.finditer(b"/", path) if m.start())
    yield len(path)
