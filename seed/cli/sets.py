"""`seed set`: what the home knows of disk sets."""

from typing import TYPE_CHECKING, Annotated

import typer

from formats.console import Console, command
from formats.errors import UsageError
from formats.verbs import group
from formats.wire import Json
from formats.words import counted, numbered, size
from seed.cli.app import VaultOption, app, open_home, vault_of

if TYPE_CHECKING:
    from formats.store.contract import Store
    from seed.disk_sets import DiskState, KeptSet

set_app = group(
    app,
    "set",
    "Show a disk set disk by disk, or give up one that is not finished; `seed status` shows all sets.",
    "seed set show",
)


@set_app.callback()
def main() -> None:
    """Show a disk set disk by disk, or give up one that is not finished; `seed status` shows all sets."""


@command(set_app, "show")
def set_show(
    console: Console,
    which: Annotated[
        str | None, typer.Argument(metavar="SET", help="The beginning of its id; else the newest.")
    ] = None,
    vault: VaultOption = None,
) -> None:
    """Show a set disk by disk: what lies on each, whether it is closed and verified, and where it is.

    Example: seed set show
    """
    from seed.disk_sets import find_set

    home = open_home()
    kept = find_set(home, which)
    store = vault_of(console, home, vault)[1]
    console.result(show_set(console, kept, store))


@command(set_app, "abandon")
def set_abandon(console: Console) -> None:
    """Give up the export that is not finished: the next one begins a new set, and its disks may be used anew.

    Example: seed set abandon
    """
    from seed.disk_sets import current_set

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


def show_set(console: Console, kept: "KeptSet", store: "Store | None") -> dict[str, Json]:
    """Say how a set stands, disk by disk, as the home and the vault know it; the same for scripts."""
    from formats.standing import awaited
    from seed.disk import read_journal

    state = kept.state
    expected: tuple[int, ...] | None = None
    if state.status == "finished" and store is not None:
        expected = awaited([store], kept.document())
    told = {"open": "not finished: the same export goes on", "finished": "finished", "abandoned": "given up"}[
        state.status
    ]
    if state.resends:
        told += f", in place of {state.resends}"
    if state.status == "finished" and not state.announced:
        told += ", not known to the vault yet"
    console.say(f"Set {state.set[:8]}: {told}")
    rows: list[Json] = []
    for disk in state.disks:
        sections = read_journal(kept, disk.number, console)
        used = sum(section.archive.size for section in sections)
        where = "given up, may be erased" if state.status == "abandoned" else _where(disk, expected)
        holds = [counted(len(sections), "archive"), size(used)]
        holds += [f"generation {disk.generation}"] if disk.generation else []
        holds += ["verified"] if disk.verified else []
        holds += ["in a folder"] if not disk.mounted else []
        console.say(f"  disk {disk.number:<8} {', '.join(holds)}: {where}")
        rows.append(
            {
                "number": disk.number,
                "mounted": disk.mounted,
                "generation": disk.generation,
                "archives": len(sections),
                "archive_bytes": used,
                "closed": disk.inventory is not None,
                "verified": disk.verified,
                "state": where,
            }
        )
    return {
        "set": state.set,
        "point": state.point,
        "status": state.status,
        "announced": state.announced,
        "disks": rows,
    }


def _where(disk: "DiskState", expected: tuple[int, ...] | None) -> str:
    if disk.dropped:
        return "given up"
    if expected is not None:
        return "awaited by the vault" if disk.number in expected else "arrived in the vault"
    if disk.arrived:
        return "arrived in the vault"
    return "closed" if disk.inventory is not None else "open: attach it, and run the same export again"
