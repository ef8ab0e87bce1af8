"""The commands `seed find` and `seed diff`: the changes of files from one recovery point to the next."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from formats.errors import UsageError
from formats.shell.console import Console, command
from formats.words import counted, moment, one_line, size
from seed.cli.app import PassphraseFileOption, VaultOption, app
from seed.cli.opening import FromOption, MachineOption, open_points

if TYPE_CHECKING:
    from formats.keyed.catalog import CatalogEntry

SIGNS = {"added": "+", "removed": "-", "content": "M", "attributes": "m"}


@command(app, "find", only_tells=True)
def find(
    console: Console,
    globs: Annotated[list[str], typer.Argument(metavar="GLOB", help="A glob to look for, as for --exclude.")],
    point: Annotated[
        str | None, typer.Option("--point", metavar="POINT", help="In this recovery point only.")
    ] = None,
    vault: VaultOption = None,
    disks: FromOption = None,
    machine: MachineOption = None,
    passphrase_file: PassphraseFileOption = None,
) -> None:
    """Find files in all recovery points.

    Each is listed once for every version, and where it was gone.

    Example: seed find '*.conf'
    """
    from formats.keyed.catalog import TYPES
    from seed.points.point_reader import PointReader
    from seed.source.source_rules import Patterns

    patterns = Patterns(globs)
    opened = open_points(console, vault, disks, machine, passphrase_file)
    chosen = [opened.choose(point)] if point is not None else opened.points
    known: dict[bytes, tuple[int, int, int]] = {}
    versions = 0
    for number, one in enumerate(chosen):
        met: dict[bytes, tuple[int, int, int]] = {}
        head = f"{one.manifest.point[:8]}  {moment(one.manifest.created)}"
        for entry in PointReader(opened.union, one, console).entries():
            if entry.part or not patterns.match(b"/" + entry.path):
                continue
            met[entry.path] = version = (entry.type, entry.size, entry.modified)
            if known.get(entry.path) == version:
                continue
            versions += 1
            path = "/" + os.fsdecode(entry.path)
            console.say(f"{head}  {size(entry.size):>10}  {moment(entry.mtime)}  {one_line(path)}")
            console.result(
                {
                    "point": one.manifest.point,
                    "path": path,
                    "type": TYPES[entry.type],
                    "size": entry.size,
                    "mtime_ns": entry.modified,
                }
            )
        for gone in sorted(known.keys() - met.keys()) if number else ():
            path = "/" + os.fsdecode(gone)
            console.say(f"{head}  {'gone':>10}  {'':19}  {one_line(path)}")
            console.result({"point": one.manifest.point, "path": path, "type": None})
        known = met
    if not versions:
        raise UsageError(
            "path-not-found", "nothing in the recovery points matches", subject=" ".join(globs),
            hint="a glob that begins with / is a whole path, any other the end of one, and * stops at /",
        )  # fmt: skip


@command(app, "diff", only_tells=True)
def diff(
    console: Console,
    before: Annotated[str, typer.Argument(metavar="POINT", help="The earlier recovery point.")],
    after: Annotated[str, typer.Argument(metavar="POINT", help="The later one; else the latest.")] = "latest",
    vault: VaultOption = None,
    disks: FromOption = None,
    machine: MachineOption = None,
    passphrase_file: PassphraseFileOption = None,
) -> None:
    """Compare two recovery points.

    + added, - removed, M content, m attributes.

    Example: seed diff 3f9a latest
    """
    from seed.points.diff import compare
    from seed.points.point_reader import PointReader

    opened = open_points(console, vault, disks, machine, passphrase_file)
    readers = [PointReader(opened.union, opened.choose(p), console) for p in (before, after)]
    counts = dict.fromkeys(SIGNS, 0)
    for change in compare(*readers):
        counts[change.kind] += 1
        path = "/" + os.fsdecode(change.path)
        console.say(f"{SIGNS[change.kind]} {one_line(path)}")
        console.result(
            {
                "path": path,
                "change": change.kind,
                "size_before": _size(change.before),
                "size_after": _size(change.after),
            }
        )
    total = ", ".join(
        f"{n:,} {'in ' * (kind in ('content', 'attributes'))}{kind}" for kind, n in counts.items()
    )
    console.say(f"{counted(sum(counts.values()), 'change')}: {total}")


def _size(entry: "CatalogEntry | None") -> int | None:
    return entry.size if entry is not None else None
