"""The command `seed resend`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from formats.shell.console import Console, command
from formats.words import counted, numbered, size
from seed.cli.app import VaultOption, address_of, app, home_path, open_home, own_vault
from seed.cli.exports import Attending, LevelOption, notice_not_root
from seed.cli.notations import parse_disks

if TYPE_CHECKING:
    from seed.home.disk_sets import KeptSet
    from seed.repair.resend import ResendResult


@command(app, "resend", job=home_path)
def resend(
    console: Console,
    disks: Annotated[
        list[str], typer.Argument(metavar="SET/N", help="The beginning of a set's id, and the disk's number.")
    ],
    to: Annotated[
        list[Path] | None,
        typer.Option(
            "--to", metavar="DISK", help="Write it to this disk, of a set of its own, not over the network."
        ),
    ] = None,
    booked_in: Annotated[
        bool,
        typer.Option(
            "--booked-in", help="Also a disk that has come to the datacenter, and cannot be read there."
        ),
    ] = False,
    vault: VaultOption = None,
    level: LevelOption = 3,
) -> None:
    """Give up lost disks and send their data again.

    Data that the source no longer has is named as lost.

    This makes a new recovery point, and revises older ones: files that they lose are listed.

    Example: seed resend 5f0c1a2b/2
    """
    from seed.backup.announce import announce_to
    from seed.backup.backup import BackupOptions
    from seed.backup.disk_station import DiskSupply
    from seed.home.disk_sets import find_set
    from seed.repair.resend import LostDisks
    from seed.repair.resend import resend as run
    from seed.source.allocator import be_lean

    home = open_home()
    wanted, numbers = parse_disks(disks)
    address = address_of(home, vault)
    be_lean()
    notice_not_root(console)
    attending = Attending(console)
    with home.locked():
        kept = find_set(home, wanted)
        with own_vault(console, home, address) as store:
            announce_to(home, store, console, again=True)
            with console.working("resend"):
                resent = run(
                    home,
                    LostDisks(kept, numbers, booked_in),
                    DiskSupply(to or [], attending),
                    store,
                    BackupOptions(level=level),
                    console,
                )
    _summarise(console, kept, sorted(numbers), resent, console.seconds - attending.waited)


def _summarise(
    console: Console, kept: "KeptSet", numbers: list[int], resent: "ResendResult", seconds: float
) -> None:
    which = numbered("Disk", numbers)
    verb = "is" if len(numbers) == 1 else "are"
    console.say(f"{which} of set {kept.state.set[:8]} {verb} given up, in {seconds:.1f} s.")
    sent = resent.sent
    if sent is not None:
        console.say(f"  point        {sent.manifest.point[:8]}, sequence {sent.manifest.sequence}")
        console.say(f"  sent         {counted(sent.archives, 'archive')}, {size(sent.archive_bytes)}")
    if sent is None and not resent.revised:
        console.say("  There was nothing more to send or to revise.")
    else:
        console.say(f"  revised      {counted(len(resent.revised), 'older point')}")
    if resent.lost:
        console.say(f"  lost         data of {counted(len(resent.lost), 'file')} of older points, listed")
    if sent is not None and sent.disk_set is not None:
        console.say(f"Send {numbered('disk', sent.disks)} of set {sent.disk_set[:8]} to the datacenter.")
    console.result(
        {
            "set": kept.state.set,
            "given_up": [*numbers],
            "point": sent.manifest.point if sent else None,
            "archives": sent.archives if sent else 0,
            "archive_bytes": sent.archive_bytes if sent else 0,
            "sent_on": {"set": sent.disk_set, "disks": [*sent.disks]} if sent and sent.disk_set else None,
            "revised": [m.point for m in resent.revised],
            "lost_files": len(resent.lost),
            "taken_back": [taken.to_json() for taken in resent.taken_back],
            "findings": console.findings_json(),
        }
    )
