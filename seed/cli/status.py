"""`seed status`: who this machine is, what it backs up, and where its disks are."""

import os
from typing import TYPE_CHECKING

from formats.console import Console, command
from formats.ids import fingerprint
from formats.wire import Json
from formats.words import counted, one_line, size
from seed.cli.app import VaultOption, app, open_home

if TYPE_CHECKING:
    from formats.store.contract import Store
    from seed.home import KeptSet


@command(app, "status")
def status(console: Console, vault: VaultOption = None) -> None:
    """Show this machine's registration, its items, its last recovery point, and its disk sets disk by disk.

    Example: seed status
    """
    from seed.announce import announce, reach_if_any
    from seed.detached import last_detached
    from seed.home import kept_sets

    home = open_home()
    identity, state = home.identity, home.state
    address = vault or os.environ.get("SEED_VAULT") or identity.address
    announce(home, address, console)
    store = reach_if_any(home, address, console)
    console.say(f"Machine {identity.name}, fingerprint {fingerprint(identity.machine)}")
    console.say(f"  vault        {identity.vault_name} at {address}{'' if store else ', not reached'}")
    console.say(f"  home         {home.path}")
    items = [os.fsdecode(item) for item in state.items]
    console.say(f"  backs up     {', '.join(map(one_line, items)) or 'nothing yet'}")
    console.say(f"  sequence     {state.sequence}")
    last, runs = last_detached(home.path)
    if last is not None:
        console.say(f"  backup       {last.standing(runs)}")
    sets: list[Json] = [_show(console, kept, store) for kept in kept_sets(home)]
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
            "sets": sets,
        }
    )


def _show(console: Console, kept: "KeptSet", store: "Store | None") -> dict[str, Json]:
    from formats.documents import envelope
    from formats.documents.disk import SetDocument
    from formats.standing import awaited
    from seed.disk import read_journal

    state = kept.state
    expected: tuple[int, ...] | None = None
    if state.status == "finished" and store is not None:
        document = envelope.read((kept.folder / "set").read_bytes(), "set").peek(SetDocument)
        expected = awaited([store], document)
    told = {"open": "not finished: the same export goes on", "finished": "finished", "abandoned": "given up"}[
        state.status
    ]
    if state.status == "finished" and not state.announced:
        told += ", not announced to the vault yet"
    console.say(f"Set {state.set[:8]}: {told}")
    rows: list[Json] = []
    for disk in state.disks:
        sections = read_journal(kept, disk.number, console)
        used = sum(section.archive.size for section in sections)
        where = (
            "given up, may be erased"
            if state.status == "abandoned"
            else _where(disk.dropped, disk.inventory is not None, disk.number, expected)
        )
        console.say(f"  disk {disk.number:<8} {counted(len(sections), 'archive')}, {size(used)}: {where}")
        rows.append({"number": disk.number, "archives": len(sections), "archive_bytes": used, "state": where})
    return {"set": state.set, "status": state.status, "announced": state.announced, "disks": rows}


def _where(dropped: bool, closed: bool, number: int, expected: tuple[int, ...] | None) -> str:
    if dropped:
        return "given up"
    if expected is not None:
        return "awaited by the vault" if number in expected else "arrived in the vault"
    return "closed" if closed else "open: attach it, and run the same export again"
