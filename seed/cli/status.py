"""`seed status`: who this machine is, what it backs up, and where its disks are."""

import os

from formats.console import Console, command
from formats.ids import fingerprint
from formats.wire import Json
from formats.words import moment, one_line
from seed.cli.app import VaultOption, app, open_home, vault_of
from seed.cli.sets import show_set


@command(app, "status")
def status(console: Console, vault: VaultOption = None) -> None:
    """Show this machine's registration, what it backs up, and its disk sets disk by disk.

    Example: seed status
    """
    from seed.detached import last_detached
    from seed.disk_sets import kept_sets
    from seed.machines import membership

    home = open_home()
    identity, state = home.identity, home.state
    address, store = vault_of(console, home, vault)
    member = membership(identity, identity.machine, store, console) if store is not None else None
    console.say(f"Machine {identity.name}, fingerprint {fingerprint(identity.machine)}")
    if member is not None and member.status == "replaced":
        console.say(
            f"  REPLACED     {moment(member.since)}: another machine has taken its place, and the vault takes nothing more"
        )
    for before in identity.replaced:
        console.say(f"  in place of  {fingerprint(before)}, whose points are its own")
    console.say(f"  vault        {identity.vault_name} at {address}{'' if store else ', not reached'}")
    console.say(f"  home         {home.path}")
    items = [os.fsdecode(item) for item in state.items]
    console.say(f"  backs up     {', '.join(map(one_line, items)) or 'nothing yet'}")
    console.say(f"  sequence     {state.sequence}")
    last, runs = last_detached(home.path)
    if last is not None:
        console.say(f"  backup       {last.standing(runs)}")
    sets: list[Json] = [show_set(console, kept, store) for kept in kept_sets(home)]
    console.result(
        {
            "machine": identity.machine,
            "name": identity.name,
            "vault": identity.vault,
            "address": address,
            "reached": store is not None,
            "home": str(home.path),
            "items": list(items),
            "sequence": state.sequence,
            "detached": None if last is None else last.shown(runs),
            "replaces": list(identity.replaced),
            "replaced": member is not None and member.status == "replaced",
            "sets": sets,
        }
    )
