"""Completion of commands and options in a shell, as typer does it: the shell's script asks the program."""

from typing import Annotated

import typer

from formats.errors import UsageError
from formats.shell.console import Console, command

SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")


def variable(program: str) -> str:
    """Return the name of the environment variable by which the shell asks the program."""
    return f"_{program.upper()}_COMPLETE"


def hear_shell() -> None:
    """Let the next run of the command line answer the shell's question."""
    from typer.completion import completion_init  # type: ignore[attr-defined]

    completion_init()


def add_completion(app: typer.Typer, program: str) -> None:
    """Add the command `completion` to `app`."""

    def completion(
        console: Console,
        shell: Annotated[str, typer.Argument(metavar="SHELL", help=f"One of {', '.join(SHELLS)}.")],
    ) -> None:
        """Print the shell completion of this program.

        The manual of the shell says where the script goes."""
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
