"""Options of both sides for the person that gives a disk away or takes one in."""

import time
from datetime import datetime
from typing import Annotated

import typer

from formats.errors import UsageError

LONG = 500  # characters
DAY = 86_400  # seconds: a clock may be in another zone


def checked(text: str | None, most: int = 100) -> str | None:
    """Return a text that a user typed, if it may be signed and printed. Raises UsageError usage."""
    if text is not None and (len(text) > most or not text.isprintable()):
        raise UsageError(
            "usage",
            f"this is no line of at most {most} printable characters",
            subject=ascii(text[:40]),
            hint="write it in one short line",
        )
    return text


CarrierOption = Annotated[
    str | None, typer.Option("--carrier", metavar="NAME", help="The carrier that brings it.")
]
TrackingOption = Annotated[
    str | None, typer.Option("--tracking", metavar="NUMBER", help="The number under which it travels.")
]
NoteOption = Annotated[str | None, typer.Option("--note", metavar="TEXT", help="A remark to keep.")]
OnOption = Annotated[
    str | None,
    typer.Option("--on", metavar="DATE", help="When, as 2026-11-28 or 2026-11-28T14:30; else now."),
]


def parse_moment(text: str) -> int:
    """Return the seconds since 1970 of a day or time in this machine's zone.

    Raises UsageError date-unreadable.
    """
    try:
        seconds = int(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError, OSError):
        seconds = -1
    if seconds < 0:
        raise UsageError(
            "date-unreadable",
            "this is no date",
            subject=text[:100],
            hint="write it as 2026-11-28, or 2026-11-28T14:30",
        )
    if seconds > time.time() + DAY:
        raise UsageError(
            "date-unreadable", "this day is still to come", subject=text[:100], hint="say when it was; or is this machine's clock wrong?"
        )  # fmt: skip
    return seconds
