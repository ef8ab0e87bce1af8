"""Parquet as the catalog uses it, so plain that no table takes more memory than its bytes (CAT-2).

Parquet can unpack without bound: a page says how long it is unpacked, a dictionary repeats one long value in every row, and the
footer's totals bind nobody. Whoever has taken over a machine has its key, and seals what he likes. So a reader lets
through only pages that are as long as their values, which lie there one by one or byte by byte: it walks their heads, which are what Parquet's own reader goes
by, before that one sees them. What compresses is compressed as a whole, by the record around it.

The heads are structs in Thrift's compact protocol (thrift-compact-protocol.md in apache/thrift); their fields are those of
parquet.thrift in apache/parquet-format.
"""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from formats.wire import refuse

_PAGE_SIZE = 64 << 20  # above any table: one page a column
_PLAIN, _RLE, _SPLIT = 0, 3, 9
_DATA_PAGE = 0
_FOOTER_LIST_MAX = 10_000  # of what lists the footer may hold
_FOOTER_TEXT_MAX = 1 << 20
_DEPTH_MAX = 4
_TRUE, _FALSE, _BYTE, _BINARY, _STRUCT = 1, 2, 3, 8, 12
_INTEGERS = (4, 5, 6)


def write(table: pa.Table, split: Sequence[str] = ()) -> bytes:
    """A table without nulls, of at most some thousand rows. Integers that are `split` into their bytes compress better."""
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
    """The columns called `names`, or all, of a table of `schema` that has `rows`. Raises FormatError CAT-2."""
    try:
        file = pq.ParquetFile(
            pa.py_buffer(data),
            thrift_string_size_limit=_FOOTER_TEXT_MAX,
            thrift_container_size_limit=_FOOTER_LIST_MAX,
        )
        found = file.metadata
        if found.num_rows != rows or found.num_row_groups > 1 or not file.schema_arrow.equals(schema):
            refuse("CAT-2", "the table differs from its head", where)
        for group in range(found.num_row_groups):
            for number in range(found.num_columns):
                _check_pages(data, found.row_group(group).column(number), rows, where)
        table = file.read(columns=names, use_threads=False)
        table.validate(full=True)  # text that is no UTF-8 would fail later, where nobody expects it
    except (OSError, ValueError, pa.ArrowException) as error:
        refuse("CAT-2", f"not a readable table ({type(error).__name__})", where)
    if table.num_rows != rows or any(column.null_count for column in table.columns):
        refuse("CAT-2", "the table differs from its head", where)
    return table


def _check_pages(data: memoryview, column: Any, rows: int, where: str) -> None:
    """That a column lies in plain pages which hold its rows and nothing else. Raises FormatError, ValueError."""
    start, end = column.data_page_offset, column.data_page_offset + column.total_compressed_size
    # Not by `column.compression`: to name a codec that is none, Parquet's reader ends the process.
    plain = column.total_compressed_size == column.total_uncompressed_size and not column.has_dictionary_page
    if not plain or column.num_values != rows or not 0 <= start <= end <= len(data):
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
    """A struct's fields by id, and where it ends: integers, and structs in it; of other values only that they are there.

    Raises ValueError.
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
        elif kind == _BINARY:
            size, at = _varint(data, at)
            at += size
        elif kind == _BYTE:
            at += 1
        elif kind not in (_TRUE, _FALSE):
            raise ValueError("a kind of field that no page has")
        found[number] = value
    return found, at + 1


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
