"""The command `seed restore`: a recovery point, or a part of it, into a folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from formats.errors import UsageError
from formats.shell.console import Console, command
from formats.untrusted import Json
from formats.words import counted, moment, size
from seed.cli.app import GLOBS, PassphraseFileOption, VaultOption, app, home_path
from seed.cli.opening import FromOption, MachineOption, OpenedPoints, PointArgument, open_points, split_point

if TYPE_CHECKING:
    from seed.points.points import Point
    from seed.restore.outcome import RestoreResult
    from seed.restore.restore import Restore
    from seed.restore.tree.name_state import Compare

OnlyOption = Annotated[list[str] | None, typer.Option("--include", metavar="GLOB", help=GLOBS.format("Only"))]
NotOption = Annotated[list[str] | None, typer.Option("--exclude", metavar="GLOB", help=GLOBS.format("Not"))]
CompareOption = Annotated[
    str | None,
    typer.Option(
        "--compare",
        metavar="content|times",
        help="Compare files of equal size by content (with --overwrite), or by time (else).",
    ),
]


@command(app, "restore", job=home_path)
def restore(
    console: Console,
    point: PointArgument,
    target: Annotated[Path, typer.Option("--target", metavar="DIR", help="Where to; made if need be.")],
    include: OnlyOption = None,
    exclude: NotOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace entries that differ.")] = False,
    compare: CompareOption = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read everything back afterwards, and compare.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing, and tell only the result.")
    ] = False,
    vault: VaultOption = None,
    disks: FromOption = None,
    machine: MachineOption = None,
    passphrase_file: PassphraseFileOption = None,
) -> None:
    """Restore a recovery point, or a part of it.

    It comes below DIR.

    An equal entry that is there already counts as done.

    Example: seed restore latest:/srv/www --target /srv/restored --vault /srv/vault
    """
    from seed.points.point_reader import PointReader
    from seed.points.selection import Selection
    from seed.restore.restore import Restore
    from seed.restore.tree.system import TreeWriter
    from seed.source.source_rules import Patterns

    by = _comparison(compare, verify=verify, dry_run=dry_run)
    wanted, below = split_point(point)
    opened = open_points(console, vault, disks, machine, passphrase_file)
    chosen = opened.choose(wanted)
    m = chosen.manifest
    _notice_missing(console, opened, chosen)
    restoring = Restore(
        PointReader(opened.union, chosen, console),
        lambda: TreeWriter(str(target), console, overwrite=overwrite, compare=by),
        selection := Selection(below, Patterns(include) if include else None, Patterns(exclude or ())),
        console,
    )
    with console.working("restore", m.totals.file_bytes if selection.is_all else None):
        done = restoring.plan(target_exists=target.is_dir()) if dry_run else restoring.run()
    verb = "Would restore" if dry_run else "Restored"
    console.say(
        f"{verb} point {m.point[:8]} of {m.machine_name} ({moment(m.created)}) to {target} in {console.seconds:.1f} s."
    )
    _say_counts(console, done, "to write" if dry_run else "written")
    verified = _verify(console, restoring) if verify else None
    console.result(
        {
            "point": m.point,
            "dry_run": dry_run,
            "target": str(target),
            "files": done.files,
            "file_bytes": done.file_bytes,
            "folders": done.folders,
            "others": done.others,
            "same": done.same,
            "same_by_time": done.by_time,
            "left_alone": done.other,
            "failed": done.failed,
            "verified": verified,
            "findings": console.findings_json(),
        }
    )


def _notice_missing(console: Console, opened: OpenedPoints, chosen: "Point") -> None:
    """Give a notice if parts of the point's data cannot be read from here."""
    from seed.points.completeness import standings

    for _, standing in standings(opened.union, [chosen], opened.points):
        if not standing.complete:
            console.notice(
                f"point {chosen.manifest.point[:8]}: {standing.words()}; files that need them are left out, and listed"
            )


def _say_counts(console: Console, done: "RestoreResult", written: str) -> None:
    console.say(
        f"  {written:12} {counted(done.files, 'file')}, {size(done.file_bytes)}; {counted(done.folders, 'folder')}, "
        f"{counted(done.others, 'other')}"
    )
    if done.same:
        console.say(f"  there before {counted(done.same, 'equal entry')}, left as they are")
    if done.by_time:
        console.say(
            f"               {counted(done.by_time, 'file')} of them by size and time alone; --compare content reads them"
        )
    if done.other or done.failed:
        console.say(f"  not restored {done.other + done.failed:,}, listed")


def _comparison(compare: str | None, *, verify: bool, dry_run: bool) -> "Compare | None":
    """Return the comparison that the options ask for. Raises UsageError if they contradict each other."""
    by: Compare | None = "content" if compare == "content" else "times" if compare == "times" else None
    if compare is not None and by is None:
        raise UsageError(
            "usage",
            "cannot compare files by this word",
            subject=compare,
            hint="write --compare content or --compare times",
        )
    if verify and dry_run:
        raise UsageError(
            "usage",
            "cannot verify with --dry-run: it restores nothing",
            hint="use --dry-run --compare content: it reads the files at the target, and lists those that differ",
        )
    return by


def _verify(console: Console, restoring: "Restore") -> dict[str, Json]:
    """Read the restored entries back at the target, and print and return the result."""
    with console.working("verify"):
        found = restoring.verify()
    console.say(
        f"  verified     {counted(found.files, 'file')}, {size(found.file_bytes)} read back; "
        + (
            f"{found.differ:,} of {counted(found.entries, 'entry')} differ, listed"
            if found.differ
            else "all is equal"
        )
    )
    return {
        "entries": found.entries,
        "files": found.files,
        "file_bytes": found.file_bytes,
        "differ": found.differ,
    }
