"""The commands `seed points`, `ls` and `restore`: from a vault or disks, by a home or a passphrase alone."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from formats.errors import UsageError
from formats.shell.console import Console, command
from formats.wire import Json
from formats.words import counted, moment, one_line, size
from seed.cli.app import (
    GLOBS,
    PassphraseFileOption,
    VaultOption,
    access_here,
    app,
    home_if_any,
    home_path,
    with_passphrase,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from formats.keyed.catalog import CatalogEntry
    from seed.points.layered_store import LayeredStore
    from seed.points.machine_keys import Machine
    from seed.points.points import Point
    from seed.restore.restore import Restore
    from seed.restore.tree.judged import Compare

FromOption = Annotated[
    list[Path] | None, typer.Option("--from", metavar="DISK", help="Read from this disk; may be repeated.")
]
OnlyOption = Annotated[list[str] | None, typer.Option("--include", metavar="GLOB", help=GLOBS.format("Only"))]
NotOption = Annotated[list[str] | None, typer.Option("--exclude", metavar="GLOB", help=GLOBS.format("Not"))]
CompareOption = Annotated[
    str | None,
    typer.Option(
        "--compare",
        metavar="content|times",
        help="By what a file of equal size that is there is known: its content (with --overwrite), or its time (else).",
    ),
]
MachineOption = Annotated[
    str | None, typer.Option("--machine", metavar="NAME", help="Of this machine; or its fingerprint.")
]
PointArgument = Annotated[
    str,
    typer.Argument(
        metavar="POINT[:SUBPATH]", help="The beginning of a point's id, or latest; and a path in it."
    ),
]


class OpenedPoints(NamedTuple):
    """The stores to read from, the machines with keys at hand, and the points that these keys open."""

    union: "LayeredStore"
    machines: "list[Machine]"
    points: "list[Point]"
    console: Console

    def nothing(self) -> str:
        """Return why there may be no point, and the next step."""
        from seed.points.completeness import nothing_here

        return nothing_here(self.union, {m.machine for m in self.machines})

    def choose(self, wanted: str) -> "Point":
        """Return the wanted point; if it is doubted, give notices. Raises UsageError point-unknown."""
        from formats.shell.point_choice import choose

        if not self.points:
            raise UsageError(
                "point-unknown", "there is no recovery point here", subject=wanted, hint=self.nothing()
            )
        chosen = choose(self.points, lambda point: point.manifest, wanted, "seed")
        if chosen.manifest.doubted:
            for line in doubts_of(chosen):
                self.console.notice(f"point {chosen.manifest.point[:8]} is doubted: {line}")
        return chosen


def open_points(
    console: Console, vault: str | None, disks: list[Path] | None, machine: str | None, file: Path | None
) -> OpenedPoints:
    """Return the points in a vault, on disks, or in both.

    The key is the home's, unless a passphrase file or a machine is named or there is no home.
    """
    from formats.store.access import Address
    from formats.store.address import open_store
    from seed.backup.announce import announce, is_ours
    from seed.points.completeness import check_latest
    from seed.points.layered_store import LayeredStore
    from seed.points.machine_keys import own_machines, unlock
    from seed.points.points import check_vault, disk_stores, points

    home = home_if_any(console, "read") if file is None and machine is None else None
    stores = disk_stores(disks or [])
    if vault is None and not stores and home is not None:
        vault = home.identity.address
    if vault is not None:
        address = Address(vault, access_here())
        stores.append(store := open_store(address))
        check_vault(store)
    if not stores:
        raise UsageError(
            "no-vault", "nothing to read from was named", hint="add --vault STORE or --from DISK"
        )
    union = LayeredStore(stores)
    if home is not None:
        if vault is not None:
            announce(home, address, console)
            if is_ours(home, store, console):
                check_latest(home, store, console)
        machines = own_machines(home.identity, stores, console)
    else:
        machines = with_passphrase(console, file, lambda typed: unlock(union, typed, machine, console))
    return OpenedPoints(union, machines, points(union, machines, console), console)


def doubts_of(point: "Point") -> "list[str]":
    """Return in words why a point's machine doubts it."""
    from seed.home.doubt_records import shown, told

    return [f"{shown(doubt)}: {told(doubt)}" for doubt in point.root.doubts or ()]


@command(app, "points")
def points(
    console: Console,
    vault: VaultOption = None,
    disks: FromOption = None,
    machine: MachineOption = None,
    passphrase_file: PassphraseFileOption = None,
) -> None:
    """List recovery points.

    Example: seed points --from /mnt/disk --passphrase-file web1.passphrase
    """
    from seed.points.completeness import standings

    opened = open_points(console, vault, disks, machine, passphrase_file)
    rows: list[Json] = []
    for point, standing in standings(opened.union, opened.points, opened.points):
        m = point.manifest
        console.say(
            f"{m.point[:8]}  {moment(m.created)}  {m.machine_name}  {m.point_kind} {m.sequence}, "
            f"{counted(m.totals.files, 'file')}, {size(m.totals.file_bytes)}: {standing.of(m)}"
        )
        for line in doubts_of(point) if m.doubted else ():
            console.say(f"          {line}")
        rows.append(
            {
                "point": m.point,
                "machine": m.machine,
                "name": m.machine_name,
                "sequence": m.sequence,
                "digest": point.digest,
                "kind": m.point_kind,
                "created": m.created,
                "entries": m.totals.entries,
                "files": m.totals.files,
                "file_bytes": m.totals.file_bytes,
                "lost_files": m.totals.lost,
                "doubted": bool(m.doubted),
                **standing.to_json(),
            }
        )
    if not rows:
        console.say(f"no recovery points: {opened.nothing()}")
    console.result(rows)


