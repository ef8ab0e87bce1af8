"""The pages that people read: their links lead somewhere, and docs/ names only files and commands that exist."""

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import markdown_it as markdown
import pytest
import typer

from formats.shell.command_groups import Program
from importer.cli.app import app as importer_app
from seed.cli.app import app as seed_app

ROOT = Path(__file__).parent.parent
FOLDERS = ("docs", "formats", "importer", "seed", "tests")
PAGES = sorted([*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))])
DOCS = [page for page in PAGES if page.parts[len(ROOT.parts)] == "docs"]
DECISIONS = [page for page in DOCS if page.parent.name == "decisions"]
HEADINGS = ["Status", "What", "Why", "What else was tried", "Known drawbacks"]  # the last one may be missing
LINES_MAX = 75  # of a page of docs/decisions: a screen and a half

_PATH = re.compile(r"(?:\.?[\w-]+/)+[\w.-]*|[\w.-]+\.(?:py|md|toml|yaml)")
_MODULE = re.compile(rf"(?:{'|'.join(FOLDERS)})(?:\.\w+)+")
_COMMAND = re.compile(r"(?:seed|importer) [a-z]")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@cache
def tokens(page: Path) -> list[Any]:
    """Return all tokens of a page, those inside of lines among them."""
    found = markdown.MarkdownIt("commonmark").enable("table").parse(page.read_text("utf-8"))
    return [each for token in found for each in (token, *(token.children or ()))]


@cache
def headings(page: Path) -> list[str]:
    parsed = tokens(page)
    opened = [at for at, token in enumerate(parsed) if token.type == "heading_open"]
    return ["".join(t.content for t in parsed[at + 1].children if t.type != "softbreak") for at in opened]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in headings(page):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.add(
            next(f"{slug}{n}" for n in ("", *(f"-{i}" for i in range(1, 99))) if f"{slug}{n}" not in found)
        )
    return found


def links(page: Path) -> Iterator[str]:
    """Yield the targets of links and pictures that lie in this tree."""
    for token in tokens(page):
        target = token.attrGet("href") or token.attrGet("src")
        if target and not re.match(r"[a-z]+:", target):
            yield str(target)


def code(page: Path) -> Iterator[str]:
    """Yield each text in backticks, and each line of a shell's block."""
    for token in tokens(page):
        if token.type == "code_inline":
            yield token.content
        elif token.type == "fence" and token.info == "sh":
            yield from token.content.splitlines()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        there = (page.parent / unquote(path)).resolve() if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


PICTURES = sorted((ROOT / "docs" / "pictures").iterdir())
PICTURE_MAX = 100_000  # bytes


@pytest.mark.parametrize("picture", PICTURES, ids=name_of)
def test_a_picture_is_small_and_shown_by_a_page(picture: Path) -> None:
    assert picture.stat().st_size <= PICTURE_MAX
    assert any((page.parent / target).resolve() == picture for page in PAGES for target in links(page))


def has_name(module: Path, name: str) -> bool:
    """Return whether a module defines `name` at its top level."""
    for node in ast.parse(module.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return True
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return True
    return False


def exists(dotted: str) -> bool:
    """Return whether such a package or module exists, or such a name in one."""
    here = ROOT.joinpath(*dotted.split("."))
    if here.is_dir() or here.with_suffix(".py").exists():
        return True
    module = here.parent.with_suffix(".py")
    return module.exists() and has_name(module, here.name)


@pytest.mark.parametrize("page", DOCS, ids=name_of)
def test_every_file_and_module_that_docs_name_exists(page: Path) -> None:
    for text in code(page):
        if _MODULE.fullmatch(text):
            assert exists(text), text
        elif _PATH.fullmatch(text) and (text.split("/")[0] in FOLDERS or "/" not in text):
            assert any((base / text).exists() for base in (ROOT, page.parent)), text


def command_of(line: str) -> None:
    """Return the command that `line` names. Raises LookupError if it does not exist."""
    program, *words = shlex.split(line.partition("…")[0], comments=True)
    command: Any = typer.main.get_command({"seed": seed_app, "importer": importer_app}[program])
    for word in words:
        if isinstance(command, Program):
            command = command.load({row.name: row for row in command.listed}[word])
        elif hasattr(command, "commands"):
            command = command.commands[word]
        elif word.startswith("--"):
            known = {"--help", *(name for each in command.params for name in each.opts + each.secondary_opts)}
            if word.partition("=")[0] not in known:
                raise LookupError(word)


@pytest.mark.parametrize("page", DOCS, ids=name_of)
def test_every_command_that_docs_name_exists(page: Path) -> None:
    for line in filter(_COMMAND.match, code(page)):
        command_of(line)


def test_a_command_that_does_not_exist_is_noticed() -> None:
    command_of("seed set show")
    for line in ("seed fly", "seed set fly", "seed backup --fly", "importer restore latest"):
        with pytest.raises(LookupError):
            command_of(line)
    assert not exists("formats.layout.NOTHING")
    assert exists("formats.layout.PREFIXES")
    assert not exists("seed.nothing")


def test_the_map_names_every_page() -> None:
    mapped = {
        (ROOT / "docs" / target.partition("#")[0]).resolve() for target in links(ROOT / "docs/README.md")
    }
    assert set(DOCS) - mapped == {ROOT / "docs/README.md"}


@pytest.mark.parametrize("page", DECISIONS, ids=name_of)
def test_a_decision_is_one_page_of_one_form(page: Path) -> None:
    title, *parts = headings(page)
    assert re.match(r"\d{4}-", page.name)
    assert title.startswith(f"{int(page.name[:4])}. ")
    assert parts in (HEADINGS, HEADINGS[:-1])
    assert len(page.read_text("utf-8").splitlines()) <= LINES_MAX


def test_decisions_are_numbered_without_gaps() -> None:
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))
