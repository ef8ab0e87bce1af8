"""`seed set`: what the home knows of disk sets."""

import typer

from formats.console import Console, command
from formats.errors import UsageError
from formats.verbs import Verbs
from formats.words import numbered
from seed.cli.app import app, open_home

set_app = typer.Typer(
    help="Give up a disk set that is not finished; `seed status` shows all sets.",
    epilog="Example: seed set abandon",
    cls=Verbs,
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(set_app, name="set")


@set_app.callback()
def main() -> None:
    """Give up a disk set that is not finished; `seed status` shows all sets."""


@command(set_app, "abandon")
def set_abandon(console: Console) -> None:
    """Give up the export that is not finished: the next one begins a new set, and its disks may be used anew.

    Example: seed set abandon
    """
    from seed.home import current_set

    home = open_home()
    with home.locked():
        kept = current_set(home)
        if kept is None or kept.state.status != "open":
            raise UsageError(
                "usage",
                "no export is unfinished",
                hint="`seed status` shows the sets; a finished one stays good",
            )
        kept.change(status="abandoned")
    disks = [disk.number for disk in kept.state.disks if disk.label is not None and not disk.dropped]
    console.say(f"Set {kept.state.set[:8]} is given up.")
    if disks:
        console.say(f"Of no use any more, and may be erased: what lies of it on {numbered('disk', disks)}.")
    console.result({"set": kept.state.set, "disks": list(disks)})
