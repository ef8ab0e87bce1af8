"""Text in the space of a label: smaller, on several lines, at last squeezed, and never cut nor over the edge.

The font of the printer is unknown. Letters count as wide as those of the widest usual font, DejaVu Sans.
"""

import unicodedata
from html import escape

SMALLEST = 1.8  # millimetres: the smallest readable letters
LESS = 0.72  # share of its height that one line keeps, before the text takes several
STEP = 0.1
BREAKS = " .-_/,"
LEAP = 1.4  # from line to line, as a share of the height
NARROW, WIDE = "fijlrtI.,:;'|!()[]/- ", "mwMW@%—…"


def lines(
    y: float, height: float, text: str, width: float, most: int = 1, *, bold: bool = False
) -> tuple[str, float]:
    """Return `text` as SVG, on at most `most` lines from `y` on, no higher than `height`.

    Return also the place of the next line.
    """
    size, smallest = height, height * LESS if most > 1 else SMALLEST
    while (parts := _broken(text, size, width, bold))[1:] and size > smallest:
        size = max(size - STEP, smallest)
    while (parts := _broken(text, size, width, bold))[most:] and size > SMALLEST:
        size = max(size - STEP, SMALLEST)
    if parts[most:]:
        each = -(-len(text) // most)
        parts = [text[at : at + each] for at in range(0, len(text), each)]
    shown = ""
    for part in parts:
        squeezed = (
            ""
            if wide(part, bold) * size <= width
            else f' textLength="{width:g}" lengthAdjust="spacingAndGlyphs"'
        )
        weight = "bold" if bold else "normal"
        shown += f'<text x="4" y="{y:.4g}" font-size="{size:.2f}" font-weight="{weight}"{squeezed}>{escape(part)}</text>'
        y += LEAP * size
    return shown, y


def wide(text: str, bold: bool = False) -> float:
    """Return the greatest width of a text, for letters of height 1."""
    return sum(map(_letter, text)) * (1.13 if bold else 1.0)


def _letter(letter: str) -> float:
    if unicodedata.combining(letter):
        return 0.0
    if letter in NARROW:
        return 0.42
    if letter in WIDE or unicodedata.east_asian_width(letter) in "WF":
        return 1.03
    if not letter.isascii():
        return 0.95
    return 0.84 if letter.isupper() or not letter.isalnum() else 0.65


def _broken(text: str, size: float, width: float, bold: bool) -> list[str]:
    """Return the lines of a text at a size.

    Each breaks behind a space or mark in its last third, else anywhere.
    """
    found = []
    while text:
        end = len(text)
        while end > 1 and wide(text[:end], bold) * size > width:
            end -= 1
        if end < len(text):
            mark = max(text.rfind(mark, 0, end) for mark in BREAKS) + 1
            end = mark if mark > 2 * end // 3 else end
        found.append(text[:end])
        text = text[end:]
    return found or [""]
