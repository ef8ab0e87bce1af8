"""The language of docstrings, comments and messages: every sentence is understood at the first reading."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator

import pytest

from tests.test_import_graph import MODULES, ROOT

# Words that begin a clause without a subject, or that nobody learns at school.
AVOIDED = re.compile(
    r"\b(what|who|whom|whose|whoever|whatever|whomever|lest|befall\w*|befits|nobody\'s|the like of|ever after|gone on with"
    r"|what came of)\b",
    re.IGNORECASE,
)
QUOTED = re.compile(r"`[^`]*`")
SENTENCE_END = re.compile(r"(?<=[.:;])\s")
WORDS_MAX = 25
SOURCES = {**MODULES, **{str(path.relative_to(ROOT)): path for path in (ROOT / "tests").rglob("*.py")}}
TABLES = ("formats.tables.archive", "formats.tables.needs")  # the layout of their bytes is no prose


def texts(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string.lstrip("# ")


@pytest.mark.parametrize("module", sorted(SOURCES))
def test_docstrings_and_comments_are_plain(module: str) -> None:
    for text in texts(SOURCES[module].read_text("utf-8")):
        plain = QUOTED.sub("…", " ".join(text.split()))
        assert not AVOIDED.search(plain), plain
        if module not in TABLES:
            long = [s for s in SENTENCE_END.split(plain) if len(s.split()) > WORDS_MAX]
            assert not long, long


SAID = ("hint", "help", "detail")  # parameters with text for people


def sentences(node: ast.expr) -> Iterator[str]:
    """Yield the texts that an expression may give, with … for each value in them."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=parts):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in parts)
        case ast.IfExp(body=body, orelse=orelse):
            yield from (*sentences(body), *sentences(orelse))
        case ast.BinOp(left=left, right=right):
            yield from (*sentences(left), *sentences(right))
        case ast.Call(func=ast.Attribute(value=value, attr="format")):
            yield from sentences(value)


def messages(source: str) -> Iterator[str]:
    """Yield the texts of errors, hints, notices, findings and options."""
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Call):
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            own = call.args[1:] if name.endswith("Error") else call.args if name == "notice" else []
            for said in (*own, *(keyword.value for keyword in call.keywords if keyword.arg in SAID)):
                yield from sentences(said)


def check_message(text: str) -> None:
    plain = QUOTED.sub("…", text)
    assert not AVOIDED.search(plain), plain
    long = [s for s in SENTENCE_END.split(plain) if len(s.split()) > WORDS_MAX]
    assert not long, long


@pytest.mark.parametrize("module", sorted(MODULES))
def test_messages_hints_and_helps_are_plain(module: str) -> None:
    for text in messages(MODULES[module].read_text("utf-8")):
        check_message(text)


@pytest.mark.parametrize(
    "code",
    [
        'raise HomeError("code", "whoever has it may read", subject=path)',
        'raise HomeError("code", "cannot read", hint=f"ask {name}" if name else "ask him who owns it")',
        'monitor.notice(f"what befell {disk} cannot be read")',
        'Finding(code="code", subject="", detail=" ".join(words) + "what lies here")',
        'typer.Option("--all", help="{} what matches".format(word))',
        f'monitor.notice("{" ".join(["word"] * (WORDS_MAX + 1))}")',
    ],
)
def test_a_message_that_is_not_plain_is_noticed(code: str) -> None:
    with pytest.raises(AssertionError):
        for text in messages(code):
            check_message(text)
