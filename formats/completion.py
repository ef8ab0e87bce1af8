"""Completion of commands and options in a shell, as typer has it: a script for the shell, which asks the program."""

from typing import Annotated

import typer

from formats.console import Console, command
from formats.errors import UsageError

SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")


def variable(program: str) -> str:
    """By which of the environment the shell asks."""
    return f"_{program.upper()}_COMPLETE"


def hear_shell() -> None:
    """Let the next run of the command line answer what a shell asks."""
    from typer.completion import completion_init  # type: ignore[attr-defined]

    completion_init()


def add_completion(app: typer.Typer, program: str) -> None:
    """The command `completion`."""

    def completion(
        console: Console,
        shell: Annotated[str, typer.Argument(metavar="SHELL", help=f"One of {', '.join(SHELLS)}.")],
    ) -> None:
        """Print what makes a shell complete commands and options; where it goes is for the shell to say."""
        from typer.completion import get_completion_script  # type: ignore[attr-defined]

        if shell not in SHELLS:
            raise UsageError(
                "usage",
                "there is no completion for this shell",
                subject=shell,
                hint=f"one of {', '.join(SHELLS)}",
            )
        script = get_completion_script(prog_name=program, complete_var=variable(program), shell=shell)
        for line in script.splitlines():
            console.say(line)
        console.result({"shell": shell, "script": script})

    example = f"{program} completion bash > /etc/bash_completion.d/{program}"
    command(app, "completion", example=example)(completion)
