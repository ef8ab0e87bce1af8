"""The shipped schema of --json, and the check that all output of a command keeps to it."""

import json
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Final

from fastjsonschema import JsonSchemaValueException
from fastjsonschema import compile as compiled

SCHEMA: Final[dict[str, Any]] = json.loads(
    files("formats.shell").joinpath("output.schema.json").read_text("utf-8")
)
DEFINED: Final[dict[str, Any]] = SCHEMA["$defs"]
PROGRAMS: Final = ("seed", "importer")
LISTS: Final = ("seed-ls", "seed-find", "seed-diff", "seed-jobs", "importer-jobs")  # a document on each line
KILLED: Final = 128  # exit codes from here on: the last line may be cut
_ERROR: Final = DEFINED["error"]["properties"].keys()

Validator = Callable[[Any], object]


def name_of(words: Sequence[str]) -> str | None:
    """Return the definition of a command line's document; None if it names no command."""
    names = ("-".join(words[:depth]) for depth in (3, 2))
    return next((name for name in names if name in DEFINED), None)


def check_output(words: Sequence[str], stdout: str, code: int) -> None:
    """Check all that a command of ours printed with --json. Raises AssertionError."""
    if "--json" not in words or "--help" in words or words[0] not in PROGRAMS:
        return
    name = name_of(words)
    lines = stdout.splitlines()
    for line in lines:
        try:
            document = json.loads(line)
        except ValueError:
            assert not 0 <= code < KILLED, f"{line!r} is no JSON: {words}"
            return
        check(name, document)
    if 0 <= code < KILLED and name not in LISTS:
        assert len(lines) == 1, f"{len(lines)} documents: {words}"


def check(name: str | None, document: Any) -> None:
    """Check a document of the command `name`; every command may print an error. Raises AssertionError."""
    if is_error(document) or name is None:
        name = "error"
    try:
        validator(name)(document)
    except JsonSchemaValueException as error:
        why = "; ".join((error.message, *_reasons(DEFINED[name], document)))
        raise AssertionError(f"{name}: {why}: {json.dumps(document)}") from error


def is_error(document: Any) -> bool:
    """Return whether a document is an error, and no result of a command."""
    return isinstance(document, dict) and "error" in document and document.keys() <= _ERROR


def _reasons(schema: dict[str, Any], document: Any) -> list[str]:
    """Return the reason for each alternative of a definition why the document does not match it."""
    found = []
    for option in schema.get("anyOf", ()):
        try:
            compiled({**option, "$defs": DEFINED})(document)
        except JsonSchemaValueException as error:
            found.append(error.message)
    return found


@cache
def validator(name: str) -> Validator:
    made: Validator = compiled({"$ref": f"#/$defs/{name}", "$defs": DEFINED})
    return made
