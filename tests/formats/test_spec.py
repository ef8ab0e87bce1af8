"""SPEC.md and the code say the same: every anchor, layout, table, form and constant of the one is in the other."""

import ast
import base64
import importlib
import pkgutil
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import formats
from formats.documents.codec import Document, Record
from formats.errors import CODES, FormatError
from formats.keyed import catalog, columns, keys, segments
from formats.layout import PREFIXES
from formats.untrusted import Json

ROOT = Path(__file__).parents[2]
SPEC = (ROOT / "formats" / "SPEC.md").read_text("utf-8")
ROOMS = ("wire", "layout", "tables", "documents", "keyed")  # of `formats`: SPEC lists their constants in full

DEFINITION = re.compile(
    r"^- \*\*([A-Z]+-\d+)\*\*( \(writers\)| \(no refusal\)| → (`[a-zA-Z0-9`, -]+`)\.)? ", re.MULTILINE
)
DOTTED = re.compile(r"`(formats\.[A-Za-z0-9_.]+)`")


# Anchors


@dataclass(frozen=True)
class Rule:
    """One definition: refused under its own anchor, under other `codes`, or no refusal at all."""

    anchor: str
    refused: bool
    codes: tuple[str, ...]


def rules() -> dict[str, Rule]:
    found: dict[str, Rule] = {}
    for match in DEFINITION.finditer(SPEC):
        codes = tuple(re.findall(r"`([^`]+)`", match[3] or ""))
        assert match[1] not in found, f"{match[1]} is defined twice"
        found[match[1]] = Rule(match[1], match[2] is None, codes)
    return found


RULES = rules()
FAMILIES = sorted({anchor.rpartition("-")[0] for anchor in RULES})
ANCHOR = re.compile(rf"\b({'|'.join(FAMILIES)})-(\d+)(?: to \1-(\d+))?\b")


def mentioned(text: str) -> set[str]:
    """Return the anchors named in `text`, also those between the ends of `X-1 to X-4`."""
    return {f"{m[1]}-{n}" for m in ANCHOR.finditer(text) for n in range(int(m[2]), int(m[3] or m[2]) + 1)}


@cache
def sources() -> dict[Path, str]:
    packages = ("formats", "seed", "importer")
    return {path: path.read_text("utf-8") for p in packages for path in sorted((ROOT / p).rglob("*.py"))}


@cache
def literals() -> frozenset[str]:
    """Return every string in the code that is no docstring."""
    found: set[str] = set()
    for text in sources().values():
        tree = ast.parse(text)
        prose = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
        found |= {
            n.value
            for n in ast.walk(tree)
            if isinstance(n, ast.Constant) and isinstance(n.value, str) and id(n) not in prose
        }
    return frozenset(found)


def test_every_anchor_that_the_code_names_is_defined() -> None:
    family = re.compile(r"[A-Z]{2,5}-\d+")
    refused = {anchor for text in literals() for anchor in [text] if family.fullmatch(anchor)}
    assert refused <= RULES.keys()
    for path, text in sources().items():
        assert mentioned(text) <= RULES.keys(), path


def test_every_anchor_that_the_text_names_is_defined() -> None:
    assert mentioned(SPEC) == RULES.keys()


@pytest.mark.parametrize("rule", RULES.values(), ids=str)
def test_every_rule_is_upheld_as_it_says(rule: Rule) -> None:
    assert (rule.anchor in literals()) == rule.refused
    assert any(rule.anchor in mentioned(text) for text in sources().values())
    for code in rule.codes:
        assert code in CODES or RULES[code].refused


def test_anchors_are_numbered_without_gaps() -> None:
    for family in FAMILIES:
        numbers = [int(a.rpartition("-")[2]) for a in RULES if a.rpartition("-")[0] == family]
        assert sorted(numbers) == list(range(1, len(numbers) + 1)), family


# Tables and layouts: the paragraph before one names its subject


@dataclass(frozen=True)
class Table:
    caption: str
    header: list[str]
    rows: list[list[str]]

    @property
    def subject(self) -> str:
        found = DOTTED.findall(self.caption)
        return found[0] if found else ""


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def tables() -> Iterator[Table]:
    lines = SPEC.splitlines()
    at = 0
    while at < len(lines):
        if not lines[at].startswith("|"):
            at += 1
            continue
        end = next(n for n in range(at, len(lines) + 1) if n == len(lines) or not lines[n].startswith("|"))
        yield Table(paragraph(lines, at), cells(lines[at]), [cells(line) for line in lines[at + 2 : end]])
        at = end


