"""The report of an import: object by object, as JSON, or as a page that a browser shows."""

import json
from collections import Counter
from pathlib import Path

from formats.shell.reports.page import page, section, table
from formats.untrusted import Json
from formats.words import counted, size
from importer.intake.import_result import ImportResult, ObjectOutcome


def write(path: Path, results: list[ImportResult], summary: dict[str, Json]) -> None:
    """Write the report to `path`: as a page if the path ends in .html, else as JSON. Raises OSError."""
    if path.suffix.lower() in (".html", ".htm"):
        path.write_text(_page(results), encoding="utf-8", errors="backslashreplace")
        return
    objects: list[Json] = [
        {"disk": result.disk.name, "object": name, **_shown(outcome)}
        for result in results
        for name, outcome in result.outcomes().items()
    ]
    # A disk may have any name, UTF-8 or not: as ASCII with escapes it can be written.
    report = json.dumps({**summary, "objects": objects}, sort_keys=True)
    path.write_text(report + "\n", encoding="ascii")


def _shown(outcome: ObjectOutcome) -> dict[str, Json]:
    shown: dict[str, Json] = {"state": outcome.state}
    if outcome.size:
        shown["size"] = outcome.size
    if outcome.records:
        shown |= {"records": outcome.records, "whole_records": outcome.whole}
        shown["damaged_bytes"] = [[first, last] for first, last in outcome.damaged]
    if outcome.detail:
        shown["detail"] = outcome.detail
    return shown


def _page(results: list[ImportResult]) -> str:
    counts = Counter(outcome.state for result in results for outcome in result.outcomes().values())
    cards = [(state, f"{number:,}") for state, number in sorted(counts.items())]
    return page("Import report", counted(len(results), "disk"), cards, map(_disk, results))


def _disk(result: ImportResult) -> str:
    label = result.disk.label
    erase = "may be erased" if result.whole and result.finished else "keep it"
    rows = [(name, outcome.state, _words(outcome)) for name, outcome in result.outcomes().items()]
    title = f"Disk {label.number} of set {label.set[:8]}, {label.machine_name}: {erase}"
    return section(
        title, table(("~object", "state", "~details"), rows) if rows else "<p>There was nothing to do.</p>"
    )


def _words(outcome: ObjectOutcome) -> str:
    if outcome.records:
        ranges = ", ".join(f"{first:,} to {last:,}" for first, last in outcome.damaged)
        return f"{outcome.whole:,} of {outcome.records:,} records are whole; damaged are bytes {ranges or 'of none'}"
    return outcome.detail or (size(outcome.size) if outcome.size else "")
