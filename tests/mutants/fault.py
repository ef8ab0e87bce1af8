"""A one-line fault, as a value that can be put into a copy of the tree.

A fault fits its file only while its original line stands there exactly once: a list that went stale fails.
"""

import ast
from dataclasses import dataclass
from pathlib import Path


class StaleError(Exception):
    """The error of a fault that no longer fits its file."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One changed line of a module, the guarantee that it breaks, and the tests that must notice it.

    Both lines are whole lines with their indentation. `caught_by` are paths or node ids of pytest.
    """

    name: str
    file: str
    line: str
    changed: str
    breaks: str
    caught_by: tuple[str, ...]

    def changed_text(self, text: str) -> str:
        """Return the text of the module with the fault in it.

        Raises StaleError if the original line does not occur there exactly once.
        Raises SyntaxError if the changed module is no Python.
        """
        lines = text.split("\n")
        if (count := lines.count(self.line)) != 1:
            raise StaleError(f"cannot apply {self.name}: its line stands {count} times in {self.file}")
        lines[lines.index(self.line)] = self.changed
        found = "\n".join(lines)
        ast.parse(found, self.file)
        return found

    def apply(self, tree: Path) -> None:
        """Write the fault into the copy of the tree at `tree`. Raises as `changed_text`."""
        path = tree / self.file
        path.write_text(self.changed_text(path.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
