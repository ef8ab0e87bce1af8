"""The lists of commands, from which a program knows a command before it imports it.

The walk through all helps in tests/journeys/test_readme.py shows that the module in the list registers the command.
"""

import importlib
import pkgutil

import pytest
import typer.main

from formats.shell.command_groups import Program

PROGRAMS = ("seed", "importer")


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> Program:
    """A program, with the modules of all its commands imported."""
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