def paragraph(lines: Sequence[str], end: int) -> str:
    """Return the paragraph that ends before line `end`."""
    while not lines[end - 1]:
        end -= 1
    start = max(n for n in range(end) if not lines[n - 1])
    return "\n".join(lines[start:end])


TABLES = list(tables())


def table(subject: str) -> Table:
    (found,) = [t for t in TABLES if t.subject == subject]
    return found


def unquoted(cell: str) -> str:
    return cell.strip("`")


def listed(cell: str) -> list[str]:
    """Return the names in a text such as `a`, `b`."""
    return re.findall(r"`([^`]+)`", cell)


def resolve(dotted: str) -> Any:
    """Return the object that a dotted name means."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        try:
            value: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            value = getattr(value, part)
        return value
    raise AssertionError(dotted)


def test_every_dotted_name_means_something() -> None:
    for dotted in DOTTED.findall(SPEC):
        assert resolve(dotted) is not None


def test_the_prefixes_are_those_of_the_layout() -> None:
    expected = [
        [p.path, f"{p.size_max >> 20} MiB", p.writer, "yes" if p.addressed else "no", p.deleter, p.pinned_by]
        for p in PREFIXES
    ]
    rows = table("formats.layout.PREFIXES").rows
    assert [[unquoted(row[0]), *row[2:]] for row in rows] == expected
    shapes = [" or ".join(listed(row[1])) for row in rows]
    assert shapes == [p.below for p in PREFIXES]


def test_the_sub_keys_are_those_of_the_master_key() -> None:
    rows = table("formats.keyed.keys.PURPOSES").rows
    assert [(unquoted(row[0]), int(row[1])) for row in rows] == list(keys.PURPOSES.items())


@pytest.mark.parametrize(
    "name", [f"{table}_COLUMNS" for table in ("ENTRY", "EXTENT", "PIECE", "CHUNK", "PAGE")]
)
def test_the_columns_are_those_of_the_catalog(name: str) -> None:
    rows = table(f"formats.keyed.segments.{name}").rows
    kinds = [(column, row[1]) for row in rows for column in listed(row[0])]
    shown = {columns.U8: "u8", columns.U16: "u16", columns.U32: "u32", columns.U64: "u64", columns.I64: "i64"}
    assert kinds == [(column, shown.get(kind, kind)) for column, kind in getattr(segments, name).items()]


def test_the_types_are_those_of_the_catalog() -> None:
    types = table("formats.keyed.catalog.TYPES")
    assert dict(zip(map(int, types.header), map(unquoted, types.rows[0]), strict=True)) == catalog.TYPES


FIELD = re.compile(r"(?:zero (?P<zero>\d+)|.+? (?:(?P<bytes>\d+)|(?P<integer>u8|u32)))\Z")
LAYOUT = re.compile(r"(?P<caption>(?:[^\n]+\n)+)\n```\n(?P<fields>[^\n]+ · [^\n]+)\n```\n")


def test_the_layouts_are_those_of_the_structs() -> None:
    found: dict[str, str] = {}
    for match in LAYOUT.finditer(SPEC):
        (subject,) = [d for d in DOTTED.findall(match["caption"]) if isinstance(resolve(d), struct.Struct)]
        found[subject] = "<" + "".join(code(field, subject) for field in match["fields"].split(" · "))
    assert found == {
        name: value.format for name, value in constants().items() if isinstance(value, struct.Struct)
    }


def code(field: str, subject: str) -> str:
    """Return the struct code of one field; a magic it shows is one of the module's."""
    match = FIELD.match(field)
    assert match, field
    for magic in listed(field):
        module = importlib.import_module(subject.rpartition(".")[0])
        assert magic.encode() in [value for value in vars(module).values() if isinstance(value, bytes)]
    if match["zero"]:
        return f"{match['zero']}x"
    return f"{match['bytes']}s" if match["bytes"] else {"u8": "B", "u32": "I"}[match["integer"]]


# Members: each form is tried on the codec of the member


@dataclass(frozen=True)
class Member:
    record: str
    name: str
    form: str


