"""The language of docstrings and comments: every sentence is understood at the first reading."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator

import pytest

from tests.test_import_graph import MODULES

# Words that begin a clause without a subject, or that nobody learns at school.
AVOIDED = re.compile(
    r"\b(what|who|whom|whose|whoever|whatever|whomever|lest|befall\w*|befits|nobody\'s|the like of|ever after|gone on with"
    r"|what came of)\b",
    re.IGNORECASE,
)
QUOTED = re.compile(r"`[^`]*`")
SENTENCE_END = re.compile(r"(?<=[.:;])\s")
WORDS_MAX = 25
TABLES = ("formats.tables.archive", "formats.tables.needs")  # the layout of their bytes is no prose


def texts(module: str) -> Iterator[str]:
    source = MODULES[module].read_text("utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string.lstrip("# ")


@pytest.mark.parametrize("module", sorted(MODULES))
def test_docstrings_and_comments_are_plain(module: str) -> None:
    for text in texts(module):
        plain = QUOTED.sub("…", " ".join(text.split()))
        assert not AVOIDED.search(plain), plain
        if module not in TABLES:
            long = [s for s in SENTENCE_END.split(plain) if len(s.split()) > WORDS_MAX]
            assert not long, long
