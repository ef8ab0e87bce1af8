"""`importer export`: a recovery point goes onto disks, for its machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from formats.shell.console import DONE, NOT_FINISHED, Console, command
from formats.untrusted import Json
from formats.words import counted, instant, one_line, size
from importer.cli.app import MachineOption, VaultOption, app, exit_code, home, signing_vault
from importer.cli.wants import mended

if TYPE_CHECKING:
    from importer.outbound.shipment import ShipmentResult
    from importer.vault.points import VaultPoint


@command(app, "export", job=home)
def export(
    console: Console,
    point: Annotated[
        str,
        typer.Argument(
            metavar="POINT", help="The beginning of a point's id, or latest: see `importer points`."
        ),
    ],
    to: Annotated[
        list[Path],
        typer.Option("--to", metavar="DISK", help="Write onto the disk mounted here; may be repeated."),
    ],
    vault: VaultOption = None,
    machine: MachineOption = None,
    without: Annotated[
        list[int] | None,
        typer.Option("--without", metavar="N", help="Disk N is lost or dead: its data is written again."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Begin a new shipment, though there is one.")
    ] = False,
) -> int:
    """Write a recovery point onto disks.

    They are sent to its machine. No passphrase is needed.

    Run it again to go on, with the same disks or with others.

    Example: importer export latest --machine web1 --to /mnt/disk --vault /srv/vault
    """
    from formats.shell.point_choice import choose
    from importer.outbound.shipment import ship
    from importer.vault.points import points
    from importer.vault.vault import check_machine

    opened = signing_vault(vault, console)
    mended(opened, console)
    check_machine(opened, machine, console)
    found = list(points(opened, console, lambda m: machine in (None, m.name)))
    chosen = choose(found, lambda one: one.manifest, point, "importer")
    if chosen.manifest.doubted:
        console.notice(
            f"point {chosen.manifest.point[:8]} is doubted by its machine: a folder was empty or not mounted"
        )
    with console.working("export", noun="archive"):
        done = ship(opened, chosen, to, console, without=without or (), again=again)
    _say(done, chosen, console)
    console.result(_told(done, chosen, console))
    return exit_code(console, DONE if done.finished or console.findings else NOT_FINISHED)


def _told(done: "ShipmentResult", point: "VaultPoint", console: Console) -> Json:
    """Return the result for scripts."""
    return {
        "point": point.manifest.point,
        "name": point.member.name,
        "set": done.set,
        "archives": len(done.sizes),
        "archive_bytes": sum(done.sizes),
        "disks": [
            {
                "number": disk.number,
                "path": str(disk.path),
                "archives": len(disk.held),
                "written_bytes": disk.written,
                "full": disk.full,
            }
            for disk in done.written
        ],
        "left": len(done.left),
        "left_bytes": sum(done.left),
        "lost": done.lost,
        "failed": [str(path) for path in done.failed],
        "finished": done.finished,
        "findings": console.findings_json(),
    }


def _say(done: "ShipmentResult", point: "VaultPoint", console: Console) -> None:
    manifest = point.manifest
    console.say(f"Point {manifest.point[:8]} of {point.member.name} ({instant(manifest.created)})")
    console.say(f"  needs        {counted(len(done.sizes), 'archive')}, {size(sum(done.sizes))}")
    for disk in done.written:
        full = "; full" if disk.full else ""
        console.say(
            f"  disk {disk.number:<7} {one_line(str(disk.path))}: {size(disk.written)} written; it holds "
            f"{counted(len(disk.held), 'archive')}{full}"
        )
    if done.before:
        console.say(
            f"  finished     before, as shipment {done.set[:8]} on {counted(done.disks, 'disk')}; --again writes it once more"
        )
        return
    if not done.finished:
        if done.left:
            what = f"{counted(len(done.left), 'archive')}, {size(sum(done.left))}"
            console.say(
                f"  left         {what}: attach a further disk, and run the same command with its path after --to"
            )
        if done.failed:
            where = ", ".join(one_line(str(path)) for path in done.failed)
            console.say(
                f"  failed       {where}: attach it again, and run the same command; or go on without it by --without and "
                "its number"
            )
        if done.lost or not point.standing.complete:
            console.say(
                "  lacking      data that the vault lacks, listed: when `seed repair` or a further disk has brought it, run the "
                "same command"
            )
        return
    console.say(f"  finished     shipment {done.set[:8]}, on {counted(done.disks, 'disk')}")
    console.say("Before they leave: `importer inspect DISK` for each. Where they arrive:")
    console.say(
        f"  seed restore {manifest.point[:8]} {' '.join(['--from DISK'] * min(done.disks, 3))} --target FOLDER"
    )
