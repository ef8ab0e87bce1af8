"""`seed export`."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from formats.console import Console, command, moment, size
from formats.errors import UsageError
from formats.ids import fingerprint
from seed.cli.app import app, home_path

if TYPE_CHECKING:
    from seed.export import Exported
    from seed.home import Identity


@command(app, "export")
def export(
    console: Console,
    paths: Annotated[list[str] | None, typer.Argument(metavar="PATH…", help="What to back up.")] = None,
    to: Annotated[
        list[Path] | None, typer.Option("--to", metavar="DISK", help="Where the disk is mounted.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", metavar="GLOB", help="Leave this out.")
    ] = None,
    exclude_from: Annotated[
        list[Path] | None,
        typer.Option("--exclude-from", metavar="FILE", help="Leave out what its lines say."),
    ] = None,
    one_file_system: Annotated[
        bool, typer.Option("--one-file-system", help="Do not cross mount points.")
    ] = False,
    exclude_caches: Annotated[
        bool, typer.Option("--exclude-caches", help="Leave out folders that hold a CACHEDIR.TAG.")
    ] = False,
    no_slot_on_disks: Annotated[
        bool,
        typer.Option("--no-slot-on-disks", help="Keep the key slot off the disk; the vault or home has it."),
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Begin a new set, though one was begun or finished.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="Other paths than usual, this time only.")] = False,
    level: Annotated[int, typer.Option("--level", min=1, max=19, help="zstd's level of compression.")] = 3,
) -> None:
    """Write the seed: all that PATHs hold, encrypted, onto a disk. Run it again to go on after a stop.

    Example: seed export /srv /etc --to /mnt/disk
    """
    from seed.export import Options
    from seed.export import export as run
    from seed.home import Home

    if not to or len(to) != 1:
        raise UsageError("usage", "name one disk by --to DISK", hint="several disks come in a later version")
    home = Home.open(home_path())
    options = Options(
        excludes=tuple(exclude or ()) + tuple(_lines(exclude_from or [])),
        one_file_system=one_file_system,
        exclude_caches=exclude_caches,
        slots_on_disk=not no_slot_on_disks,
        again=again,
        once=once,
        level=level,
    )
    began = time.monotonic()
    with home.locked(), console.working("export"):
        exported = run(home, paths or [], to[0], options, console)
    seconds = time.monotonic() - began
    _summarise(console, home.identity, exported, to[0], seconds)


def _summarise(
    console: Console, identity: "Identity", exported: "Exported", disk: Path, seconds: float
) -> None:
    """One screen, ending in the text to send to the datacenter."""
    manifest, state = exported.committed.manifest, exported.state
    totals = manifest.totals
    if exported.already:
        console.say(f"The export was finished {moment(manifest.created)}; nothing to do. A new one: --again")
    else:
        rate = f", {size(console.done / max(seconds, 0.001))}/s" if console.done else ""
        console.say(f"Export finished in {seconds:.1f} s{rate}.")
    console.say(f"  point        {manifest.point[:8]}, sequence {manifest.sequence}")
    console.say(
        f"  read         {totals.files:,} files, {size(totals.file_bytes)}; {totals.entries:,} entries in all"
    )
    console.say(f"  stored       {totals.archives:,} archives, {size(totals.archive_bytes)}")
    console.say(f"  disk         1 of 1 of set {state.set[:8]}, at {disk.absolute()}")
    console.say()
    console.say("Send the disk, and this text to the datacenter:")
    console.say(
        f"  Disk 1 of set {state.set[:8]} of machine {identity.name} for vault {identity.vault_name}."
    )
    console.say(f"  Its fingerprint: {fingerprint(identity.machine)}")
    console.say("  Mount it, read-only will do, and run (no passphrase needed):")
    console.say(f"  importer import <where the disk is mounted> --vault {identity.address}")
    console.result(
        {
            "set": state.set,
            "point": manifest.point,
            "sequence": manifest.sequence,
            "already": exported.already,
            "resumed": exported.resumed,
            "entries": totals.entries,
            "files": totals.files,
            "file_bytes": totals.file_bytes,
            "archives": totals.archives,
            "archive_bytes": totals.archive_bytes,
            "read_bytes": console.done,
            "written_bytes": console.stored,
            "seconds": int(seconds),
            "fingerprint": fingerprint(identity.machine),
            "findings": console.findings_json(),
        }
    )


def _lines(files: list[Path]) -> list[str]:
    found: list[str] = []
    for file in files:
        try:
            lines = file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        except OSError as error:
            raise UsageError(
                "path-not-found", f"cannot be read ({error.strerror})", subject=str(file),
                hint="name a file of patterns, one a line, that this user can read",
            ) from error  # fmt: skip
        found += [line for line in lines if line.strip() and not line.startswith("#")]
    return found
