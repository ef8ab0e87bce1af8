"""What of a recovery point a command is about: a path and what lies below it, globs that take in or leave out."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from formats.keyed.catalog import FOLDER, Entry
from seed.source.rules import Patterns


@dataclass(frozen=True)
class Selection:
    """What of a point is restored: `below` a path, only what `includes` match, nothing that `excludes` match."""

    below: bytes = b""
    includes: Patterns = field(default_factory=lambda: Patterns(()))
    excludes: Patterns = field(default_factory=lambda: Patterns(()))
    any_include: bool = False

    def takes(self, entry: Entry) -> bool:
        path = b"/" + entry.path
        if self._above(path, self.excludes):
            return False
        return not self.any_include or entry.type == FOLDER or self._above(path, self.includes)

    @staticmethod
    def _above(path: bytes, patterns: Patterns) -> bool:
        """Whether the path or a folder above it matches."""
        return any(patterns.match(path[:end]) for end in _ends(path))


def _ends(path: bytes) -> Iterator[int]:
    yield from (m.start() for m in re.finditer(b"/", path) if m.start())
    yield len(path)
