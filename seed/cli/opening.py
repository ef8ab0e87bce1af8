"""The points in a vault or on disks, opened by a home or a passphrase alone, for the commands that read them."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from formats.errors import UsageError
from formats.shell.console import Console
from seed.cli.app import access_here, home_if_any, with_passphrase

if TYPE_CHECKING:
    from seed.points.layered_store import LayeredStore
    from seed.points.machine_keys import Machine
    from seed.points.points import Point

FromOption = Annotated[
    list[Path] | None, typer.Option("--from", metavar="DISK", help="Read from this disk; may be repeated.")
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
