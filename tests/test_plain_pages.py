"""The language of the pages: every sentence is understood at the first reading.

`python -m tests.test_plain_pages PAGE…` counts; with `--show` it also prints each text that breaks the rule.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.test_docs import ROOT, name_of, tokens
from tests.test_prose import AVOIDED, SENTENCE_END, WORDS_MAX

HELD: tuple[str, ...] = (
    "README.md",
    "docs/guide.md",
    "importer/OPERATIONS.md",
    "formats/THREATS.md",
    "formats/SPEC.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/README.md",
    "docs/design.md",
    "docs/protocol.md",
    "docs/decisions/*.md",
    "tests/benchmarks/README.md",
)
PAGES = sorted(page for name in HELD for page in ROOT.glob(name))


def texts(page: Path, *, of_tables: bool) -> Iterator[str]:
    """Yield each paragraph and item of a list, or each cell of a table; never a heading or a block of code."""
    opened: set[str] = set()
    for token in tokens(page):
        block, _, end = token.type.rpartition("_")
        if end == "open":
            opened.add(block)
        elif end == "close":
            opened.discard(block)
        elif token.type == "inline" and "heading" not in opened and ("table" in opened) == of_tables:
            yield " ".join("".join(map(shown, token.children)).split())


def shown(token: Any) -> str:
    """Return the words that a reader sees: an ellipsis for a quoted name."""
    if token.type in ("code_inline", "softbreak"):
        return "…" if token.type == "code_inline" else " "
    return str(token.content) if token.type == "text" else ""


def avoided(page: Path) -> list[str]:
    return [text for part in (False, True) for text in texts(page, of_tables=part) if AVOIDED.search(text)]


def long_sentences(page: Path) -> list[str]:
    return [
        sentence
        for text in texts(page, of_tables=False)
        for sentence in SENTENCE_END.split(text)
        if len(sentence.split()) > WORDS_MAX
    ]


def test_each_pattern_finds_pages() -> None:
    assert all(list(ROOT.glob(name)) for name in HELD)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_is_plain(page: Path) -> None:
    assert not avoided(page)
    assert not long_sentences(page)


def test_a_breach_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# What\n\nWhat lies there.\n\n| a | whoever |\n|---|---|\n\n`what` is it.\n\n- "
        + "so " * 26
        + "far.\n"
    )
    assert avoided(page) == ["What lies there.", "whoever"]
    assert [sentence[:5] for sentence in long_sentences(page)] == ["so so"]


def main(pages: list[Path], show: bool) -> None:
    for page in pages:
        found = [text for part in (False, True) for text in texts(page, of_tables=part)]
        words = sum(len(text.split()) for text in found)
        rate = 1000 * sum(len(AVOIDED.findall(text)) for text in found) / max(words, 1)
        print(
            f"{name_of(page)}: {words} words, {rate:.1f} pronouns per 1,000, {len(long_sentences(page))} long"
        )
        if show:
            print(*(f"  {text}" for text in [*avoided(page), *long_sentences(page)]), sep="\n")


if __name__ == "__main__":
    names = [name for name in sys.argv[1:] if name != "--show"]
    main([Path(name).resolve() for name in names] or PAGES, "--show" in sys.argv)
