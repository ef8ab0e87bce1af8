"""The command `seed items`: the paths that this machine backs up."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from formats.shell.command_groups import group
from formats.shell.console import Console, command
from formats.untrusted import Json
from formats.words import one_line
from seed.cli.app import app, open_home
from seed.cli.exports import (
    ExcludeCachesOption,
    ExcludeFromOption,
    ExcludeOption,
    OneFileSystemOption,
    left_out,
)

if TYPE_CHECKING:
    from seed.home.home import HomeState

items_app = group(
    app,
    "items",
    "Show, set and confirm the items of backups.",
    "seed items show",
)


@command(items_app, "show")
def items_show(console: Console) -> None:
    """Show the paths to back up, and the exclusions.

    Example: seed items show
    """
    _show(console, open_home().state)


@command(items_app, "set")
def items_set(
    console: Console,
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Paths to back up from now on.")],
    exclude: ExcludeOption = None,
    exclude_from: ExcludeFromOption = None,
    one_file_system: OneFileSystemOption = False,
    exclude_caches: ExcludeCachesOption = False,
) -> None:
    """Set the paths to back up, and the exclusions.

    They replace the paths and the exclusions that were set before.

    Example: seed items set /srv /etc --exclude '*.tmp'
    """
    from seed.home.items import choose_scope

    home = open_home()
    with home.locked():
        given = left_out(exclude, exclude_from, one_file_system, exclude_caches)
        choose_scope(home, paths, given, once=True).exactly(given).remember(home)
    _show(console, home.state)


@command(items_app, "confirm")
def items_confirm(console: Console) -> None:
    """Say that the last backup is right as it is.

    Use it if the backup was doubted, because an item is empty or mostly gone. The next backup is compared
    with that one, and is not doubted for the same reason.

    Example: seed items confirm
    """
    from seed.home.doubt_records import confirm, shown, to_json, told

    home = open_home()
    with home.locked():
        doubts = confirm(home)
    for doubt in doubts:
        console.say(f"{shown(doubt)}: {told(doubt)}")
    console.say(
        "Taken for right: the next backup is compared with the last one." if doubts else "Nothing is doubted."
    )
    console.result([to_json(doubt) for doubt in doubts])


def _show(console: Console, state: "HomeState") -> None:
    without = state.left_out
    for item in state.items:
        console.say(one_line(os.fsdecode(item)))
    for glob in without.excludes:
        console.say(f"  without      {one_line(os.fsdecode(glob))}")
    if without.one_file_system:
        console.say("  without      other file systems")
    if without.exclude_caches:
        console.say("  without      cache folders")
    if not state.items:
        console.say("nothing yet: the first export or backup that names paths sets them")
    items: list[Json] = [os.fsdecode(item) for item in state.items]
    excludes: list[Json] = [os.fsdecode(glob) for glob in without.excludes]
    console.result(
        {
            "items": items,
            "excludes": excludes,
            "one_file_system": without.one_file_system,
            "exclude_caches": without.exclude_caches,
        }
    )
