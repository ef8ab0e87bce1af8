"""The command `seed plan`."""

import os
import random
from typing import TYPE_CHECKING, Annotated

import typer

from formats.errors import UsageError
from formats.shell.console import Console, command
from formats.untrusted import Json
from formats.words import counted, lasting, percent, size
from seed.cli.app import app, home_if_any
from seed.cli.exports import (
    ExcludeCachesOption,
    ExcludeFromOption,
    ExcludeOption,
    LevelOption,
    OneFileSystemOption,
    left_out,
    notice_not_root,
)
from seed.cli.notations import parse_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from seed.home.home import Home, LeftOut
    from seed.home.items import Scope
    from seed.plan.estimate import Estimate, Plan
    from seed.plan.sampling.sample import SampleResult
    from seed.plan.sampling.share import Share

COURIER_DAYS = 2.0
ADVICE = {
    "ship": "send disks: the line would take {upload}, the disks are there and imported after {travel}",
    "send": "no disks are needed: `seed backup` over the network takes {upload}, disks would take {travel}",
    "either": "both take about as long: {upload} by the line, {travel} by disks",
}


@command(app, "plan")
def plan(
    console: Console,
    paths: Annotated[list[str] | None, typer.Argument(metavar="PATH", help="Paths to back up.")] = None,
    uplink: Annotated[
        str | None,
        typer.Option("--uplink", metavar="RATE", help="The speed of the line to the vault, as 20mbit."),
    ] = None,
    disk_size: Annotated[
        str | None, typer.Option("--disk-size", metavar="SIZE", help="How large the disks are, as 4TB.")
    ] = None,
    courier_days: Annotated[
        float, typer.Option("--courier-days", min=0, max=1000, metavar="N", help="How long a parcel takes.")
    ] = COURIER_DAYS,
    exclude: ExcludeOption = None,
    exclude_from: ExcludeFromOption = None,
    one_file_system: OneFileSystemOption = False,
    exclude_caches: ExcludeCachesOption = False,
    level: LevelOption = 3,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Read all large files, to find their common parts.")
    ] = False,
) -> None:
    """Estimate a seed: its size, disks and time.

    It also says whether to send disks at all.

    Example: seed plan /srv --uplink 20mbit --disk-size 4TB
    """
    from formats.keyed.chunking import USUAL
    from seed.home.throttle import parse_bits
    from seed.plan.estimate import plan as planned
    from seed.plan.sampling.sample import Sample
    from seed.source.system import Walk

    rate = None if uplink is None else float(parse_bits(uplink))
    if rate == 0:
        raise UsageError("rate-unreadable", "nothing goes over such a line", subject=uplink or "", hint="say it as 20mbit")  # fmt: skip
    size_of_disk = None if disk_size is None else parse_size(disk_size)
    if size_of_disk == 0:
        raise UsageError("usage", "no disk is so small", subject=disk_size or "", hint="say it as 4TB")
    home = home_if_any(console, "plan")
    scope = _scope(home, paths or [], left_out(exclude, exclude_from, one_file_system, exclude_caches))
    notice_not_root(console)
    sample = Sample(USUAL, random.Random(), level, thorough)  # noqa: S311  a sample, no secret
    with console.working("plan"):
        sample.take_in(Walk(scope.items, scope.rules(_own(home)), console), console)
        sampled = sample.look(console)
    made = planned(
        sampled,
        processors=os.cpu_count() or 1,
        uplink=rate,
        disk_size=size_of_disk,
        courier_days=courier_days,
    )
    _say(console, sampled, made, courier_days)
    console.result(_told(console, sampled, made))


def _scope(home: "Home | None", paths: list[str], without: "LeftOut") -> "Scope":
    """Return the named paths, else the paths that this machine backs up. Raises UsageError."""
    from seed.home.items import Scope, choose_scope, in_any_folder, located

    if home is not None:
        return choose_scope(home, paths, without, once=True)
    if not paths:
        raise UsageError(
            "nothing-to-back-up", "no path was named", hint="name the paths to back up, as /srv /etc"
        )
    return Scope(located(paths), in_any_folder(without), once=True)


