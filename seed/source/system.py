"""The reader of the system this runs on."""

import sys

if sys.platform == "win32":
    from seed.source.windows import Found, Walk, data_extents, read_into
else:
    from seed.source.posix import Found, Walk, data_extents, read_into

__all__ = ("Found", "Walk", "data_extents", "read_into")
