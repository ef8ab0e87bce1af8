"""What users write for sizes."""

import re

from formats.errors import UsageError

_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?) ?([kmgtp]?)(i?)b?\Z", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Bytes in `4TB`, `1.5 TiB`, `800m` or `1000000`; without an i, units are powers of 1,000. Raises UsageError."""
    found = _SIZE.match(text.strip())
    if found is None or (found[3] and not found[2]):
        raise UsageError("usage", "not a size", subject=text, hint="write it as 4TB, 500GB or 1.5TiB")
    power = " kmgtp".index(found[2].lower() or " ")
    return int(float(found[1]) * (1024 if found[3] else 1000) ** power)
