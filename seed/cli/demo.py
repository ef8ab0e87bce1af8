"""The command `seed demo`: the whole journey on this machine, each step by the command of a user."""

import filecmp
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from formats.errors import OffseedError, UsageError
from formats.shell.console import FAILED, Console, command
from seed.cli.app import app

SAMPLE = Path(os.__file__).parent  # Python's own library: a few thousand real files


@command(app, "demo")
def demo(
    console: Console,
    path: Annotated[
        Path | None, typer.Argument(metavar="PATH", help="A path to back up; else a sample.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the scratch folder behind.")] = False,
) -> int:
    """Run the whole journey in a scratch folder.

    Make a vault, register, export, import, restore and compare.

    Example: seed demo /usr/share/doc
    """
    source = (path or SAMPLE).absolute()
    if not source.is_dir():
        raise UsageError(
            "path-not-found", "there is no folder at this path", subject=str(source),
            hint="name a folder of some files, or none: then Python's own library is taken",
        )  # fmt: skip
    scratch = Path(tempfile.mkdtemp(prefix="offseed-demo-"))
    try:
        journey = _Journey(console, scratch)
        journey.go(source)
        differences = list(compare(source, scratch / "restored" / str(source).lstrip("/")))
    finally:
        if keep:
            console.say(f"Kept: {scratch}")
        else:
            shutil.rmtree(scratch, ignore_errors=True)
    for difference in differences[:10]:
        console.say(f"differs: {difference}")
    if differences:
        console.say(f"{len(differences)} differences")
    else:
        console.say()
        console.say(
            f"Every file of {source} came back bit for bit, and the importer never held the passphrase."
        )
    console.result({"source": str(source), "steps": journey.steps, "differences": len(differences)})
    return FAILED if differences else 0


class _Journey:
    """A runner of the commands of both sides, as processes of their own, each side with its own home."""

    def __init__(self, console: Console, scratch: Path) -> None:
        self.console = console
        self.scratch = scratch
        self.steps = 0

    def go(self, source: Path) -> None:
        (self.scratch / "disk").mkdir()
        vault, disk = self.scratch / "vault", self.scratch / "disk"
        credential, secret = self.scratch / "machine.credential", self.scratch / "passphrase"
        self.step("At the datacenter: a vault, and a credential for one machine")
        self.run("importer", "vault", "create", "Demo", "--at", vault, "--region", "here")
        self.run("importer", "credentials", "issue", "--vault", vault, "--out", credential)
        self.step("On the server: register, then write the seed onto a disk (here a folder, hence the note)")
        self.run(
            "seed", "register", "--credential", credential, "--name", "demo", "--generate-passphrase", secret
        )
        self.run("seed", "export", source, "--to", disk, warnings=True)
        self.step("At the datacenter again: look at the disk and import it, without any key")
        self.run("importer", "inspect", disk)
        self.run("importer", "import", disk, "--vault", vault)
        self.step("Anywhere: restore from the vault, with nothing but the passphrase")
        nowhere = {"SEED_HOME": str(self.scratch / "another-machine")}
        access = ("--vault", vault, "--passphrase-file", secret)
        self.run("seed", "points", *access, environment=nowhere)
        self.run(
            "seed", "restore", "latest", "--target", self.scratch / "restored", *access, environment=nowhere
        )

    def step(self, text: str) -> None:
        self.console.say()
        self.console.say(f"# {text}")

    def run(
        self,
        program: str,
        *arguments: object,
        warnings: bool = False,
        environment: dict[str, str] | None = None,
    ) -> None:
        """Print the command and run it. Raises OffseedError if it fails."""
        words = [str(a) for a in arguments]
        self.steps += 1
        self.console.say(f"$ {program} {' '.join(words)}")
        homes = {
            "SEED_HOME": str(self.scratch / "seed-home"),
            "IMPORTER_HOME": str(self.scratch / "importer-home"),
            **(environment or {}),
        }
        main = f"import sys; sys.argv[0] = {program!r}; from {program}.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", main, *words],
            env={**os.environ, **homes},
            stdin=subprocess.DEVNULL,
            capture_output=self.console.as_json or self.console.quiet,
            check=False,
        )
        if done.returncode not in ((0, 3) if warnings else (0,)):
            raise OffseedError(
                "internal",
                f"the step ended with exit code {done.returncode}",
                subject=f"{program} {words[0]}",
            )


def compare(source: Path, restored: Path) -> "list[str]":
    """Return the differences between two trees: names, types, modes, times, links, content."""
    found: list[str] = []
    for folder, folders, files in os.walk(source):
        for name in (*folders, *files):
            one = Path(folder) / name
            other = restored / one.relative_to(source)
            if (reason := _difference(one, other)) is not None:
                found.append(f"{one}: {reason}")
    return found


def _difference(one: Path, other: Path) -> str | None:
    try:
        a, b = one.lstat(), other.lstat()
        if (a.st_mode, a.st_mtime_ns) != (b.st_mode, b.st_mtime_ns):
            return "mode or time"
        if stat.S_ISLNK(a.st_mode):
            return None if os.readlink(one) == os.readlink(other) else "link target"
        if stat.S_ISREG(a.st_mode) and not filecmp.cmp(one, other, shallow=False):
            return "content"
    except OSError as error:
        return error.strerror
    return None
