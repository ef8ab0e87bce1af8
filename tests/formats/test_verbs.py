"""The lists of commands, from which a program knows a command before it imports it.

The walk through all helps in tests/journeys/test_readme.py shows that the module in the list registers the command.
"""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from formats.shell.command_groups import Program

PROGRAMS = ("seed", "importer")


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> Program:
    """Return a program, with the modules of all its commands imported."""
    package = importlib.import_module(f"{request.param}.cli")
    for found in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{found.name}")
    built = typer.main.get_command(importlib.import_module(f"{package.__name__}.app").app)
    assert isinstance(built, Program)
    assert built.package == package.__name__
    return built


def test_a_list_has_each_command_once(program: Program) -> None:
    names = [row.name for row in program.listed]
    assert len(names) == len({*names})
    assert {*names} == program.registered.keys() == program.commands.keys()


def test_a_list_says_what_the_commands_say(program: Program) -> None:
    for row in program.listed:
        shown, real = program.commands[row.name], program.registered[row.name]
        assert shown.hidden == real.hidden
        for room in range(10, 200):  # columns: a narrow terminal shows a part
            assert shown.get_short_help_str(room) == real.get_short_help_str(room), row.name


SUMMARY_MAX = 50  # characters: behind the longest name, 80 columns hold more


def commands(command: Any, words: str) -> Iterator[tuple[str, Any]]:
    """Yield each command below a command, with the words that call it."""
    below = getattr(command, "registered", getattr(command, "commands", {}))
    for name, each in below.items():
        yield f"{words} {name}", each
        yield from commands(each, f"{words} {name}")


def test_every_summary_is_short(program: Program) -> None:
    found = dict(commands(program, program.package.partition(".")[0]))
    assert len(found) > len(program.listed)
    for words, command in found.items():
        summary = " ".join(command.help.split("\n\n")[0].split())
        assert len(summary) <= SUMMARY_MAX, f"{words}: {summary}"


def test_no_summary_is_cut_at_80_columns(program: Program) -> None:
    name = program.package.partition(".")[0]
    for words, command in [(name, program), *commands(program, name)]:
        if hasattr(command, "commands"):
            context = command.make_context(words, [], resilient_parsing=True, terminal_width=80)
            lines = command.get_help(context).splitlines()
            for each, row in command.commands.items():
                summary = " ".join(row.help.split("\n\n")[0].split())
                shown = [line for line in lines if line.startswith(f"  {each} ")]
                assert [line.split(None, 1)[1] for line in shown] == [summary], f"{words} {each}"


def test_the_help_lists_stages_in_their_order(program: Program) -> None:
    context = program.make_context("program", [], resilient_parsing=True, terminal_width=80)
    lines = [line.strip() for line in program.get_help(context).splitlines()]
    at = [lines.index(f"{stage}:") for stage in program.stages]
    assert at == sorted(at)
