"""Listings of a folder store: objects in the order of their names, without foreign entries.

A folder is read once. A listing looks only at names and kinds of foreign entries. It needs memory for the
objects of the folders on the way down, never for foreign entries.
"""

import errno
import os
import re
from collections.abc import Iterator

from formats.layout import is_folder, is_name
from formats.store.failures import told
from formats.store.foreign import (
    CLOSED,
    EMPTY,
    FILE,
    FOLDER,
    SET_ASIDE,
    SYSTEM_FOLDERS,
    TEMPORARIES,
    Foreign,
    Passed,
    kind_of,
)
from formats.store.obstacles import obstacle
from formats.store.root import StoreRoot

_TEMPORARY = re.compile(r"[0-9a-z]{1,64}-[0-9a-f]{16}\Z")


def is_temporary(leaf: str) -> bool:
    """Return whether a file of that name in `tmp/` is one of ours."""
    return _TEMPORARY.match(leaf) is not None


def walk(root: StoreRoot, address: str, folder: str, passed: Passed | None) -> Iterator[tuple[str, int]]:
    """Yield name and size of the objects in and below `folder`, sorted by whole names.

    Report foreign entries to `passed`. A folder that does not exist, or that this user may not look into,
    holds nothing.
    """
    found: dict[str, int] = {}
    with told(f"{address}/{folder}"):
        for name, kind, size, written in _entries(root, folder, passed):
            if kind == FOLDER and is_folder(name):
                found[f"{name}/"] = 0
            elif kind == FILE and size and is_name(name):
                found[name] = size
            elif passed is not None:
                _pass(root, Foreign(name, kind if size or kind != FILE else EMPTY, written=written), passed)
    for name, size in sorted(found.items()):
        if name.endswith("/"):
            yield from walk(root, address, name[:-1], passed)
        else:
            yield name, size


def _entries(root: StoreRoot, folder: str, passed: Passed | None) -> Iterator[tuple[str, str, int, float]]:
    """Yield name, kind, size and time of the entries in a folder.

    For a file that has no name of ours, only the name is looked at.
    """
    above = f"{folder}/" if folder else ""
    try:
        for entry in root.entries(folder):
            name = _spelled(root, f"{above}{entry.name}")
            ours = is_name(name)
            if not ours and passed is None and not is_folder(name):
                continue
            try:
                if not ours and entry.is_file(follow_symlinks=False):
                    yield name, FILE, 1, 0.0
                else:
                    status = entry.stat(follow_symlinks=False)
                    yield name, kind_of(status.st_mode), status.st_size, status.st_mtime
            except FileNotFoundError:
                continue  # deleted since the folder was read
    except FileNotFoundError:
        return
    except OSError as error:
        if not folder or not _opens(root):
            raise
        found = obstacle(root, folder, folder=True)
        if found is None and error.errno in (errno.EACCES, errno.EPERM):
            found = Foreign(folder, CLOSED, True)  # this user may list the folder, but not look into it
        if found is None:
            raise
        if passed is not None:
            passed(found)


def _spelled(root: StoreRoot, name: str) -> str:
    """Return our spelling of a name: if a file system folds case, somebody may have made our folder in capitals.

    Some file systems give such a folder two inode numbers, so other marks are compared too. A forger of these
    marks can only hide a folder that has no influence.
    """
    ours = name.lower()
    if ours == name or not (is_name(ours) or is_folder(ours)):
        return name
    try:
        one, other = root.status(ours), root.status(name)
    except OSError:
        return name
    marks = [(found.st_mode, found.st_size, found.st_mtime_ns) for found in (one, other)]
    return ours if os.path.samestat(one, other) or marks[0] == marks[1] else name


def _opens(root: StoreRoot) -> bool:
    """Return whether the store's own folder can be listed.

    If that is denied too, the whole store is out of reach.
    """
    try:
        next(iter(root.entries("")), None)
    except OSError:
        return False
    return True


def _pass(root: StoreRoot, found: Foreign, passed: Passed) -> None:
    """Report a foreign entry: a folder is one entry.

    The exceptions are our folder of temporaries and the folders of the file system itself. Of the
    temporaries, those that are not ours are reported.
    """
    name = found.name
    if found.kind == FOLDER and name in (SET_ASIDE, *SYSTEM_FOLDERS):
        return
    if found.kind == FOLDER and name == TEMPORARIES:
        for below, kind, _, _ in _entries(root, name, passed):
            if kind != FILE or not is_temporary(below.rpartition("/")[2]):
                passed(Foreign(below, kind))
    elif found.kind == EMPTY:
        passed(found)
    else:
        passed(Foreign(name, found.kind, is_name(name) or is_folder(name) or name == TEMPORARIES))
