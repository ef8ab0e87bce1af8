"""Parquet as the catalog uses it, so plain that no table takes more memory than its bytes (CAT-2).

Parquet can unpack without bound: a page states its own unpacked length, a dictionary repeats one long value
in every row, and nothing enforces the footer's totals. An attacker that has taken over a machine has its key,
and can seal anything. So a reader accepts only pages that are as long as their values, stored one by one or
byte by byte. It walks the heads of the pages before Parquet's own reader sees them, because that reader
relies on these heads. The tables are not compressed: the record around a table compresses it as a whole.

The heads are structs in Thrift's compact protocol (thrift-compact-protocol.md in apache/thrift); their fields
are those of parquet.thrift in apache/parquet-format.
"""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from formats.untrusted import refuse

_PAGE_SIZE = 64 << 20  # above any table: one page a column
_PLAIN, _RLE, _SPLIT = 0, 3, 9
_DATA_PAGE = 0
_FOOTER_LIST_MAX = 10_000  # the most elements in a list of the footer
_FOOTER_TEXT_MAX = 1 << 20
_DEPTH_MAX = 8
_TRUE, _FALSE, _BYTE, _BINARY, _LIST, _STRUCT = 1, 2, 3, 8, 9, 12
_INTEGERS = (4, 5, 6)
# The fields of FileMetaData, RowGroup, ColumnChunk and ColumnMetaData in parquet.thrift that our writer writes.
_FOOTER, _GROUP, _CHUNK = {1, 2, 3, 4, 6, 7}, {1, 2, 3, 5, 6}, {2, 3}
_COLUMN = {1, 2, 3, 4, 5, 6, 7, 9, 13}
_INDEX, _COUNTS = {4, 5, 6, 7}, {12, 16}  # fields of other writers: an index of pages, statistics, sizes


