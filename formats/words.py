"""Numbers, sizes, times and names in a form for people."""

import time
from collections.abc import Sequence


def printable(text: str) -> str:
    """Return `text` as a terminal may show it.

    So a file name cannot move the cursor, nor break a line or an encoding.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in text)


def _escaped(c: str) -> str:
    if 0xDC80 <= ord(c) <= 0xDCFF:
        return f"\\x{ord(c) - 0xDC00:02x}"
    return c.encode("unicode_escape").decode("ascii")


def one_line(text: str) -> str:
    """Return `text` as `printable` does, with escaped newlines too."""
    return printable(text).replace("\n", "\\n")


def size(count: float) -> str:
    """Return a number of bytes for people, such as `1.4 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1023.95:  # from here on, one decimal would read 1024.0
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.2f} TiB"


def percent(share: float) -> str:
    """Return a share, 0 to 1, as a percentage. Only all reads `100%`, and only nothing reads `0%`."""
    if share in (0, 1):
        return f"{share:.0%}"
    return f"{min(max(share, 0.001), 0.999):.1%}" if 0 < share < 1 else f"{share:.1%}"


def lasting(seconds: float) -> str:
    """Return a time span as people say it: `40 s`, `3.5 min`, `7.2 h`, `12 days`."""
    for unit, length, limit in (("s", 1, 100), ("min", 60, 100 * 60), ("h", 3600, 48 * 3600)):
        if seconds < limit:
            return f"{_three_figures(seconds / length)} {unit}"
    return f"{_three_figures(seconds / 86_400)} days"


def _three_figures(number: float) -> str:
    return f"{number:.1f}" if number < 10 else f"{number:,.0f}"


def counted(count: int, noun: str) -> str:
    """Return a number and its noun: `1 file`, `2 files`, `3 entries`, `4 days`."""
    if count == 1:
        return f"1 {noun}"
    changes = noun.endswith("y") and noun[-2:-1] not in "aeiou"
    return f"{count:,} {noun[:-1]}ies" if changes else f"{count:,} {noun}s"


def moment(seconds: int) -> str:
    """Return a time in this machine's zone."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    except (OverflowError, OSError, ValueError):
        return f"@{seconds}"


def instant(seconds: int) -> str:
    """Return `moment` with the zone's name, for times that two people compare by telephone."""
    try:
        return f"{moment(seconds)} {time.strftime('%Z', time.localtime(seconds))}"
    except (OverflowError, OSError, ValueError):
        return moment(seconds)


def listed(numbers: Sequence[int]) -> str:
    """Return the numbers as a list in words: `1`, or `1, 2 and 3`."""
    shown = [str(n) for n in numbers]
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]])) if shown else "none"


def numbered(noun: str, numbers: Sequence[int]) -> str:
    """Return a noun with its numbers: `disk 1`, or `disks 1, 2 and 3`."""
    return f"{noun}{'s' * (len(numbers) > 1)} {listed(numbers)}"
