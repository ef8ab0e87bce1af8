"""The obstacles in a folder store: the part of a path that stands in the way, and the error for it.

To find it, the code opens only the folders above it, and a file or folder that the path itself should name.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from formats.errors import ObstructedError
from formats.store.failures import meaning
from formats.store.foreign import CLOSED, FILE, FOLDER, TEMPORARIES, Foreign, kind_of
from formats.store.root import StoreRoot

_SIGNS = {
    errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EEXIST, errno.ENOTEMPTY, errno.ENXIO, errno.EACCES, errno.EPERM
}  # fmt: skip
_CLOSED = (errno.EACCES, errno.EPERM)


def obstacle(root: StoreRoot, name: str, *, folder: bool = False) -> Foreign | None:
    """Return the first part of the path `name` that is of the wrong kind, None if there is none.

    All parts should be folders, except the last one: an object, unless a `folder` is meant. A missing part is
    no obstacle.
    """
    parts = name.split("/")
    for depth in range(1, len(parts) + 1):
        path = "/".join(parts[:depth])
        try:
            kind = kind_of(root.status(path).st_mode)
        except FileNotFoundError:
            return None
        except OSError as error:
            above = "/".join(parts[: depth - 1])
            return Foreign(above, CLOSED, True) if above and error.errno in _CLOSED else None
        if kind != (FOLDER if depth < len(parts) or folder else FILE):
            return Foreign(path, kind, True)
    return _closed(root, name, folder)


def _closed(root: StoreRoot, name: str, folder: bool) -> Foreign | None:
    """Return `name` itself if this user may not read it."""
    try:
        if folder:
            next(iter(root.entries(name)), None)
        else:
            root.read(name).close()
    except OSError as error:
        if error.errno in _CLOSED:
            return Foreign(name, CLOSED if folder else FILE, True)
    return None


def obstructed(found: Foreign, address: str) -> ObstructedError:
    """Return the error for an obstacle."""
    closed = found.kind == CLOSED
    if closed:
        what = "this user may not look into a folder of the store"
    elif found.kind == FILE:
        what = "a file stands here that is no object, or that this user may not read"
    else:
        what = f"a {found.kind} stands where the store keeps something else"
    return ObstructedError(
        what, subject=f"{address}/{found.name}", path=found.name, kind=found.kind, closed=closed
    )


@contextmanager
def told(root: StoreRoot, address: str, name: str) -> Iterator[None]:
    """Turn any OSError inside the block into our error for the object `name`, or for the obstacle in its way."""
    try:
        yield
    except OSError as error:
        if error.errno in _SIGNS:
            found = obstacle(root, name) or obstacle(root, TEMPORARIES, folder=True)
            if found is not None:
                raise obstructed(found, address) from error
        raise meaning(error, f"{address}/{name}") from error