def write(table: pa.Table, split: Sequence[str] = ()) -> bytes:
    """Return a table without nulls, of at most some thousand rows, as Parquet.

    Integers that are `split` into their bytes compress better.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        compression="none",
        use_dictionary=False,
        column_encoding=dict.fromkeys(split, "BYTE_STREAM_SPLIT") or None,
        write_statistics=False,
        store_schema=False,
        row_group_size=max(table.num_rows, 1),
        data_page_size=_PAGE_SIZE,
    )
    return bytes(sink.getvalue())


def read(
    data: memoryview, schema: pa.Schema, rows: int, where: str, names: Sequence[str] | None = None
) -> pa.Table:
    """Return the columns called `names`, or all, of a table of `schema` that has `rows`.

    Raises FormatError CAT-2.
    """
    try:
        for column in _columns(data, where):
            _check_pages(data, column, rows, where)
        file = pq.ParquetFile(
            pa.py_buffer(data),
            thrift_string_size_limit=_FOOTER_TEXT_MAX,
            thrift_container_size_limit=_FOOTER_LIST_MAX,
        )
        found = file.metadata
        if found.num_rows != rows or found.num_row_groups > 1 or not file.schema_arrow.equals(schema):
            refuse("CAT-2", "the table differs from its head", where)
        table = file.read(columns=names, use_threads=False)
        table.validate(full=True)  # text that is no UTF-8 would fail later, at an unexpected place
    except (OSError, ValueError, pa.ArrowException) as error:
        refuse("CAT-2", f"not a readable table ({type(error).__name__})", where)
    if table.num_rows != rows or any(column.null_count for column in table.columns):
        refuse("CAT-2", "the table differs from its head", where)
    return table


def _columns(data: memoryview, where: str) -> list[dict[int, Any]]:
    """Return the footer's description of each column, if our own writer could have written it.

    With another description Parquet's reader may end the process, for example because of an unknown codec.
    Raises FormatError, ValueError.
    """
    size = int.from_bytes(data[-8:-4], "little")
    if len(data) < size + 12 or bytes(data[-4:]) != b"PAR1":
        refuse("CAT-2", "no table, by its end", where)
    footer, end = _struct(data[len(data) - 8 - size : -8], 0)
    groups = footer.get(4)
    if end != size or not footer.keys() <= _FOOTER or not isinstance(groups, list) or len(groups) > 1:
        refuse("CAT-2", "the footer is none of ours", where)
    found = []
    for group in groups:
        columns = group.get(1) if isinstance(group, dict) and group.keys() <= _GROUP else None
        for chunk in columns if isinstance(columns, list) else [None]:
            column = (
                chunk.get(3)
                if isinstance(chunk, dict) and _CHUNK <= chunk.keys() <= _CHUNK | _INDEX
                else None
            )
            if not isinstance(column, dict) or not _COLUMN <= column.keys() <= _COLUMN | _COUNTS:
                refuse("CAT-2", "a column is described as none of ours", where)
            sizes = column.get(16, {})
            counts = (
                isinstance(sizes, dict) and sizes.keys() <= {1, 2, 3} and not (sizes.get(2) or sizes.get(3))
            )
            if column[4] != 0 or not counts:
                refuse("CAT-2", "a column is compressed, or counts what there is not", where)
            found.append(column)
    return found


def _check_pages(data: memoryview, column: dict[int, Any], rows: int, where: str) -> None:
    """Check that a column lies in plain pages that hold its rows and nothing else.

    Raises FormatError, ValueError.
    """
    start, length, values = column[9], column[7], column[5]
    if not all(isinstance(number, int) for number in (start, length, values)):
        refuse("CAT-2", "a column has no place", where)
    end = start + length
    if length != column[6] or values != rows or not 0 <= start <= end <= len(data):
        refuse("CAT-2", "a column is compressed, or not as long as the table", where)
    at = values = 0
    pages = data[start:end]
    while at < len(pages):
        head, at = _struct(pages, at)
        page = head.get(5)
        if head.get(1) != _DATA_PAGE or head.get(2) != head.get(3) or not isinstance(page, dict):
            refuse("CAT-2", "a page is compressed, or none of data", where)
        if page.get(2) not in (_PLAIN, _SPLIT) or (page.get(3), page.get(4)) != (_RLE, _RLE):
            refuse("CAT-2", "a page is encoded", where)
        size, count = head.get(2), page.get(1)
        if not isinstance(size, int) or not isinstance(count, int) or size < 0 or not 0 <= count <= rows:
            refuse("CAT-2", "a page is longer than the table", where)
        at += size
        values += count
    if (at, values) != (len(pages), rows):
        refuse("CAT-2", "the pages of a column are not its rows", where)


def _struct(data: memoryview, at: int, depth: int = 0) -> tuple[dict[int, Any], int]:
    """Return a struct's fields by id, and where it ends. Raises ValueError.

    The values are the integers, lists and inner structs. Any other value is None.
    """
    if depth > _DEPTH_MAX:
        raise ValueError("structs in structs")
    found: dict[int, Any] = {}
    number = 0
    while (head := _byte(data, at)) != 0:
        at += 1
        step, kind = head >> 4, head & 15
        if step:
            number += step
        else:
            number, at = _integer(data, at)
        if number in found:
            raise ValueError("a field twice")
        value: Any = None
        if kind in _INTEGERS:
            value, at = _integer(data, at)
        elif kind == _STRUCT:
            value, at = _struct(data, at, depth + 1)
        elif kind == _LIST:
            value, at = _list(data, at, depth + 1)
        elif kind == _BINARY:
            size, at = _varint(data, at)
            at += size
        elif kind == _BYTE:
            at += 1
        elif kind not in (_TRUE, _FALSE):
            raise ValueError("a kind of field that no page has")
        found[number] = value
    return found, at + 1


def _list(data: memoryview, at: int, depth: int) -> tuple[list[Any], int]:
    """Return the elements of a list, and where it ends. Raises ValueError."""
    head, at = _byte(data, at), at + 1
    count, kind = head >> 4, head & 15
    if count == 15:
        count, at = _varint(data, at)
    if count > _FOOTER_LIST_MAX:
        raise ValueError("a list without end")
    found: list[Any] = []
    for _ in range(count):
        value: Any = None
        if kind in _INTEGERS:
            value, at = _integer(data, at)
        elif kind == _STRUCT:
            value, at = _struct(data, at, depth)
        elif kind == _BINARY:
            size, at = _varint(data, at)
            at += size
        else:
            raise ValueError("a kind of element that no list has")
        found.append(value)
    return found, at


def _integer(data: memoryview, at: int) -> tuple[int, int]:
    raw, at = _varint(data, at)
    return (raw >> 1) ^ -(raw & 1), at


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = _byte(data, at)
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("an integer without end")


def _byte(data: memoryview, at: int) -> int:
    if at >= len(data):
        raise ValueError("the end of the data")
    return data[at]
