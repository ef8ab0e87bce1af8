"""The description of the output of --json: a schema for each command, and an example in docs/json.md.

Stages check all output of commands in other stories: see `tests.json_schema`.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests import json_page, json_schema
from tests.journeys.stage import Stage
from tests.json_schema import DEFINED, SCHEMA, check, check_output, name_of
from tests.test_docs import tokens
from tests.test_prose import AVOIDED, QUOTED, SENTENCE_END, WORDS_MAX

assert sys.platform == "linux"
from tests.hostile.neighbour.commands import leaves  # noqa: E402

COMMANDS = {title.replace(" ", "-") for title, parameters in leaves().items() if "as_json" in parameters}
SHARED = DEFINED.keys() - COMMANDS
# A keyword outside these would have no effect in the tests.
KEYWORDS = {
    "$ref", "additionalProperties", "anyOf", "const", "description", "enum", "items", "maxItems", "maximum", "minimum",
    "properties", "required", "type",
}  # fmt: skip
PROXY = {"proxy": None, "signed_in": False}


def schemas(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a schema and all schemas inside it."""
    yield schema
    further = schema.get("additionalProperties")
    below = [*schema.get("properties", {}).values(), *schema.get("anyOf", ()), schema.get("items"), further]
    for one in below:
        if isinstance(one, dict):
            yield from schemas(one)


ALL = [(name, schema) for name in DEFINED for schema in schemas(DEFINED[name])]


def examples() -> dict[str, list[Any]]:
    """Return the documents in docs/json.md by the heading above them."""
    found: dict[str, list[Any]] = {}
    heading, parsed = "", tokens(json_page.PAGE)
    for at, token in enumerate(parsed):
        if token.type == "heading_open":
            heading = parsed[at + 1].content
        if token.type == "fence" and token.info.startswith("json"):
            texts = token.content.splitlines() if token.info == "jsonl" else [token.content]
            found.setdefault(heading, []).extend(map(json.loads, texts))
    return found


def test_each_command_has_a_definition() -> None:
    assert len(COMMANDS) > 70
    assert COMMANDS - DEFINED.keys() == set()
    assert {name for name in DEFINED if name.startswith(("seed-", "importer-"))} == COMMANDS


def test_each_shared_definition_is_used() -> None:
    used = {schema["$ref"].rpartition("/")[2] for _, schema in ALL if "$ref" in schema}
    assert used <= DEFINED.keys()
    assert SHARED - used == {"error"}


def test_each_object_is_closed_and_each_member_described() -> None:
    for name, schema in ALL:
        assert schema.keys() <= KEYWORDS, (name, schema)
        if schema.get("type") == "object":
            assert "additionalProperties" in schema, (name, schema)
        for member, value in schema.get("properties", {}).items():
            assert schema["additionalProperties"] is False, (name, member)
            assert "description" in value or "$ref" in value, (name, member)
        assert {*schema.get("required", ())} <= schema.get("properties", {}).keys(), (name, schema)


def test_descriptions_are_plain() -> None:
    for text in (SCHEMA["description"], *(schema.get("description", "") for _, schema in ALL)):
        plain = QUOTED.sub("…", text)
        assert not AVOIDED.search(plain), plain
        assert not [s for s in SENTENCE_END.split(plain) if len(s.split()) > WORDS_MAX], plain


def test_each_command_has_an_example_and_each_example_keeps_to_the_schema() -> None:
    found = examples()
    check("error", found.pop("Errors")[0])
    assert {heading.replace(" ", "-") for heading in found} == COMMANDS
    for heading, documents in found.items():
        for document in documents:
            check(heading.replace(" ", "-"), document)


def test_the_page_is_what_its_command_writes() -> None:
    assert json_page.PAGE.read_text("utf-8").startswith(json_page.HEAD + json_page.ERRORS)


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("seed-proxy-show", {**PROXY, "more": 1}),
        ("seed-proxy-show", {"proxy": None}),
        ("seed-proxy-show", {**PROXY, "signed_in": 0}),
        ("seed-points", {}),
        ("seed-notify-check", [{"event": "nothing", "name": "", "text": ""}]),
        ("seed-find", {"point": "", "path": "", "type": None, "size": 1}),
        ("seed-proxy-show", {"error": {"code": "usage"}}),
        (None, PROXY),
    ],
)
def test_a_document_that_does_not_keep_to_the_schema_is_noticed(name: str | None, document: Any) -> None:
    with pytest.raises(AssertionError):
        check(name, document)


def test_a_command_line_has_the_definition_of_its_command() -> None:
    assert name_of(("seed", "set", "show", "show")) == "seed-set-show"
    assert name_of(("importer", "points", "--json")) == "importer-points"
    assert name_of(("seed", "fly", "show")) is None
    assert name_of(("seed",)) is None


def test_all_that_a_command_prints_is_checked() -> None:
    words, text = ("seed", "proxy", "show", "--json"), json.dumps(PROXY)
    check_output(words, text, 0)
    for wrong in ("", f"{text}\n{text}", text[:-1], '{"proxy": 1}'):
        with pytest.raises(AssertionError):
            check_output(words, wrong, 0)
    check_output(words, text[:-1], -9)
    check_output(words[:-1], "", 0)


def test_a_stage_checks_its_commands(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("seed", "completion", "bash", "--json")
    stage.run(*words)
    monkeypatch.setitem(DEFINED, "seed-completion", {"type": "null"})
    json_schema.validator.cache_clear()
    with pytest.raises(AssertionError, match="seed-completion: "):
        stage.run(*words)
    json_schema.validator.cache_clear()
