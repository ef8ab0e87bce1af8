"""The commands `seed points` and `seed ls`: the recovery points in a vault or on disks, and their entries."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from formats.errors import UsageError
from formats.shell.console import Console, command
from formats.untrusted import Json
from formats.words import counted, moment, one_line, size
from seed.cli.app import PassphraseFileOption, VaultOption, app
from seed.cli.opening import FromOption, MachineOption, PointArgument, doubts_of, open_points, split_point

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from formats.keyed.catalog import CatalogEntry


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
            hint="run `seed ls POINT` without a path: it lists the entries",
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


def _line(entry: "CatalogEntry", path: str) -> str:
    import stat

    from formats.keyed.catalog import SYMLINK
    from seed.source.file_types import FORMATS

    mode = stat.filemode(FORMATS[entry.type] | entry.mode)
    owner = f"{entry.user or entry.uid}:{entry.group or entry.gid}"
    arrow = f" -> {one_line(os.fsdecode(entry.target))}" if entry.type == SYMLINK else ""
    return f"{mode} {owner:17} {entry.size:>13,} {moment(entry.mtime)} {one_line(path)}{arrow}"
