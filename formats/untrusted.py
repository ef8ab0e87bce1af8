"""Bounded reads of untrusted bytes: code here allocates no more than the input's own size justifies."""

import json
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from formats.errors import FormatError

Json = dict[str, "Json"] | list["Json"] | str | int | bool | None

DOCUMENT_SIZE_MAX = 1 << 20
DOCUMENT_DEPTH_MAX = 16
INTEGER_LIMIT = 1 << 63

# Possessive, and with or without a closing quote: one pass over any bytes. Backtracking would take quadratic time.
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_BRACKETS = re.compile(rb"[\[{}\]]")


def refuse(anchor: str, what: str, where: str) -> NoReturn:
    """Raise the `FormatError` for the rule `anchor` of SPEC.md, broken at `where`."""
    raise FormatError(
        anchor,
        what,
        subject=where,
        hint="these bytes are damaged, or no object of ours: try another cable, port or reader, or another copy; the rule "
        f"{anchor} stands in formats/SPEC.md",
    )


def encode_json(value: Json) -> bytes:
    """Return the one encoding that we write: sorted keys, no white space, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def decode_json(data: bytes, where: str, size_max: int = DOCUMENT_SIZE_MAX) -> Json:
    """Parse strict JSON (DOC-1).

    Raises FormatError for input of more than `size_max` bytes or 16 levels. It also raises it for duplicate
    keys, floats, NaN, integers of 64 bits and more, lone surrogates, and bytes that are not UTF-8.
    """
    if len(data) > size_max:
        refuse("DOC-1", f"document of {len(data)} bytes, at most {size_max} are allowed", where)
    _check_depth(data, where)

    def pairs(items: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) != len(items):
            refuse("DOC-1", "an object has one key twice", where)
        return found

    def integer(digits: str) -> int:
        if len(digits) > 20 or not -INTEGER_LIMIT < int(digits) < INTEGER_LIMIT:
            refuse("DOC-1", "an integer does not fit in 63 bits", where)
        return int(digits)

    def no_float(text: str) -> NoReturn:
        refuse("DOC-1", f"a number that is not an integer ({text[:20]})", where)

    try:
        text = data.decode("utf-8")
        value: Json = json.loads(
            text, object_pairs_hook=pairs, parse_int=integer, parse_float=no_float, parse_constant=no_float
        )
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (UnicodeError, ValueError, RecursionError) as error:
        refuse("DOC-1", f"not strict JSON ({type(error).__name__})", where)
    return value


def _check_depth(data: bytes, where: str) -> None:
    depth = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub(b"", data)):
        depth += 1 if bracket in b"[{" else -1
        if depth > DOCUMENT_DEPTH_MAX:
            refuse("DOC-1", f"nested deeper than {DOCUMENT_DEPTH_MAX} levels", where)
