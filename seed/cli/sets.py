"""The command `seed set`: the facts that the home knows about disk sets."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from formats.errors import UsageError
from formats.shell.command_groups import group
from formats.shell.console import Console, command
from formats.shell.custody_options import (
    LONG,
    CarrierOption,
    NoteOption,
    OnOption,
    TrackingOption,
    checked,
    parse_moment,
)
from formats.store.failures import told as told_of
from formats.untrusted import Json
from formats.words import counted, moment, numbered, size
from seed.cli.app import VaultOption, app, open_home, vault_of
from seed.cli.notations import parse_disks

if TYPE_CHECKING:
    from formats.store.contract import Store
    from seed.disks.labels import PrintedLabel, Sender
    from seed.home.disk_sets import KeptSet
    from seed.home.home import Home

set_app = group(
    app,
    "set",
    "Show, label, ship or give up a disk set.",
    "seed set show",
)


@set_app.callback()
def main() -> None:
    """Show, label, ship or give up a disk set."""


@command(set_app, "show")
def set_show(
    console: Console,
    which: Annotated[
        str | None, typer.Argument(metavar="SET", help="The beginning of its id; else the newest.")
    ] = None,
    vault: VaultOption = None,
) -> None:
    """Show a disk set, disk by disk.

    For each disk, show its archives, whether it is closed and verified, and where it is.

    Example: seed set show
    """
    from seed.home.disk_sets import find_set

    home = open_home()
    kept = find_set(home, which)
    store = vault_of(console, home, vault)[1]
    console.result(show_set(console, home, kept, store))


@command(set_app, "ship")
def set_ship(
    console: Console,
    disks: Annotated[
        list[str] | None,
        typer.Argument(metavar="SET/N", help="The disks; else all of the newest set that are not there yet."),
    ] = None,
    carrier: CarrierOption = None,
    tracking: TrackingOption = None,
    note: NoteOption = None,
    on: OnOption = None,
    vault: VaultOption = None,
) -> None:
    """Note that disks were given to a courier.

    The vault is told, and its operators see the disks to wait for.

    Example: seed set ship 5f0c1a2b/2 --carrier DHL --tracking 00340434
    """
    from seed.disks.custody import ship, tell, to_ship
    from seed.home.disk_sets import CourierNote, find_set

    home = open_home()
    wanted, numbers = parse_disks(disks) if disks else (None, set())
    at = parse_moment(on) if on is not None else int(home.clock.now())
    sending = CourierNote(
        number=1, at=at, carrier=checked(carrier), tracking=checked(tracking), note=checked(note, LONG)
    )
    with home.locked():
        kept = find_set(home, wanted)
        address, store = vault_of(console, home, vault)
        if not disks:
            numbers = to_ship(home, kept, store)
        ship(kept, [replace(sending, number=n) for n in sorted(numbers)], console)
        is_told = store is not None and tell(home, kept, store, console)
    if not numbers:
        console.say(f"All disks of set {kept.state.set[:8]} that are not there yet were sent before.")
        console.result({"set": kept.state.set, "disks": [], "at": None, "told": is_told})
        return
    told = (
        f"the vault at {address} knows"
        if is_told
        else "the vault is told by the next command that reaches it"
    )
    console.say(
        f"{numbered('Disk', sorted(numbers))} of set {kept.state.set[:8]}: sent {moment(at)}; {told}."
    )
    console.result({"set": kept.state.set, "disks": [*sorted(numbers)], "at": at, "told": is_told})


@command(set_app, "labels")
def set_labels(
    console: Console,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where to; made if need be.")],
    which: Annotated[
        str | None, typer.Argument(metavar="SET", help="The beginning of its id; else the newest.")
    ] = None,
    contact: Annotated[
        str | None, typer.Option("--contact", metavar="TEXT", help="The address for a finder of a disk.")
    ] = None,
) -> None:
    """Write labels for the disks of a set, to print.

    There is a label for each disk, with a QR code, and a slip for their parcel.

    Example: seed set labels --out labels --contact 'Example Ltd, +44 20 7946 0000'
    """
    from seed.disks.labels import label, page, slip
    from seed.home.disk_sets import find_set

    home = open_home()
    sender, disks = _labelled(home, find_set(home, which), checked(contact), console)
    if out.exists() and not out.is_dir():
        raise UsageError("path-not-found", "this is a file, not a folder", subject=str(out), hint="name a folder, which is made if need be")  # fmt: skip
    files = {f"{sender.set[:8]}-disk-{disk.number}.svg": label(sender, disk) for disk in disks}
    files |= {"labels.html": page(sender, disks), "slip.html": slip(sender, disks)}
    with told_of(str(out)):
        out.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (out / name).write_text(text, encoding="utf-8")
    if contact is None:
        console.notice(
            "no owner is named: write one onto the slip, or name one by --contact, for the labels too"
        )
    console.say(
        f"{counted(len(disks), 'label')} in {out / 'labels.html'}, each also as SVG; the slip in {out / 'slip.html'}"
    )
    console.result({"set": sender.set, "out": str(out), "files": [*files]})


def _labelled(
    home: "Home", kept: "KeptSet", contact: str | None, console: Console
) -> "tuple[Sender, list[PrintedLabel]]":
    """Return the sender, and the facts for the label of each disk that was written.

    Raises UsageError disk-unknown if nothing was written.
    """
    from seed.disks.labels import PrintedLabel, Sender
    from seed.targets.disk_writer import read_journal

    state, identity = kept.state, home.identity
    there = [disk for disk in state.disks if disk.label is not None and not disk.dropped]
    if not there:
        raise UsageError(
            "disk-unknown", "nothing was written to any disk of this set", subject=state.set[:8],
            hint="`seed export` writes one",
        )  # fmt: skip
    of = max(disk.number for disk in there) if state.status == "finished" else 0  # the highest number
    labelled = []
    for disk in there:
        sections = read_journal(kept, disk.number, console)
        used = sum(section.archive.size for section in sections)
        closed_at = disk.closed_at if disk.inventory is not None else 0
        verified_at = disk.verified_at if disk.verified else 0
        labelled.append(PrintedLabel(disk.number, of, len(sections), used, closed_at, verified_at))
    address = identity.address
    return Sender(identity.machine, identity.name, identity.vault_name, address, state.set, contact), labelled


@command(set_app, "abandon")
def set_abandon(
    console: Console,
    which: Annotated[
        str | None,
        typer.Argument(
            metavar="SET",
            help="The beginning of its id, also of one that a lost home wrote; else the newest.",
        ),
    ] = None,
    vault: VaultOption = None,
) -> None:
    """Give up the export that is not finished.

    The next export begins a new set, and the disks of this one may be used anew. The vault is told, and keeps
    the objects that it has of the set for 30 days: `seed set resume` takes the set back.

    Example: seed set abandon
    """
    from seed.disks.abandonment import abandon, unfinished

    home = open_home()
    with home.locked():
        kept = unfinished(home, which)
        if kept is not None:
            abandon(home, kept)
        address, store = vault_of(console, home, vault)
        if kept is None:
            _abandon_lost(console, home, which or "", address, store)
            return
    _say_word(console, f"Set {kept.state.set[:8]} is given up", kept, address, store)
    disks = [disk.number for disk in kept.state.disks if disk.label is not None and not disk.dropped]
    if disks:
        console.say(f"Its data is of no use any more, and may be erased, on {numbered('disk', disks)}.")
    console.result({"set": kept.state.set, "disks": list(disks)})


def _abandon_lost(console: Console, home: "Home", which: str, address: object, store: "Store | None") -> None:
    """Give up a set that this home does not know. Raises UsageError set-unknown, StoreError."""
    from seed.disks.abandonment import find_lost, say

    if store is None:
        raise UsageError(
            "set-unknown", "this home knows no such disk set, and the vault cannot be reached", subject=which,
            hint="run it again where the vault can be reached",
        )  # fmt: skip
    with closing(store):
        lost = find_lost(home, which, store)
        say(home, lost, store, console, given_up=True)
    console.say(f"Set {lost[:8]} is given up; the vault at {address} knows.")
    console.result({"set": lost, "disks": []})


@command(set_app, "resume")
def set_resume(
    console: Console,
    which: Annotated[
        str | None, typer.Argument(metavar="SET", help="The beginning of its id; else the newest.")
    ] = None,
    vault: VaultOption = None,
) -> None:
    """Take back that an export was given up.

    This is possible within 30 days. `seed export` then goes on with the set.

    Example: seed set resume 5f0c1a2b
    """
    from seed.disks.abandonment import take_back, tell_word
    from seed.home.disk_sets import find_set

    home = open_home()
    with home.locked():
        kept = find_set(home, which)
        take_back(home, kept)
        address, store = vault_of(console, home, vault)
        if store is not None:
            tell_word(home, kept, store, console)
    _say_word(console, f"Set {kept.state.set[:8]} is not given up any more", kept, address, store)
    console.say("To go on with it, run the same `seed export` again.")
    console.result({"set": kept.state.set, "status": "open"})


def _say_word(console: Console, what: str, kept: "KeptSet", address: object, store: "Store | None") -> None:
    from seed.home.disk_sets import KeptSet

    if store is not None:
        store.close()
    state = KeptSet.read(kept.folder).state
    if not state.written:
        console.say(f"{what}.")
        return
    untold = state.unsaid
    knows = (
        "the vault is told by the next command that reaches it" if untold else f"the vault at {address} knows"
    )
    console.say(f"{what}; {knows}.")


def show_set(console: Console, home: "Home", kept: "KeptSet", store: "Store | None") -> dict[str, Json]:
    """Print the state of a set, disk by disk, as home and vault know it, and return it for scripts."""
    from formats.rules.completeness import awaited
    from formats.rules.custody import to_json
    from seed.disks.custody import history, steps_of, whereabouts
    from seed.targets.disk_writer import read_journal

    state = kept.state
    expected: tuple[int, ...] | None = None
    if state.status == "finished" and store is not None:
        expected = awaited(kept.document(), home.identity.came_to(store))
    standing = {
        "open": "not finished: the same export goes on",
        "finished": "finished",
        "abandoned": "given up",
    }[state.status]
    if state.resends:
        standing += f", in place of {state.resends}"
    if state.status == "finished" and not state.announced:
        standing += ", not known to the vault yet"
    console.say(f"Set {state.set[:8]}: {standing}")
    rows: list[Json] = []
    for disk in state.disks:
        sections = read_journal(kept, disk.number, console)
        used = sum(section.archive.size for section in sections)
        steps = steps_of(home, kept, disk.number, store, console)
        is_over = state.status == "abandoned"
        where = "given up, may be erased" if is_over else whereabouts(disk, expected, steps)
        holds = [counted(len(sections), "archive"), size(used)]
        holds += [f"generation {disk.generation}"] if disk.generation else []
        holds += ["verified"] if disk.verified else []
        holds += ["in a folder"] if not disk.mounted else []
        console.say(f"  disk {disk.number:<8} {', '.join(holds)}: {where}")
        told = history(home, kept, disk, steps)
        for line in told:
            console.say(f"    {line}")
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
                "history": [*told],
                "custody": [to_json(step) for step in steps],
            }
        )
    return {
        "set": state.set,
        "point": state.point,
        "status": state.status,
        "announced": state.announced,
        "disks": rows,
    }
