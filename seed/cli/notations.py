"""The notations of users for sizes and for disks."""

import re

from formats.errors import UsageError

_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?) ?([kmgtp]?)(i?)b?\Z", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Return the bytes in `4TB`, `1.5 TiB`, `800m` or `1000000`. Raises UsageError.

    Without an i, units are powers of 1,000.
    """
    found = _SIZE.match(text.strip())
    if found is None or (found[3] and not found[2]):
        raise UsageError("usage", "not a size", subject=text, hint="write it as 4TB, 500GB or 1.5TiB")
    power = " kmgtp".index(found[2].lower() or " ")
    return int(float(found[1]) * (1024 if found[3] else 1000) ** power)


def parse_disks(disks: list[str]) -> tuple[str, set[int]]:
    """Return the set that the user means, and the numbers of its disks. Raises UsageError."""
    sets, numbers = set(), set()
    for text in disks:
        wanted, slash, number = text.rpartition("/")
        if not slash or not (number.isascii() and number.isdecimal()) or len(number) > 4:
            raise UsageError(
                "usage", "a disk is named by its set and its number", subject=text,
                hint="write SET/N, as 5f0c1a2b/2; `seed status` shows both",
            )  # fmt: skip
        sets.add(wanted)
        numbers.add(int(number))
    if len(sets) != 1:
        raise UsageError(
            "usage", "these disks are of several sets", subject=" ".join(disks),
            hint="run the command once for each set",
        )  # fmt: skip
    return sets.pop(), numbers