def _own(home: "Home | None") -> set[tuple[int, int]]:
    from seed.home.items import own_folders

    return set() if home is None else own_folders(home, home.identity.address)


def _say(console: Console, sampled: "SampleResult", made: "Plan", courier_days: float) -> None:
    from seed.plan.estimate import span

    there = sampled.population
    console.say(
        f"There is       {counted(there.files, 'file')}, {size(there.bytes)}; {counted(there.entries, 'entry')} in all"
    )
    console.say(
        f"  duplicates   {_percent(sampled.content.duplicate)}; the rest is stored in "
        f"{_percent(sampled.content.stored)} of its size"
    )
    console.say(
        f"  seed         {_about(made.seed, size)}"
        + (
            ""
            if sampled.through
            else "; less where large files are alike in parts: --thorough reads them and says"
        )
    )
    console.say(
        f"  disks        {', '.join(f'{span(n)} of {_terabytes(each)}' for each, n in made.disks.items())}"
    )
    console.say(
        f"  prepare      {_about(made.prepare, lasting)} to read, compress and seal all, if no disk lets it wait"
    )
    for name, seconds in made.export.items():
        console.say(
            f"  export       {_about(seconds, lasting)} onto {name}; several written at once take less"
        )
    for rate, seconds in made.upload.items():
        console.say(f"  by the line  {_about(seconds, lasting)} at {rate / 1e6:g} Mbit/s")
    console.say(
        f"  by disks     {_about(made.travel, lasting)}: export, {courier_days:g} days of courier, import"
    )
    if made.advice:
        (upload,) = made.upload.values()
        words = ADVICE[made.advice].format(upload=lasting(upload.of), travel=lasting(made.travel.of))
        console.say(f"Advice         {words}")
    else:
        console.say("Give the speed of the line, as --uplink 20mbit, to get an advice.")


def _about(estimate: "Estimate", shown: "Callable[[float], str]") -> str:
    return f"{shown(estimate.of)} ± {shown(estimate.error)}" if estimate.error else shown(estimate.of)


def _percent(share: "Share") -> str:
    from seed.plan.estimate import CERTAIN

    return f"{percent(share.of)} ± {percent(CERTAIN * share.error)}" if share.error else percent(share.of)


def _terabytes(size_of_disk: int) -> str:
    """Return a disk's size as its box shows it."""
    unit, power = ("TB", 12) if size_of_disk >= 10**12 else ("GB", 9) if size_of_disk >= 10**9 else ("MB", 6)
    return f"{size_of_disk / 10**power:g} {unit}"


def _told(console: Console, sampled: "SampleResult", made: "Plan") -> Json:
    there = sampled.population
    return {
        "entries": there.entries,
        "files": there.files,
        "file_bytes": there.bytes,
        "duplicate": _share(sampled.content.duplicate),
        "stored": _share(sampled.content.stored),
        "read_through": sampled.through,
        "seed_bytes": _interval(made.seed),
        "disks": [
            {"bytes": each, "least": least, "most": most} for each, (least, most) in made.disks.items()
        ],
        "prepare_seconds": _interval(made.prepare),
        "export_seconds": {name: _interval(seconds) for name, seconds in made.export.items()},
        "upload_seconds": [
            {"bits": round(rate), **_interval(seconds)} for rate, seconds in made.upload.items()
        ],
        "travel_seconds": _interval(made.travel),
        "advice": made.advice or None,
        "findings": console.findings_json(),
    }


def _interval(estimate: "Estimate") -> dict[str, Json]:
    return {"estimate": round(estimate.of), "low": round(estimate.low), "high": round(estimate.high)}


def _share(share: "Share") -> Json:
    """Return a share and its standard error in millionths."""
    return {"ppm": round(share.of * 1e6), "standard_error_ppm": round(share.error * 1e6)}
