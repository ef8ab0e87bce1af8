"""Excludes as a user typed them, made to match the real paths of a walk.

A typed path may lead through links, or hold `//`, `.` and `..`. It leaves out the entry that the system finds
there. The path of a link leaves out the link and its target. A pattern without '/' still matches any name.
"""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from seed.source.links import led_to, real_place

_WILD = re.compile(r"[*?\[]")


@dataclass
class ResolvedExcludes:
    """The globs that replace the typed ones, the `further` globs with them, and `notes` for the user."""

    globs: list[str] = field(default_factory=list)
    further: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def anchored(glob: str) -> str:
    """Return a glob that means the same in any folder.

    A glob with a part `.` or `..` starts from the current folder.
    """
    if glob.startswith("/") or not {".", ".."} & {*glob.split("/")}:
        return glob
    return os.path.join(os.getcwd(), glob)


def resolved(globs: Iterable[str], items: Sequence[bytes] = ()) -> ResolvedExcludes:
    """Return the present meaning of these globs, which are `anchored`, for a walk over `items`."""
    found = ResolvedExcludes()
    for glob in globs:
        _resolve(glob, items, found)
    return found


def _resolve(glob: str, items: Sequence[bytes], found: ResolvedExcludes) -> None:
    if not glob.startswith("/") or not glob.strip("/"):
        found.globs.append(glob)
        return
    if "[" in glob and os.path.lexists(glob):  # a name may hold characters that look like a set
        found.further.append(_followed(glob))
        found.globs.append(escaped(os.fsdecode(real_place(glob))))
    else:
        found.globs.append(_followed(glob))
    _add_target(glob, items, found)


def _add_target(glob: str, items: Sequence[bytes], found: ResolvedExcludes) -> None:
    """Leave out the target of a link too, unless the link itself or an item lies in that target."""
    link = real_place(glob)
    try:
        places = led_to(link, {})
    except (OSError, ValueError):  # it leads nowhere, or there is no such path
        return
    for target in places:
        if any((path + b"/").startswith(target.rstrip(b"/") + b"/") for path in (link, *items)):
            continue
        place = os.fsdecode(target)
        found.further.append(escaped(place))
        found.notes.append(f"left out: {place}, the target of {glob.rstrip('/')}")


def _followed(glob: str) -> str:
    """Return the glob after following the links in its fixed beginning."""
    parts = [part for part in glob.split("/") if part not in ("", ".")]
    fixed = next((at for at, part in enumerate(parts) if _WILD.search(part)), len(parts))
    if fixed == len(parts):
        return escaped(os.fsdecode(real_place(glob)))
    begin = os.path.realpath("/" + "/".join(parts[:fixed]))
    return "/".join([escaped(begin.rstrip("/")), *parts[fixed:]])


def escaped(path: str) -> str:
    """Return the glob that matches this path alone."""
    return _WILD.sub(lambda found: f"[{found[0]}]", path)
