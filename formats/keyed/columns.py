"""Tables of plain columns: the form of a catalog behind its seal (CAT-2).

A table is its columns end to end, in their order. Three kinds of columns exist:

    numbers    all lowest bytes of the values, then all second bytes, and so on.
    ids        32 bytes each, end to end.
    strings    their lengths as a column of numbers u32, then their bytes, end to end.

So close values of numbers lie side by side, and zstd finds them.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from formats.untrusted import refuse

U8, U16, U32, U64, I64 = "<u1", "<u2", "<u4", "<u8", "<i8"
IDS = "ids"
STRINGS = "strings"
ID_SIZE = 32

Kinds = Mapping[str, str]  # the kind of each column, in their order
Numbers = npt.NDArray[Any]


def encode(kinds: Kinds, columns: Mapping[str, Any]) -> bytes:
    """Return a table. `columns` are sequences of values; ids come as their joined bytes."""
    parts: list[bytes] = []
    for name, kind in kinds.items():
        values = columns[name]
        if kind == IDS:
            parts.append(values)
        elif kind == STRINGS:
            parts.append(_split(np.fromiter(map(len, values), U32, len(values))))
            parts.append(b"".join(values))
        else:
            parts.append(_split(np.asarray(values, kind)))
    return b"".join(parts)


class Columns:
    """A reader of tables that lie end to end in `raw`, from `at` on. It copies each column at most once."""

    def __init__(self, raw: bytes, at: int, where: str) -> None:
        self._raw = memoryview(raw)
        self._at = at
        self._where = where

    def table(self, kinds: Kinds, rows: int) -> dict[str, Any]:
        """Return the columns of the next table: arrays of numbers, joined ids, lists of strings.

        Raises FormatError CAT-2 if the bytes end before the table does.
        """
        found: dict[str, Any] = {}
        for name, kind in kinds.items():
            if kind == IDS:
                found[name] = self._take(rows * ID_SIZE)
            elif kind == STRINGS:
                found[name] = self._strings(rows)
            else:
                found[name] = self._numbers(kind, rows)
        return found

    def end(self) -> None:
        """Raise FormatError CAT-2 unless nothing follows."""
        if self._at != len(self._raw):
            refuse("CAT-2", "bytes beyond the last column", self._where)

    def _numbers(self, kind: str, rows: int) -> Numbers:
        width = np.dtype(kind).itemsize
        planes = np.frombuffer(self._take(rows * width), np.uint8).reshape(width, rows)
        return np.ascontiguousarray(planes.T).view(kind).reshape(rows)

    def _strings(self, rows: int) -> list[bytes]:
        lengths = self._numbers(U32, rows)
        return cut(bytes(self._take(int(lengths.sum(dtype=np.uint64)))), lengths)

    def _take(self, size: int) -> memoryview:
        start, self._at = self._at, self._at + size
        if self._at > len(self._raw):
            refuse("CAT-2", "a column ends beyond the table", self._where)
        return self._raw[start : self._at]


def cut(data: bytes, lengths: Numbers) -> list[bytes]:
    """Return the pieces of `data` of these lengths."""
    longest = int(lengths.max(initial=0))
    if not longest:
        return [b""] * len(lengths)
    if ((lengths == longest) | (lengths == 0)).all():  # as most columns are; numpy cuts them faster
        items = iter(np.frombuffer(data, f"V{longest}").tolist())
        return [next(items) if length else b"" for length in lengths.tolist()]
    ends = accumulate(lengths.tolist(), initial=0)
    return [data[start:end] for start, end in pairwise(ends)]


def _split(values: Numbers) -> bytes:
    return np.ascontiguousarray(values).view(np.uint8).reshape(len(values), values.itemsize).T.tobytes()


def columns_of(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """Return the columns of rows, by their names."""
    return dict(zip(names, zip(*rows, strict=True) if rows else [()] * len(names), strict=True))
