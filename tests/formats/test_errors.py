"""Every code that an error or a finding may carry is in one of three tables, and every entry there is in use.

The tables are `errors.CODES`, `errors.FINDINGS` and the anchors of SPEC.md. Codes are found in the source by their
places: the first argument of an error, and any parameter named `code`.
"""

import ast
from collections.abc import Iterator
from functools import cache

import pytest

from formats import errors
from formats.errors import CODES, FINDINGS, OffseedError
from tests.formats.test_spec import RULES, literals, sources

ERRORS = {
    name
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, OffseedError)
}
FIXED = {"NotFoundError", "ObstructedError", "NameHeldByOtherError", "Interrupted"}  # bring their own code
PLANNED = {"point-incomplete"}  # promised by PROTOCOL's rules, not raised yet


def called(node: ast.Call) -> str:
    """Return the last part of the name of the called function."""
    function = node.func
    if isinstance(function, ast.Name):
        return function.id
    return function.attr if isinstance(function, ast.Attribute) else ""


def texts(node: ast.AST) -> Iterator[str]:
    """Yield the strings in an expression, except names of attributes."""
    if isinstance(node, ast.Call) and called(node) == "getattr":
        for default in node.args[2:]:
            yield from texts(default)
        return
    if isinstance(node, ast.Compare):
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    for child in ast.iter_child_nodes(node):
        yield from texts(child)


def positions(tree: ast.Module) -> dict[str, int]:
    """Return the positions at which functions and data classes of this module take their `code`, by their name."""
    found = {"refuse": 0} | dict.fromkeys(ERRORS - FIXED, 0)
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.FunctionDef):
            names = [a.arg for a in node.args.args if a.arg not in ("self", "cls")]
        elif isinstance(node, ast.ClassDef):
            names = [
                n.target.id
                for n in node.body
                if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)
            ]
        if "code" in names and isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found[node.name] = names.index("code")
    return found


def carried(tree: ast.Module) -> Iterator[str]:
    """Yield every string that some error or finding of this module may carry as its code."""
    at = positions(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            place = at.get(called(node))
            if place is not None:
                for argument in node.args[place : place + 1]:
                    yield from texts(argument)
            for keyword in node.keywords:
                if keyword.arg == "code":
                    yield from texts(keyword.value)
        elif isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == "code" for t in node.targets
        ):
            yield from texts(node.value)
        elif isinstance(node, ast.FunctionDef):
            defaults = zip(node.args.args[::-1], node.args.defaults[::-1], strict=False)
            for argument_, default in defaults:
                if argument_.arg == "code":
                    yield from texts(default)


def compared(tree: ast.Module) -> Iterator[str]:
    """Yield every string that the code compares with the code of an error."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(isinstance(s, ast.Attribute) and s.attr == "code" for s in sides):
                for side in sides:
                    yield from (
                        n.value
                        for n in ast.walk(side)
                        if isinstance(n, ast.Constant) and isinstance(n.value, str)
                    )


@cache
def raised() -> frozenset[str]:
    return frozenset(code for text in sources().values() for code in carried(ast.parse(text)))


@pytest.mark.parametrize("path", sources(), ids=lambda p: "/".join(p.parts[-2:]))
def test_every_code_is_in_a_table(path: object) -> None:
    tree = ast.parse(next(text for p, text in sources().items() if p == path))
    known = CODES.keys() | FINDINGS.keys() | RULES.keys()
    assert set(carried(tree)) <= known
    assert set(compared(tree)) <= known


def test_the_search_finds_codes_however_they_are_given() -> None:
    for code in (
        "usage",
        "NAME-1",
        "ENV-2",
        "object-missing",
        "disk-full",
        "target-exists",
        "source-xattrs",
        "denied",
    ):
        assert code in raised()


def test_every_code_is_in_use() -> None:
    in_use = raised() | {"not-found", "obstructed", "name-held", "interrupted"}
    assert CODES.keys() - in_use <= PLANNED
    assert FINDINGS.keys() <= in_use
    assert "interrupted" in literals()


def test_the_tables_do_not_overlap_and_every_line_says_something() -> None:
    assert not CODES.keys() & FINDINGS.keys()
    for code, line in (CODES | FINDINGS).items():
        assert code == code.lower().strip()
        assert line
        assert line[0].islower()
        assert not line.endswith(".")


def test_errors_that_bring_their_own_code_bring_one_of_the_table() -> None:
    for error in (errors.NotFoundError("a"), errors.NameHeldByOtherError("a"), errors.Interrupted(2)):
        assert error.code in CODES


def test_an_error_reads_as_what_and_where() -> None:
    assert (
        str(errors.FormatError("ARCH-1", "not the head of an archive", subject="a/b"))
        == "not the head of an archive: a/b"
    )
    assert str(errors.UsageError("usage", "nothing is named")) == "nothing is named"
    assert {getattr(errors, name).exit_code for name in ERRORS} == {1, 2}


def test_of_several_that_fail_each_is_tried_and_told() -> None:
    tried: list[int] = []

    def attempt(number: int) -> int:
        tried.append(number)
        if number % 2:
            raise errors.UsageError("usage", f"odd {number}")
        return 2 * number

    assert errors.each(attempt, [2, 4]) == [4, 8]
    with pytest.raises(errors.UsageError, match="odd 1") as caught:
        errors.each(attempt, [1, 2, 3, 5])
    assert tried == [2, 4, 1, 2, 3, 5]
    assert [other.what for other in caught.value.others] == ["odd 3", "odd 5"]


def test_a_wish_to_stop_is_no_failure_among_others() -> None:
    def attempt(number: int) -> None:
        raise errors.Interrupted(2) if number else errors.UsageError("usage", "odd")

    with pytest.raises(errors.Interrupted):
        errors.each(attempt, [0, 1])
