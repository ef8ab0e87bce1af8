"""Groups of commands. They know the verbs of other programs and misspelt verbs, and import late.

A call of a program imports the module of the requested command, and no module of another command.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Annotated, Any, ClassVar, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from formats.errors import UsageError

ALIKE = 0.7  # from this ratio of difflib on, a word counts as a typing error


class Verbs(TyperGroup):
    """A group that suggests a command if no command has the given name."""

    instead: ClassVar[
        Mapping[str, str]
    ] = {}  # another program's verb: our command, or a sentence if we have none

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args and self.no_args_is_help and not ctx.resilient_parsing:
            typer.echo(ctx.get_help(), err=True)
            raise typer.Exit(2)
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command. Raises UsageError usage."""
        if self.get_command(ctx, args[0]) is None:
            raise UsageError(
                "usage",
                "there is no such command",
                subject=args[0],
                hint=self._hint(ctx.command_path, args[0]),
            )
        return super().resolve_command(ctx, args)

    def _hint(self, path: str, word: str) -> str:
        known = {**self.instead, **{name: name for name in self.commands}}
        for near in get_close_matches(word.lower(), known, 1, ALIKE):
            meant = known[near]
            if meant.split()[0] in self.commands:
                return f"try `{path} {meant}`; `{path} {meant} --help` says more"
            if " " in meant:
                return meant
            return f"`{path} {meant}` comes in a later version; `{path} --help` lists what there is today"
        return f"`{path} --help` lists the commands"


class ListedCommand(NamedTuple):
    """A command in the list of a program's commands; `about` is the first sentence of its help."""

    name: str
    module: str  # below the package of the program's commands
    about: str


class Program(Verbs):
    """The commands of a program, in stages. Each is known only by its row in a list until it is called."""

    package: ClassVar[str]
    stages: ClassVar[Mapping[str, Sequence[ListedCommand]]]

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.registered = self.commands
        self.commands = {row.name: TyperCommand(row.name, help=row.about) for row in self.listed}

    @property
    def listed(self) -> Sequence[ListedCommand]:
        """The commands of all stages."""
        return [row for rows in self.stages.values() for row in rows]

    def format_commands(self, _: Any, formatter: Any) -> None:
        """Write the summaries of the commands, stage by stage, each on one line."""
        width = max(map(len, self.commands))
        for stage, rows in self.stages.items():
            with formatter.section(stage):
                formatter.write_dl([(row.name.ljust(width), row.about) for row in rows])

    @property
    @abstractmethod
    def app(self) -> typer.Typer:
        """The app with which the modules of commands register."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Import the module of the requested command, and return the command. Raises UsageError usage."""
        for row in self.listed:
            if row.name == args[0]:
                self.commands[row.name] = self.load(row)
        return super().resolve_command(ctx, args)

    def load(self, row: ListedCommand) -> Any:
        """Return the command itself, in place of its row in the list."""
        import_module(f"{self.package}.{row.module}")
        built = get_command(self.app)
        assert isinstance(built, Program)
        return built.registered[row.name]


def program(commands: type[Program], about: str, example: str, start: str) -> typer.Typer:
    """Return the root of a program's commands. Called without a command, it prints `start`."""
    app = typer.Typer(
        name=commands.package.partition(".")[0],
        cls=commands,
        help=about,
        epilog=f"Example: {example}",
        invoke_without_command=True,
        context_settings={"help_option_names": ["--help", "-h"]},
        rich_markup_mode=None,  # rich alone takes as long as all the rest of --help
        add_completion=False,
        pretty_exceptions_enable=False,
    )

    @app.callback()
    def main(
        context: typer.Context,
        _version: Annotated[
            bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
        ] = False,
    ) -> None:
        if context.invoked_subcommand is None:
            print(start, end="")

    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        import importlib.metadata

        print(f"offseed {importlib.metadata.version('offseed')}")
        raise typer.Exit


def group(parent: typer.Typer, name: str, about: str, example: str) -> typer.Typer:
    """Add a group of commands below `parent`, and return it. By itself it shows its help."""
    made = typer.Typer(
        help=about, epilog=f"Example: {example}", cls=Verbs, no_args_is_help=True, rich_markup_mode=None
    )
    parent.add_typer(made, name=name)
    return made