def members() -> Iterator[Member]:
    for found in TABLES:
        if found.header[:2] == ["member", "form"]:
            yield from (Member(found.subject, m, row[1]) for row in found.rows for m in listed(row[0]))
        elif found.header == ["record", "members"]:
            for row in found.rows:
                for group in row[1].split(" · "):
                    *_, last = re.finditer("`[^`]+`", group)
                    form = group[last.end() :].strip()
                    yield from (Member(listed(row[0])[0], m, form) for m in listed(group))


MEMBERS = list(members())


def records() -> dict[str, type[Record]]:
    """Return every kind of record in `formats`, by dotted name."""
    for module in modules():
        assert module.__name__
    todo: list[type[Record]] = [Record]
    found: dict[str, type[Record]] = {}
    while todo:
        for kind in todo.pop().__subclasses__():
            todo.append(kind)
            if (
                kind.__module__.startswith("formats.")
                and kind.__module__.split(".")[1] in ROOMS
                and kind is not Document
            ):
                found[f"{kind.__module__}.{kind.__qualname__}"] = kind
    return found


@cache
def modules() -> tuple[ModuleType, ...]:
    names = [m.name for m in pkgutil.walk_packages(formats.__path__, "formats.")]
    return tuple(importlib.import_module(n) for n in names if n.split(".")[1] in ROOMS)


def test_every_record_has_its_members_in_the_text() -> None:
    expected = {
        (name, f.name) for name, kind in records().items() for f in kind.members() if "codec" in f.metadata
    }
    assert sorted((m.record, m.name) for m in MEMBERS) == sorted(expected)


def test_every_document_has_its_kind_in_the_text() -> None:
    kinds = dict(
        re.findall(r"^`(formats\.documents[A-Za-z.]+)`, kind `([a-z-]+)`, signed by", SPEC, re.MULTILINE)
    )
    documents = {name: kind for name, kind in records().items() if issubclass(kind, Document)}
    assert kinds == {name: kind.kind for name, kind in documents.items()}
    (form,) = [
        row[2] for row in table("formats.documents.envelope.Envelope").rows if row[0] == "`payloadType`"
    ]
    for kind in documents.values():
        assert kind.payload_type() == unquoted(form).replace("<kind>", kind.kind)


@pytest.mark.parametrize("member", MEMBERS, ids=lambda m: f"{m.record.rpartition('.')[2]}.{m.name}")
def test_every_member_takes_what_its_form_says_and_nothing_else(member: Member) -> None:
    (found,) = [f for f in records()[member.record].members() if f.name == member.name]
    codec = found.metadata["codec"]
    form, absent = re.fullmatch(r"(.*?)(, may be absent)?", member.form).groups()  # type: ignore[union-attr]
    good, bad = probes(form)
    assert (found.default is not MISSING) == bool(absent)
    (good if absent else bad).append(None)
    for value in good:
        codec.read(value, "here")
    wrong: list[Json] = [*bad, [[]], {"": ""}, 1 << 63, -(1 << 63)]
    for value in wrong:
        with pytest.raises(FormatError) as caught:
            codec.read(value, "here")
        assert caught.value.code in ("DOC-2", "SLOT-1")
        assert caught.value.subject.startswith("here")


Probes = tuple[list[Json], list[Json]]


def probes(form: str) -> Probes:
    """Return values that a form takes, the most usual first, and values that it refuses."""
    for pattern, make in FORMS:
        if match := re.fullmatch(pattern, form):
            return make(*match.groups())
    kind = f".{form}"
    (record,) = [name for name in records() if name.endswith(kind)]
    return [example(record)], [[], "", 0, {}]


def example(record: str) -> dict[str, Json]:
    return {m.name: probes(m.form.partition(",")[0])[0][0] for m in MEMBERS if m.record == record}


def whole(least: str, most: str | None) -> Probes:
    top = int(most) if most else (1 << 63) - 1
    return [int(least), top], [int(least) - 1, top + 1, True, str(least), ""]


def in_base64(most: str) -> Probes:
    sizes: list[Json] = [base64.b64encode(bytes(n)).decode() for n in (int(most), 0, 1)]
    return sizes, [base64.b64encode(bytes(int(most) + 1)).decode(), "AA", "AB==", "AAA=\n", "-_==", "é", 1]


def one_of(text: str) -> Probes:
    return [*listed(text)], ["", listed(text)[0].upper(), "other", 0]


