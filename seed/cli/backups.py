"""The command `seed backup`."""

from typing import TYPE_CHECKING, Annotated

import typer

from formats.shell.console import DONE, Console, command
from formats.words import counted, size
from seed.cli.app import VaultOption, address_of, app, home_path, open_home, own_vault
from seed.cli.detaching import detach as detach_
from seed.cli.detaching import hear_no_hangup, leave, tell_begun
from seed.cli.exports import (
    ExcludeCachesOption,
    ExcludeFromOption,
    ExcludeOption,
    LevelOption,
    OnceOption,
    OneFileSystemOption,
    left_out,
    notice_not_root,
)
from seed.cli.hooks import AfterOption, BeforeOption, Hooks
from seed.cli.scheduling import due, in_turn

if TYPE_CHECKING:
    from seed.backup.backup import BackupResult


@command(app, "backup", job=home_path)
def backup(
    console: Console,
    paths: Annotated[list[str] | None, typer.Argument(metavar="PATH", help="Paths to back up.")] = None,
    vault: VaultOption = None,
    exclude: ExcludeOption = None,
    exclude_from: ExcludeFromOption = None,
    one_file_system: OneFileSystemOption = False,
    exclude_caches: ExcludeCachesOption = False,
    ignore_inode: Annotated[
        bool,
        typer.Option("--ignore-inode", help="For file systems with inode numbers that change by themselves."),
    ] = False,
    once: OnceOption = False,
    before: BeforeOption = None,
    after: AfterOption = None,
    level: LevelOption = 3,
    detach: Annotated[
        bool, typer.Option("--detach", help="Go on in the background: the terminal may be closed.")
    ] = False,
    scheduled: Annotated[
        bool, typer.Option("--scheduled", help="As the schedule says: by its rules, with its commands.")
    ] = False,
    detached: Annotated[bool, typer.Option("--detached", hidden=True)] = False,
) -> int:
    """Back up all changes now, over the network.

    All that changed since the last recovery point goes into the vault.

    The disks of the seed may still be on their way. Run it again to go on after a stop.

    Example: seed backup
    """
    from seed.backup.announce import announce_to
    from seed.backup.backup import BackupOptions, prepare
    from seed.backup.backup import backup as run
    from seed.repair.want_list import still_wanted
    from seed.source.allocator import be_lean

    if detach and not detached:
        return detach_(console, home_path())
    home = open_home()
    schedule = due(console, home) if scheduled else None
    if scheduled and schedule is None:
        return DONE
    if detached:
        hear_no_hangup()
    without = left_out(exclude, exclude_from, one_file_system, exclude_caches)
    address = address_of(home, vault)
    be_lean()
    notice_not_root(console)
    hooks = Hooks(schedule.before, schedule.after) if schedule is not None else Hooks()
    with in_turn(console, home, schedule, hooks.but(before, after)) as free:
        if not free:
            return DONE
        with own_vault(console, home, address) as store:
            scope = prepare(home, paths or [], without, console, once=once)
            if detached:
                leave(console, home)
            with console.working("backup"):
                if detached:
                    tell_begun()
                announce_to(home, store, console, again=True)
                backed = run(home, scope, store, BackupOptions(ignore_inode, level), console)
                if wanted := still_wanted(home, store, console):
                    lacks = f"the vault lacks {counted(wanted, 'record')} of earlier points"
                    console.notice(f"{lacks}: `seed repair` sends them again")
    _summarise(console, backed)
    return DONE


def _summarise(console: Console, backed: "BackupResult") -> None:
    from seed.home.doubt_records import to_json

    manifest, totals = backed.manifest, backed.manifest.totals
    console.say(f"Backed up in {console.seconds:.1f} s.")
    console.say(f"  point        {manifest.point[:8]}, sequence {manifest.sequence}")
    console.say(
        f"  holds        {counted(totals.files, 'file')}, {size(totals.file_bytes)}; {counted(totals.entries, 'entry')} in all"
    )
    console.say(f"  read         {size(console.done)}; unchanged {size(console.kept)}")
    console.say(f"  sent         {counted(backed.archives, 'archive')}, {size(backed.archive_bytes)}")
    if backed.doubts:
        console.say(
            f"  doubted      {counted(len(backed.doubts), 'item')}, listed: this point takes no other's place"
        )
    if backed.promised:
        console.say(f"  waits for    {counted(backed.promised, 'archive')} on disks that have not arrived")
    console.result(
        {
            "point": manifest.point,
            "sequence": manifest.sequence,
            "entries": totals.entries,
            "files": totals.files,
            "file_bytes": totals.file_bytes,
            "read_bytes": console.done,
            "kept_bytes": console.kept,
            "archives": backed.archives,
            "archive_bytes": backed.archive_bytes,
            "promised": backed.promised,
            "doubts": [to_json(doubt) for doubt in backed.doubts],
            "taken_back": [taken.to_json() for taken in backed.taken_back],
            "seconds": int(console.seconds),
            "findings": console.findings_json(),
        }
    )
