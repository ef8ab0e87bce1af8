"""The command `seed status`: this machine's identity, the paths that it backs up, the places of its disks."""

import os
import time
from typing import TYPE_CHECKING

from formats.ids import fingerprint
from formats.shell.console import Console, command
from formats.store.access import without_password
from formats.store.contract import Guarded
from formats.untrusted import Json
from formats.words import counted, moment, one_line
from seed.cli.app import VaultOption, app, open_home, vault_of
from seed.cli.sets import show_set

if TYPE_CHECKING:
    from collections.abc import Sequence

    from formats.documents.vault import Membership
    from formats.keyed.root import Doubt
    from seed.home.home import Home, Identity


@command(app, "status")
def status(console: Console, vault: VaultOption = None) -> None:
    """Show the registration, items and disk sets.

    Example: seed status
    """
    from seed.home.background_job import last_detached
    from seed.home.disk_sets import kept_sets
    from seed.home.doubt_records import UsualItems, to_json
    from seed.points.completeness import check_latest
    from seed.points.machine_keys import membership
    from seed.repair.want_list import still_wanted

    home = open_home()
    identity, state = home.identity, home.state
    address, store = vault_of(console, home, vault)
    member = membership(identity, identity.machine, store, console) if store is not None else None
    if store is not None:
        check_latest(home, store, console)
    rights = sorted(store.rights()) if isinstance(store, Guarded) else None
    items = [os.fsdecode(item) for item in state.items]
    _say_machine(console, identity, member)
    console.say(f"  vault        {identity.vault_name} at {address}{'' if store else ', not reached'}")
    if rights is not None:
        console.say(f"  rights       {', '.join(rights) or 'none'}: {_safe(rights)}")
    _say_network(console, home)
    console.say(f"  home         {home.path}")
    console.say(f"  backs up     {', '.join(map(one_line, items)) or 'nothing yet'}")
    doubts = UsualItems.of(home).doubts
    _say_doubts(console, doubts)
    console.say(f"  sequence     {state.sequence}")
    last, runs = last_detached(home.path)
    if last is not None:
        console.say(f"  backup       {last.standing(runs)}")
    sets: list[Json] = [show_set(console, home, kept, store) for kept in kept_sets(home)]
    wanted = still_wanted(home, store, console) if store is not None else 0
    if wanted:
        console.say(
            f"  WANTED       {counted(wanted, 'record')} that the vault lost, or got damaged: run `seed repair`"
        )
    console.result(
        {
            "machine": identity.machine,
            "name": identity.name,
            "vault": identity.vault,
            "address": address.text,
            "reached": store is not None,
            "rights": [*rights] if rights is not None else None,
            "home": str(home.path),
            "items": list(items),
            "doubts": [to_json(doubt) for doubt in doubts],
            "sequence": state.sequence,
            "detached": None if last is None else last.shown(runs),
            "replaces": list(identity.replaced),
            "status": member.status if member is not None else None,
            "sets": sets,
            "wanted": wanted,
        }
    )


def _say_machine(console: Console, identity: "Identity", member: "Membership | None") -> None:
    """Print this machine, its standing in the vault if that is known, and the machines that it replaced."""
    console.say(f"Machine {identity.name}, fingerprint {fingerprint(identity.machine)}")
    if member is not None and member.status == "replaced":
        console.say(
            f"  REPLACED     {moment(member.since)}: another machine has taken its place, and the vault takes nothing more"
        )
    if member is not None and member.status == "revoked":
        console.say(f"  REVOKED      {moment(member.since)}: the vault takes nothing more from this machine")
    for before in identity.replaced:
        console.say(f"  in place of  {fingerprint(before)}; its points belong to this machine")


def _say_network(console: Console, home: "Home") -> None:
    """Print the proxy and the throttle, and give a notice if the access to the vault ends soon."""
    from seed.home.network import Network
    from seed.home.throttle import shown

    network = Network.of(home.path)
    if warning := network.warning(home.clock):
        console.notice(warning)
    if network.proxy:
        console.say(f"  proxy        {without_password(network.proxy)}")
    if network.throttle is not None:
        console.say(f"  throttle     {shown(network.throttle.rate(time.localtime(home.clock.now())))} now")


def _say_doubts(console: Console, doubts: "Sequence[Doubt]") -> None:
    """Print the doubts about the last backup, and the command that dispels them."""
    from seed.home.doubt_records import shown, told

    for doubt in doubts:
        console.say(f"  DOUBTED      {shown(doubt)}: {told(doubt)}")
    if doubts:
        console.say(
            "               the last backup takes no other's place; if it is right: `seed items confirm`"
        )


def _safe(rights: list[str]) -> str:
    """Return in words the power that these rights give to an attacker that takes this machine over."""
    if "delete" in rights or "write" in rights:
        return "an attacker on this machine CAN destroy its backups; create, read and list are enough"
    if not {"read", "list"} <= set(rights):  # the next backup shows whether it may create
        return "too few; a machine needs create, read and list"
    return "an attacker on this machine cannot overwrite or delete its backups"