def list_of(most: str, inner: str) -> Probes:
    good, bad = probes(inner)
    return [[], [good[0]] * int(most)], [[good[0]] * (int(most) + 1), [*bad[:1]], [None], "", {}]


def list_by(most: str, inner: str, rising: str) -> Probes:
    good, bad = list_of(most, inner)
    one: dict[str, Json] = good[1][0]  # type: ignore[index, assignment]
    items: list[Json] = [{**one, rising: number} for number in range(1, int(most) + 1)]
    return [[], items], [*bad, items[:2][::-1], items[:1] * 2]


def texts(most: str) -> Probes:
    return ["x" * int(most), "", "é" * int(most)], [
        "x" * (int(most) + 1),
        "a\nb",
        "\x7f",
        "\u2028",
        "\ud800",
        1,
    ]


FORMS: list[tuple[str, Callable[..., Probes]]] = [
    (r"hex (\d+)", lambda n: (["0a" * int(n)], ["0" * (2 * int(n) - 1), "0" * (2 * int(n) + 1), "0A" * int(n), "", 1])),
    (r"integer (-?\d+) to (\d+)", whole),
    (r"integer ≥ (\d+)", lambda least: whole(least, None)),
    (r"base64 ≤ (\d+)", in_base64),
    (r"text ≤ (\d+)", texts),
    (r"list of ≤ (\d+) objects", lambda n: ([[], [{}] * int(n)], [[{}] * (int(n) + 1), [1], {}])),
    (r"list of ≤ (\d+) (.+) by `(\w+)`", list_by),
    (r"list of ≤ (\d+) (.+)", list_of),
    (r"true or false", lambda: ([True, False], [0, 1, "true"])),
    (r"(`.+ or `.+)", one_of),
    (r"weekday", lambda: (["sun", "mon"], ["", "Sun", "sunday", 1])),
    (r"month day", lambda: (["15", "1", "28", "last", "first-sun", "last-mon"], ["", "0", "29", "015", "fifth-sun", "first", 1])),
    (r"rule", lambda: (["daily", "every"], ["", "Daily", "hourly", 1])),
    (r"vault name", lambda: (["ab", "A" + "-" * 49], ["", "a", "1a", "a_b", "a" * 51, "ab\n", 1])),
    (r"machine name", lambda: (["a", "9._-" * 15 + "abc"], ["", ".a", "a b", "a" * 64, "a\n", "é", 1])),
]  # fmt: skip


# Constants


UNITS = {"KiB": 1 << 10, "MiB": 1 << 20}


def stated() -> dict[str, int | str]:
    (found,) = [t for t in TABLES if t.header == ["module", "constants"]]
    return {
        f"{unquoted(row[0])}.{name}": quoted or int(number) * UNITS.get(unit, 1)
        for row in found.rows
        for name, quoted, number, unit in re.findall(
            r"`([A-Za-z_.]+)` = (?:`([^`]+)`|(\d+)(?: ([KM]iB))?)", row[1]
        )
    }


@cache
def constants() -> dict[str, int | bytes | str | struct.Struct]:
    """Return every public constant of the rooms, by dotted name."""
    found = {}
    for module in modules():
        assert module.__file__
        for node in ast.parse(Path(module.__file__).read_text("utf-8")).body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            for name in (n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)):
                value = getattr(module, name)
                if re.fullmatch("[A-Z][A-Z_]*", name) and isinstance(value, (int, bytes, str, struct.Struct)):
                    found[f"{module.__name__}.{name}"] = value
    return found


@pytest.mark.parametrize(("name", "value"), stated().items())
def test_every_constant_has_the_value_that_is_stated(name: str, value: int | str) -> None:
    actual = resolve(name)
    assert (actual.decode() if isinstance(actual, bytes) else actual) == value


def test_every_constant_is_stated() -> None:
    types = {f"formats.keyed.catalog.{name.upper().replace('-', '_')}" for name in catalog.TYPES.values()}
    zeros = {"formats.tables.needs.EMPTY", "formats.keyed.catalog.LOST"}
    prose = {"formats.documents.credential_file.ABOUT"}
    names = {n + ".size" if isinstance(v, struct.Struct) else n for n, v in constants().items()}
    assert names - types - zeros - prose - stated().keys() == set()
