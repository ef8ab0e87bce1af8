"""The writer for the system that this runs on."""

import sys

if sys.platform == "win32":
    from seed.restore.tree.windows import TreeWriter
else:
    from seed.restore.tree.posix import TreeWriter

__all__ = ("TreeWriter",)
