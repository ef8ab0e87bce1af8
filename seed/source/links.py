"""Items that are links: the walk keeps the link, and reads its target as if the user had named it too.

A user who names a link to a folder means the folder. The walk never follows the links below an item.
"""

import errno
import os
import stat
from collections.abc import Mapping, Sequence

LINKS_MAX = 40  # one behind the other, as the kernel allows


def real_place(path: str) -> bytes:
    """Return where `path` really lies: the links on the way are followed, one at its end is not.

    As for the system, `..` goes back from where a link leads to.
    """
    parent, name = os.path.split(path.rstrip("/") or "/")
    if name in (".", ".."):
        return os.fsencode(os.path.realpath(path))
    return os.fsencode("/" + os.path.join(os.path.realpath(parent), name).lstrip("/"))


def led_to(item: bytes, kernel: Mapping[int, str]) -> list[bytes]:
    """Return the places that an item leads to, link by link; nothing for an item that is no link.

    `kernel` holds the devices of kernel file systems, whose entries are not read. Raises OSError where a link leads nowhere.
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
    """Return the items that are links, each with the places that it leads to, or with the reason why it leads nowhere."""
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
