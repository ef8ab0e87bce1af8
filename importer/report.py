"""The report of an import: object by object, as JSON, or as a page that a browser shows."""

import json
from collections import Counter
from html import escape
from pathlib import Path

from formats.wire import Json
from formats.words import size
from importer.receipts import Imported, Outcome

STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}
table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #8884;padding:.2rem .6rem;text-align:left;vertical-align:top}
td:first-child{font-family:monospace;word-break:break-all}.damaged,.missing,.foreign{color:#c33}
@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}}"""


def write(path: Path, results: list[Imported], summary: dict[str, Json]) -> None:
    """Write it to `path`: a page where that ends in .html. Raises OSError."""
    if path.suffix.lower() in (".html", ".htm"):
        path.write_text(_page(results), encoding="utf-8", errors="backslashreplace")
        return
    objects: list[Json] = [
        {"disk": result.disk.name, "object": name, **_shown(outcome)}
        for result in results
        for name, outcome in result.outcomes().items()
    ]
    # A disk may bear any name, UTF-8 or not: as ASCII with escapes it can be written.
    report = json.dumps({**summary, "objects": objects}, sort_keys=True)
    path.write_text(report + "\n", encoding="ascii")


def _shown(outcome: Outcome) -> dict[str, Json]:
    shown: dict[str, Json] = {"state": outcome.state}
    if outcome.size:
        shown["size"] = outcome.size
    if outcome.records:
        shown |= {"records": outcome.records, "whole_records": outcome.whole}
        shown["damaged_bytes"] = [[first, last] for first, last in outcome.damaged]
    if outcome.detail:
        shown["detail"] = outcome.detail
    return shown


def _page(results: list[Imported]) -> str:
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>Import report</title><style>{STYLE}</style><h1>Import report</h1>",
    ]
    return "".join([*parts, *map(_disk, results)]) + "</html>\n"


def _disk(result: Imported) -> str:
    label, outcomes = result.disk.label, result.outcomes()
    counts = Counter(outcome.state for outcome in outcomes.values())
    told = ", ".join(f"{number:,} {state}" for state, number in sorted(counts.items())) or "nothing to do"
    erase = "may be erased" if result.whole and result.finished else "keep it"
    rows = "".join(
        f"<tr><td>{escape(name)}<td class={outcome.state}>{outcome.state}<td>{escape(_words(outcome))}"
        for name, outcome in outcomes.items()
    )
    return (
        f"<h2>Disk {label.number} of set {escape(label.set[:8])}, {escape(label.machine_name)}</h2><p>{told}; {erase}</p>"
        f"<table><tr><th>object<th>state<th>details{rows}</table>"
    )


def _words(outcome: Outcome) -> str:
    if outcome.records:
        ranges = ", ".join(f"{first:,} to {last:,}" for first, last in outcome.damaged)
        return f"{outcome.whole:,} of {outcome.records:,} records are whole; damaged are bytes {ranges or 'of none'}"
    return outcome.detail or (size(outcome.size) if outcome.size else "")
