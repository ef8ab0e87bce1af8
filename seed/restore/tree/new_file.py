"""A file in the making, for the tree writers of all systems."""

from dataclasses import dataclass


@dataclass(eq=False)
class NewFile:
    """The file `name` in the folder `folder`; `handle` is -1 while the file is not open.

    `modified` is its time, once it has one.
    """

    folder: int
    name: bytes
    handle: int
    modified: int | None = None