@command(app, "ls", only_tells=True)
def ls(
    console: Console,
    point: PointArgument = "latest",
    vault: VaultOption = None,
    disks: FromOption = None,
    machine: MachineOption = None,
    passphrase_file: PassphraseFileOption = None,
    parquet: Annotated[
        Path | None,
        typer.Option("--parquet", metavar="FILE", help="Write it to a table that DuckDB and pandas read."),
    ] = None,
) -> None:
    """List the entries of a recovery point.

    With --json each is one object on a line.

    Example: seed ls latest:/etc --from /mnt/disk
    """
    from seed.points.point_reader import PointReader

    wanted, below = split_point(point)
    opened = open_points(console, vault, disks, machine, passphrase_file)
    chosen = opened.choose(wanted)
    entries = _some(PointReader(opened.union, chosen, console).entries(below), below)
    if parquet is None:
        _list(console, entries)
        return
    from seed.points.parquet_export import write

    rows = write(parquet, chosen.manifest, entries)
    console.say(f"{counted(rows, 'entry')} of point {chosen.manifest.point[:8]} in {parquet}")
    console.result({"point": chosen.manifest.point, "parquet": str(parquet), "entries": rows})


def _some(entries: "Iterable[CatalogEntry]", below: bytes) -> "Iterator[CatalogEntry]":
    """Yield all entries. Raises UsageError path-not-found if there are none `below` a path."""
    any_row = False
    for entry in entries:
        any_row = True
        yield entry
    if below and not any_row:
        raise UsageError(
            "path-not-found",
            "the recovery point holds nothing at this path",
            subject="/" + os.fsdecode(below),
            hint="`seed ls POINT`, without a path, shows what it holds",
        )


def _list(console: Console, entries: "Iterable[CatalogEntry]") -> None:
    """Print each entry, for people and for scripts."""
    from formats.keyed.catalog import TYPES

    for entry in entries:
        if entry.part:
            continue
        path = "/" + os.fsdecode(entry.path)
        console.say(_line(entry, path))
        console.result(
            {
                "path": path,
                "type": TYPES[entry.type],
                "mode": entry.mode,
                "uid": entry.uid,
                "gid": entry.gid,
                "user": entry.user,
                "group": entry.group,
                "size": entry.size,
                "mtime_ns": entry.modified,
                "target": os.fsdecode(entry.target),
            }
        )


@command(app, "restore", job=home_path)
def restore(
    console: Console,
    point: PointArgument,
    target: Annotated[Path, typer.Option("--target", metavar="DIR", help="Where to; made if need be.")],
    include: OnlyOption = None,
    exclude: NotOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what differs.")] = False,
    compare: CompareOption = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read everything back afterwards, and compare.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
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
    from seed.points.completeness import standings
    from seed.points.point_reader import PointReader
    from seed.points.selection import Selection
    from seed.restore.restore import Restore
    from seed.restore.tree.system import TreeWriter
    from seed.source.rules import Patterns

    _check_words(compare, verify=verify, dry_run=dry_run)
    by: Compare | None = "content" if compare == "content" else "times" if compare else None
    wanted, below = split_point(point)
    opened = open_points(console, vault, disks, machine, passphrase_file)
    chosen = opened.choose(wanted)
    m = chosen.manifest
    for _, standing in standings(opened.union, [chosen], opened.points):
        if not standing.complete:
            console.notice(
                f"point {m.point[:8]}: {standing.words()}; what lies in them is left out, and listed"
            )
    began = time.monotonic()
    restoring = Restore(
        PointReader(opened.union, chosen, console),
        lambda: TreeWriter(str(target), console, overwrite=overwrite, compare=by),
        selection := Selection(below, Patterns(include) if include else None, Patterns(exclude or ())),
        console,
    )
    with console.working("restore", m.totals.file_bytes if selection.is_all else None):
        done = restoring.plan(target_exists=target.is_dir()) if dry_run else restoring.run()
    verb, written = ("Would restore", "to write") if dry_run else ("Restored", "written")
    console.say(
        f"{verb} point {m.point[:8]} of {m.machine_name} ({moment(m.created)}) to {target} "
        f"in {time.monotonic() - began:.1f} s."
    )
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


def _check_words(compare: str | None, *, verify: bool, dry_run: bool) -> None:
    """Check the options that restrict each other. Raises UsageError."""
    if compare not in (None, "content", "times"):
        raise UsageError(
            "usage",
            "this is nothing to compare by",
            subject=compare,
            hint="write --compare content or --compare times",
        )
    if verify and dry_run:
        raise UsageError(
            "usage",
            "--dry-run restores nothing that could be verified",
            hint="use --dry-run --compare content: it reads what is there, and says what differs",
        )


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


def split_point(text: str) -> tuple[str, bytes]:
    """Return `POINT:SUBPATH` as the point and the path without its outer slashes. Raises UsageError."""
    point, _, path = text.partition(":")
    below = os.fsencode(path).strip(b"/")
    if any(part in (b"", b".", b"..") for part in below.split(b"/")) and below:
        raise UsageError(
            "usage", "a path in a recovery point has no empty, . or .. parts", subject=path,
            hint="write it as `seed ls` shows it",
        )  # fmt: skip
    return point, below


def _line(entry: "CatalogEntry", path: str) -> str:
    import stat

    from formats.keyed.catalog import SYMLINK
    from seed.source.file_types import FORMATS

    mode = stat.filemode(FORMATS[entry.type] | entry.mode)
    owner = f"{entry.user or entry.uid}:{entry.group or entry.gid}"
    arrow = f" -> {one_line(os.fsdecode(entry.target))}" if entry.type == SYMLINK else ""
    return f"{mode} {owner:17} {entry.size:>13,} {moment(entry.mtime)} {one_line(path)}{arrow}"
