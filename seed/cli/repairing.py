"""The command `seed repair`."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from formats.shell.console import Console, command
from formats.words import counted, size
from seed.cli.app import VaultOption, address_of, app, home_path, open_home, own_vault
from seed.cli.exports import LevelOption, notice_not_root

if TYPE_CHECKING:
    from seed.repair.repair import RepairResult


@command(app, "repair", job=home_path)
def repair(
    console: Console,
    wants: Annotated[
        Path | None,
        typer.Option(
            "--wants", metavar="FILE", help="A want list that came as a file; otherwise the vault's newest."
        ),
    ] = None,
    disks: Annotated[
        list[Path] | None,
        typer.Option("--from", metavar="DISK", help="Take wanted data from this disk, if it is there."),
    ] = None,
    vault: VaultOption = None,
    level: LevelOption = 3,
) -> None:
    """Send again the data that the vault has lost.

    It is made again from this machine's files, and only that.

    Data that cannot be made again is lost. The recovery points that need it are revised, and the lost files
    are listed.

    Example: seed repair
    """
    from seed.backup.announce import announce_to
    from seed.points.points import disk_stores
    from seed.repair.repair import repair as run
    from seed.repair.want_list import newest_wants, read_wants
    from seed.session.session import Session
    from seed.source.allocator import be_lean

    home = open_home()
    address = address_of(home, vault)
    be_lean()
    notice_not_root(console)
    with home.locked(), ExitStack() as stack:
        store = stack.enter_context(own_vault(console, home, address))
        stores = disk_stores(disks or [])
        for disk in stores:
            stack.callback(disk.close)
        chosen = read_wants(home, wants) if wants is not None else newest_wants(home, store, console)
        announce_to(home, store, console, again=True)
        with console.working("repair"), Session.open(home, store, console) as session:
            done = run(session, stores, level, chosen)
    _summarise(console, done)


def _summarise(console: Console, done: "RepairResult") -> None:
    if not done.wanted and not done.objects:
        console.say("The vault lacks nothing that this machine could send.")
    else:
        console.say(f"Repaired in {console.seconds:.1f} s.")
        console.say(f"  wanted       {counted(done.wanted, 'record')}, of them made again {done.made:,}")
        console.say(f"  sent         {counted(done.archives, 'archive')}, {size(done.archive_bytes)}")
        if done.objects:
            console.say(f"  sent too     {counted(done.objects, 'small object')}")
    if done.revised:
        console.say(f"  revised      {counted(len(done.revised), 'point')}")
    if done.lost:
        console.say(f"  lost         data of {counted(len(done.lost), 'file')} of a point, listed")
    console.result(
        {
            "wanted": done.wanted,
            "made": done.made,
            "objects": done.objects,
            "archives": done.archives,
            "archive_bytes": done.archive_bytes,
            "revised": [m.point for m in done.revised],
            "lost_files": len(done.lost),
            "taken_back": [taken.to_json() for taken in done.taken_back],
            "findings": console.findings_json(),
        }
    )
