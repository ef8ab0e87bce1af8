"""Items that are links: the walk keeps the link, and reads its target as if the user had named it too.

A user that names a link to a folder means the folder. The walk never follows the links below an item.
"""

import errno
import os
import stat
from collections.abc import Mapping, Sequence

LINKS_MAX = 40  # one behind the other, as the kernel allows


def real_place(path: str) -> bytes:
    """Return the real place of `path`: it follows the links on the way, but not a link at the end.

    As for the system, `..` goes back from the target of a link.
    """
    parent, name = os.path.split(path.rstrip("/") or "/")
    if name in (".", ".."):
        return os.fsencode(os.path.realpath(path))
    return os.fsencode("/" + os.path.join(os.path.realpath(parent), name).lstrip("/"))


def led_to(item: bytes, kernel: Mapping[int, str]) -> list[bytes]:
    """Return the places that an item leads to, link by link; nothing for an item that is no link.

    `kernel` holds the devices of kernel file systems: the walk does not read their entries. Raises OSError if
    a link leads nowhere.
    """
    found: list[bytes] = []
    at = item
    while stat.S_ISLNK((status := os.lstat(at)).st_mode):
        if len(found) == LINKS_MAX:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        at = real_place(os.fsdecode(os.path.join(os.path.dirname(at), os.readlink(at))))
        found.append(at)
    return [] if status.st_dev in kernel else found


def leading(items: Sequence[bytes], kernel: Mapping[int, str]) -> dict[bytes, list[bytes] | OSError]:
    """Return the items that are links, each with the places that it leads to.

    An item that leads nowhere comes with the error instead.
    """
    found: dict[bytes, list[bytes] | OSError] = {}
    for item in items:
        if not os.path.islink(item):
            continue
        try:
            if places := led_to(item, kernel):
                found[item] = places
        except OSError as error:
            found[item] = error
    return found
