"""The way in which either command writes a report and confirms it."""

from pathlib import Path

from formats.shell.console import Console
from formats.shell.reports.facts import ReportPage
from formats.shell.reports.sections import waits
from formats.store.failures import told as told_of
from formats.words import counted


def write(console: Console, out: Path, told: ReportPage) -> None:
    """Write the page of a report to `out`, and print the result. Raises StoreError, MediaError."""
    with told_of(str(out)):
        out.write_text(told.html, encoding="utf-8")
    console.say(f"{counted(len(told.points), 'point')} and {counted(len(told.disks), 'disk')} in {out}")
    console.result(
        {
            "out": str(out),
            "points": len(told.points),
            "disks": len(told.disks),
            "waiting": [*waits(told.points), *told.waiting],
            "findings": console.findings_json(),
        }
    )
