"""The frame of a report: one HTML file that loads nothing, light or dark by the reader's setting.

It fits a phone and a desk.
"""

import re
from collections.abc import Iterable, Sequence
from html import escape

STYLE = """
:root { color-scheme: light dark; --paper: #fbfbf9; --card: #fff; --ink: #1c1f23; --faint: #8a9099; --line: #e3e4e0;
  --c1: #2f6db3; --c2: #c1762a; --c3: #5b8c3e;
  --arrived: #4c9a5f; --unneeded: #b9bec4; --awaited: #d9b23c; --damaged: #d0652b; --missing: #b3272d }
@media (prefers-color-scheme: dark) { :root { --paper: #15181c; --card: #1e2227; --ink: #e6e8ea; --faint: #8b929b; --line: #333941;
  --c1: #6ea8e6; --c2: #e2a25c; --c3: #93c572;
  --arrived: #5fae73; --unneeded: #565d66; --awaited: #d8b648; --damaged: #e07b45; --missing: #d9484f } }
* { box-sizing: border-box } time { white-space: nowrap } h1, h2, h3, p, li, td.m { overflow-wrap: anywhere } .cards b { overflow-wrap: break-word } td.m { min-width: 5rem } body { margin: 0 auto; max-width: 60rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif } h1 { font-size: 1.5rem; margin: .5rem 0 0 } h2 { font-size: 1.1rem; margin: 0 0 .5rem }
p { margin: .3rem 0 } .about, .note { color: var(--faint) } section { background: var(--card); border: 1px solid var(--line);
  border-radius: .6rem; padding: 1rem; margin: 1rem 0; overflow-x: auto } .cards { display: grid; gap: .8rem;
  grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); margin: 1rem 0 } .cards div { background: var(--card);
  border: 1px solid var(--line); border-radius: .6rem; padding: .7rem .9rem } .cards b { display: block; font-size: 1.15rem }
.cards span { color: var(--faint); font-size: .85rem } svg.pygal-chart { width: 100%; height: auto; min-width: 34rem; color: var(--ink) }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums } th { text-align: left; font-weight: 600;
  color: var(--faint) } td, th { padding: .25rem .6rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
td.n, th.n { text-align: right } td.n, td:first-child { white-space: nowrap } td.w { white-space: normal; overflow-wrap: anywhere; min-width: 13rem } .bad { color: var(--missing); font-weight: 600 }
.map { display: flex; flex-wrap: wrap; gap: 2px; margin: .3rem 0 .8rem } .map i { width: .7rem; height: .7rem; border-radius: 2px }
.key { display: inline-flex; align-items: center; gap: .3rem; margin-right: 1rem } .key i { width: .8rem; height: .8rem; border-radius: 2px }
i.arrived { background: var(--arrived) } i.unneeded { background: var(--unneeded) } i.awaited { background: var(--awaited) }
i.damaged { background: var(--damaged) } i.missing { background: var(--missing) }
@media print { body { padding: 0; font-size: 11px } section { overflow: visible } h2, h3 { break-after: avoid } tr, svg { break-inside: avoid }
  svg.pygal-chart { min-width: 0 } td.w { min-width: 8rem } }
"""


_DATE = re.compile(r"\b\d{4}-\d\d-\d\d\b")


def as_html(text: str) -> str:
    """Return text as HTML, in which no date breaks at a hyphen."""
    return _DATE.sub(r"<time>\g<0></time>", escape(text))


def page(title: str, about: str, cards: Iterable[tuple[str, str]], sections: Iterable[str]) -> str:
    """Return the whole file. `sections` are HTML already, `about` and `cards` are not."""
    shown = "".join(
        f"<div><b>{as_html(value)}</b><span>{as_html(name)}</span></div>" for name, value in cards
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f'<h1>{as_html(title)}</h1><p class="about">{as_html(about)}</p><div class="cards">{shown}</div>'
        f"{''.join(sections)}</body></html>\n"
    )


def section(title: str, *parts: str, note: str = "") -> str:
    """Return a section of the page. `parts` are HTML already."""
    said = f'<p class="note">{as_html(note)}</p>' if note else ""
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}{said}</section>"


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table. A head with # is for numbers, with ~ for long text, with @ for names."""
    kinds = [{"#": ' class="n"', "~": ' class="w"', "@": ' class="m"'}.get(head[:1], "") for head in heads]
    top = "".join(
        f"<th{kind}>{escape(head.lstrip('#~@'))}</th>" for head, kind in zip(heads, kinds, strict=True)
    )
    body = "".join(
        f"<tr>{''.join(f'<td{k}>{as_html(str(cell))}</td>' for cell, k in zip(row, kinds, strict=True))}</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
