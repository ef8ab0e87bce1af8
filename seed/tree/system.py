"""The writer for the system that this runs on."""

import sys

if sys.platform == "win32":
    from seed.tree.windows import TreeWriter
else:
    from seed.tree.posix import TreeWriter

__all__ = ("TreeWriter",)
