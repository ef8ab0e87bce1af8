"""A file in the making, as the tree writers of all systems know it."""

from dataclasses import dataclass


@dataclass(eq=False)
class NewFile:
    """`name` in the folder `folder`; `handle` is -1 while it is not held open. `modified` is its time, once it has one."""

    folder: int
    name: bytes
    handle: int
    modified: int | None = None
