"""Documents as records: members have their forms, unknown ones are kept, critical ones must be known."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.documents.codec import (
    Codec,
    Document,
    Record,
    blob,
    choice,
    flag,
    hexed,
    integer,
    many,
    member,
    nested,
    optional,
    text,
)
from formats.errors import FormatError
from formats.untrusted import INTEGER_LIMIT, Json, decode_json, encode_json
from tests.effort import examples
from tests.formats.test_wire import values
from tests.tables.flaws import outcome
from tests.vectors.documents import samples

SAMPLES = samples()
KINDS = sorted(SAMPLES)
REFUSED = (FormatError, "DOC-2")


class Inner(Record):
    size: int = member(integer(1, 9))


class Outer(Document):
    kind = "outer"
    name: str = member(text(5))
    parts: tuple[Inner, ...] = member(many(nested(Inner), 2))
    note: str | None = member(optional(text(5)), default=None)


WHOLE: dict[str, Json] = {"name": "a", "parts": [{"size": 1}, {"size": 2}]}


def place(value: Json) -> str:
    with pytest.raises(FormatError) as caught:
        Outer.from_json(value, "outer")
    return caught.value.subject


def test_a_record_is_read_and_written() -> None:
    outer = Outer.from_json(WHOLE, "outer")
    assert (outer.name, [p.size for p in outer.parts], outer.note) == ("a", [1, 2], None)
    assert outer.to_json() == WHOLE
    assert outer == Outer(name="a", parts=(Inner(size=1), Inner(size=2)))
    assert Outer.payload_type() == "application/vnd.offseed.outer.v1+json"


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"name": "abcdef"}, "outer.name"),
        ({"parts": [{"size": 1}, {"size": 0}]}, "outer.parts[1].size"),
        ({"parts": [{"size": 1}, {}]}, "outer.parts[1].size"),
        ({"parts": [1]}, "outer.parts[0]"),
        ({"parts": {}}, "outer.parts"),
        ({"note": 1}, "outer.note"),
        ({"critical": ["x"]}, "outer.critical"),
        ({"parts": [{"size": 1, "critical": ["x"]}]}, "outer.parts[0].critical"),
    ],
)
def test_errors_name_the_place(change: dict[str, Json], where: str) -> None:
    assert place({**WHOLE, **change}) == where


@pytest.mark.parametrize("name", ["name", "parts"])
def test_a_missing_member_is_named(name: str) -> None:
    assert place({n: v for n, v in WHOLE.items() if n != name}) == f"outer.{name}"


@pytest.mark.parametrize("value", [None, 1, "", [], [WHOLE], True])
def test_what_is_no_object_is_refused(value: Json) -> None:
    assert outcome(Outer.from_json, value, "outer") == REFUSED


def test_a_member_that_may_be_absent_may_be_null_and_is_left_out() -> None:
    for value in (WHOLE, {**WHOLE, "note": None}):
        assert Outer.from_json(value, "outer").to_json() == WHOLE
    assert Outer.from_json({**WHOLE, "note": "x"}, "outer").to_json() == {**WHOLE, "note": "x"}


def test_unknown_members_are_kept_at_every_level() -> None:
    value: dict[str, Json] = {
        "name": "a",
        "parts": [{"size": 1, "later": [None, {"x": -1}]}],
        "extra": {"extra": 1},
        "kind": "misleading",
        "to_json": False,
    }
    outer = Outer.from_json(value, "outer")
    assert outer.to_json() == value
    assert outer.extra["kind"] == "misleading"
    assert outer.kind == "outer"


@pytest.mark.parametrize("critical", [[], ["name"], ["name", "parts", "note"]])
def test_critical_members_that_are_known_do_not_matter(critical: list[Json]) -> None:
    value = {**WHOLE, "critical": critical}
    assert Outer.from_json(value, "outer").to_json() == value


@pytest.mark.parametrize(
    "critical", [["later"], ["name", "later"], ["extra"], ["kind"], ["critical"], [1], [None], [["name"]], "name", None, {}, 1]
)  # fmt: skip
def test_critical_members_that_are_not_known_refuse_the_document(critical: Json) -> None:
    value = {**WHOLE, "critical": critical, "later": 1}
    assert outcome(Outer.from_json, value, "outer") == (FormatError, "DOC-4")


CODECS: dict[str, tuple[Codec, list[tuple[Json, Any]], list[Json]]] = {
    "text": (
        text(3),
        [("", ""), ("abc", "abc"), ("\U0001f600" * 3, "\U0001f600" * 3), (" ", " ")],
        ["abcd", "a\n", "\t", "\0", "\x7f", "\x85", "\u200b", "\u2028", "\ud800", "\ue000", None, 1, ["a"]],
    ),
    "text of a form": (text(9, "a+"), [("a", "a"), ("aaa", "aaa")], ["", "b", "ab", "ba", "a\n", "a" * 10]),
    "hex": (hexed(2), [("00ff", "00ff")], ["", "00f", "00ff0", "00FF", "0x0f", "00f\n", " 0ff", "\uff10\uff10ff", 0, None]),
    "base64": (
        blob(4),
        [("", b""), ("AA==", b"\0"), ("AAAAAA==", bytes(4)), ("+/8=", b"\xfb\xff")],
        ["A", "AA", "AA=", "AA==\n", " AA==", "AB==", "-_8=", "AAAAAAA=", "====", "AA==AA==", "é", "A" * 10**6, 0, None],
    ),
    "integer": (
        integer(),
        [(0, 0), (INTEGER_LIMIT - 1, INTEGER_LIMIT - 1)],
        [-1, INTEGER_LIMIT, True, False, "1", None, [1]],
    ),
    "bounded integer": (integer(-2, 2), [(-2, -2), (2, 2)], [-3, 3]),
    "flag": (flag(), [(True, True), (False, False)], [0, 1, "true", None]),
    "choice": (choice("a", "b"), [("a", "a"), ("b", "b")], ["", "A", "a, b", "c", None, 0, ["a"]]),
    "list": (many(integer(), 2), [([], ()), ([1, 2], (1, 2))], [[1, 2, 3], [-1], [None], {}, "12", None]),
    "optional": (optional(integer()), [(None, None), (1, 1)], [-1, "", False]),
}  # fmt: skip


@pytest.mark.parametrize("name", CODECS)
def test_a_form_takes_what_it_says_and_nothing_else(name: str) -> None:
    codec, good, bad = CODECS[name]
    for written, value in good:
        assert codec.read(written, "here") == value
        assert codec.write(value) == written
    for wrong in bad:
        assert outcome(codec.read, wrong, "here") == REFUSED


def test_values_are_frozen() -> None:
    inner = Inner(size=1)
    with pytest.raises(AttributeError):
        inner.size = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del inner.size
    assert inner == Inner(size=1)


def test_a_value_is_made_of_its_members_and_no_others() -> None:
    with pytest.raises(TypeError):
        Inner()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Inner(size=1, other=2)  # type: ignore[call-arg]
    assert Inner(size=1, extra={"new": 1}) != Inner(size=1)
    changed = replace(Inner(size=1, extra={"new": 1}), size=2)
    assert (changed.size, changed.extra) == (2, {"new": 1})
    assert repr(changed) == "Inner(extra={'new': 1}, size=2)"


# The real kinds


def paths(value: Json, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of every place in a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths(inner, (*path, key))


def at(value: Json, path: tuple[str | int, ...]) -> Any:
    found: Any = value
    for key in path:
        found = found[key]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_comes_back(kind: str) -> None:
    document = SAMPLES[kind]
    value = document.to_json()
    assert type(document).from_json(value, kind) == document
    assert type(document).from_json(decode_json(encode_json(value), kind), kind).to_json() == value


MAY_BE_ABSENT = {
    ("manifest", "set"),
    ("manifest", "previous"),
    ("inventory", "previous"),
    ("register", "previous"),
    ("inventory", "others"),
    ("inventory", "verified"),
    ("membership", "replaces"),
    ("wants", "needs"),
    ("validation", "after"),
    *(("custody", name) for name in ("previous", "inventory", "carrier", "tracking", "note")),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_member_is_needed_unless_it_may_be_absent(kind: str) -> None:
    value = SAMPLES[kind].to_json()
    for name in value:
        rest = {n: v for n, v in value.items() if n != name}
        if (kind, name) in MAY_BE_ABSENT:
            assert type(SAMPLES[kind]).from_json(rest, kind).to_json() == rest
        else:
            assert outcome(type(SAMPLES[kind]).from_json, rest, kind) == REFUSED


@settings(max_examples=examples(50))
@given(
    data=st.data(), kind=st.sampled_from(KINDS), new=values, key=st.text("abcxyz_-é ", min_size=1, max_size=9)
)
def test_documents_keep_what_they_do_not_know(data: st.DataObject, kind: str, new: Json, key: str) -> None:
    value = copy.deepcopy(SAMPLES[kind].to_json())
    objects = [p for p in paths(value) if isinstance(at(value, p), dict)]
    holder = at(value, data.draw(st.sampled_from(objects)))
    if key not in holder and key != "critical":
        holder[key] = new
    read = type(SAMPLES[kind]).from_json(value, kind)
    assert read.to_json() == value
    assert encode_json(read.to_json()) == encode_json(value)


@given(data=st.data(), kind=st.sampled_from(KINDS), new=values)
def test_any_json_gives_a_document_or_an_error_that_names_its_place(
    data: st.DataObject, kind: str, new: Json
) -> None:
    value: Json = copy.deepcopy(SAMPLES[kind].to_json())
    path = data.draw(st.sampled_from(list(paths(value))))
    if path:
        at(value, path[:-1])[path[-1]] = new
    else:
        value = new
    try:
        read = type(SAMPLES[kind]).from_json(value, kind)
    except FormatError as error:
        assert error.code in ("DOC-2", "DOC-4")
        assert error.subject.startswith(kind)
    else:
        again = type(read).from_json(read.to_json(), kind)
        assert again == read


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_document_is_refused(kind: str) -> None:
    wrong: list[Json] = ["x", [SAMPLES[kind].to_json()], None, 1, {}]
    for value in wrong:
        assert outcome(type(SAMPLES[kind]).from_json, value, kind) == REFUSED
