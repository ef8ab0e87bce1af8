"""Strict JSON: a reader gets the written value, every trap is DOC-1, and no input takes time squared."""

import json
import time
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.errors import FormatError
from formats.untrusted import (
    DOCUMENT_DEPTH_MAX,
    DOCUMENT_SIZE_MAX,
    INTEGER_LIMIT,
    Json,
    decode_json,
    encode_json,
)
from tests.tables.flaws import outcome

REFUSED = (FormatError, "DOC-1")


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


TRAPS: dict[str, bytes] = {
    "nothing": b"",
    "white space": b" \n",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": "{}".encode("utf-16"),
    "Latin-1": '{"a":"é"}'.encode("latin-1"),
    "an overlong character": b'"\xc0\x80"',
    "a lone surrogate": b'"\xed\xa0\x80"',
    "a lone surrogate in a key": b'{"\xed\xb0\x80":1}',
    "a lone surrogate, escaped": b'{"a":"\\ud800"}',
    "a low surrogate first, escaped": b'["\\udc00\\ud800"]',
    "a lone surrogate in a key, escaped": b'{"\\ud800":1}',
    "half a pair, escaped": b'"\\ud83d\\u0041"',
    "a key twice": b'{"a":1,"a":1}',
    "a key twice, once escaped": b'{"a":1,"\\u0061":2}',
    "a key twice, deep": b'{"a":[{"b":{"c":1,"c":2}}]}',
    "NaN": b"NaN",
    "NaN inside": b'{"a":NaN}',
    "infinity": b"[Infinity]",
    "minus infinity": b"[-Infinity]",
    "a fraction": b"1.5",
    "a whole number with a fraction": b"1.0",
    "an exponent": b"1e3",
    "a huge exponent": b"1e400",
    "a small exponent": b"[1E-400]",
    "2^63": b"9223372036854775808",
    "-2^63": b"-9223372036854775808",
    "an integer of 21 digits": b"[100000000000000000000]",
    "an integer of a million digits": b"9" * 1_000_000,
    "a leading zero": b"01",
    "a plus": b"+1",
    "hexadecimal": b"0x10",
    "17 arrays": nested(17),
    "17 objects": b'{"a":' * 17 + b"1" + b"}" * 17,
    "a thousand arrays": nested(1000),
    "arrays without end": b"[" * DOCUMENT_SIZE_MAX,
    "junk after": b"{}x",
    "a second value": b"{} {}",
    "a NUL after": b"{}\0",
    "a comma too many": b"[1,]",
    "a comma too many in an object": b'{"a":1,}',
    "a comment": b"/**/{}",
    "single quotes": b"{'a':1}",
    "a raw newline in a string": b'"a\nb"',
    "a raw NUL in a string": b'"\0"',
    "a bad escape": b'"\\x41"',
    "half an escape": b'"\\u12"',
    "a string without end": b'"abc',
    "a backslash at the end": b'"abc\\',
    "a key that is no string": b"{1:2}",
    "True": b"True",
    "undefined": b"undefined",
    "too many bytes": b'"' + b"a" * DOCUMENT_SIZE_MAX + b'"',
}


@pytest.mark.parametrize("trap", TRAPS)
def test_every_trap_is_refused(trap: str) -> None:
    assert outcome(decode_json, TRAPS[trap], "here") == REFUSED


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b' {"a" : [ ] }\r\n\t', {"a": []}),
        (b"9223372036854775807", INTEGER_LIMIT - 1),
        (b"-9223372036854775807", 1 - INTEGER_LIMIT),
        (b'"\\ud83d\\ude00 \\u0000\\/"', "\U0001f600 \0/"),
        (nested(DOCUMENT_DEPTH_MAX), None),
        (b'["[[[[[[[[[[[[[[[[[[[[", "\\"[[[[[[[[[[[[[[[["]', ["[" * 20, '"' + "[" * 16]),
        (b"null", None),
        ('{"é":"\U0001f600"}'.encode(), {"é": "\U0001f600"}),
    ],
)
def test_what_is_strict_is_read(data: bytes, value: Json) -> None:
    read = decode_json(data, "here")
    assert value is None or read == value


def test_the_size_is_the_callers_to_choose() -> None:
    data = b'"' + b"a" * 98 + b'"'
    assert decode_json(data, "here", 100) == "a" * 98
    assert outcome(decode_json, data, "here", 99) == REFUSED
    assert decode_json(b" " * (DOCUMENT_SIZE_MAX - 2) + b"{}", "here") == {}


def test_errors_name_the_object() -> None:
    with pytest.raises(FormatError) as caught:
        decode_json(b"1.5", "label")
    assert caught.value.subject == "label"
    assert "DOC-1" in caught.value.hint


@pytest.mark.parametrize(
    "data",
    [b'"' + b'\\"' * 520_000, b'"' * (1 << 20), b'\\"' * (1 << 19), b'"\\' * (1 << 19), b"[{" * (1 << 19)],
)
def test_no_input_takes_time_squared(data: bytes) -> None:
    """Read a mebibyte of quotes in linear time: once each of them began a search to the end, for hours."""
    start = time.process_time()  # of this process alone, for the machine may be busy
    assert outcome(decode_json, data[:DOCUMENT_SIZE_MAX], "here") == REFUSED
    assert time.process_time() - start < 5


def test_the_one_encoding() -> None:
    value: Json = {"b": [1, -1, True, None], "a": {"é\U0001f600": '"\\\b\t\n\f\r\0\x1f\x7f/'}, "A": ""}
    assert encode_json(value) == (
        '{"A":"","a":{"é\U0001f600":"\\"\\\\\\b\\t\\n\\f\\r\\u0000\\u001f\x7f/"},"b":[1,-1,true,null]}'.encode()
    )
    assert (
        encode_json({"\U0001f600": 1, "\uffff": 2}) == '{"\uffff":2,"\U0001f600":1}'.encode()
    )  # by code point


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(1 - INTEGER_LIMIT, INTEGER_LIMIT - 1) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(value=values)
def test_what_was_written_comes_back(value: Json) -> None:
    assert decode_json(encode_json(value), "here") == value
    assert decode_json(json.dumps(value, indent=2).encode(), "here") == value
    assert encode_json(decode_json(encode_json(value), "here")) == encode_json(value)


@given(
    data=st.binary(max_size=60)
    | st.text('[]{}":,\\u0019eE.-+ntf d\ud800é', max_size=60).map(
        lambda t: t.encode("utf-8", "surrogatepass")
    )
)
def test_any_bytes_give_a_value_or_doc_1(data: bytes) -> None:
    try:
        value = decode_json(data, "here")
    except FormatError as error:
        assert error.code == "DOC-1"
    else:
        assert decode_json(encode_json(value), "here") == value


@given(text=st.text('[]{}"\\', max_size=40))
def test_the_depth_is_counted_as_a_parser_counts_it(text: str) -> None:
    """Count no brackets in strings, in any notation of the string."""
    value = cast(Json, [text] * 2)
    assert decode_json(json.dumps(value).encode(), "here") == value
    for _ in range(DOCUMENT_DEPTH_MAX - 1):
        value = [value]
    assert decode_json(json.dumps(value).encode(), "here") == value
    assert outcome(decode_json, json.dumps([value]).encode(), "here") == REFUSED
