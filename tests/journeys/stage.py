"""A stage: everything that one story needs, with the two real commands.

A `Stage` has its own homes, vault, disk, credential and passphrase file below one folder.
Every command runs as a process, and no part is mocked.
A story sees the same as a user: the exit code, stdout and stderr.
No command may ever show a traceback or call a failure its own fault: `run` itself checks that.
It also checks each document of --json against the schema.
"""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, TypeVar

from tests.commands import (
    PATIENCE,
    ForkedProcess,
    Forks,
    Process,
    Program,
    at_terminal,
    hear_signals,
)
from tests.json_schema import check_output

ROOT = Path(__file__).parent.parent.parent
T = TypeVar("T")

PASSPHRASE = "grey otter 51 sails past Lisbon"


@dataclass(frozen=True)
class Result:
    """The results of a command: its exit code and its output. `words` is the command line."""

    words: tuple[str, ...]
    code: int
    stdout: str
    stderr: str
    seconds: float
    worked: float = 0.0  # the seconds of processor time, if the command was a fork

    @property
    def json(self) -> Any:
        """The one document that --json prints."""
        return json.loads(self.stdout)

    @property
    def lines(self) -> list[Any]:
        """The objects of a long list under --json, one a line."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    def __str__(self) -> str:
        return f"$ {' '.join(self.words)}\n{self.stdout}{self.stderr}[exit {self.code}]"


class Stage:
    """One operator, one machine, one vault and one disk, below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.command: Program = Forks()
        self.home = folder / "seed-home"
        self.importer_home = folder / "importer-home"
        self.vault = folder / "vault"
        self.disk = folder / "disk"
        self.credential = folder / "machine.credential"
        self.secret = folder / "machine.passphrase"
        self.disk.mkdir(parents=True, exist_ok=True)

    def copy(self, folder: Path) -> Self:
        """Copy the scene to `folder`, where a story may spoil it: the copied home knows its own vault."""
        subprocess.run(["cp", "-a", "--reflink=auto", "--", f"{self.folder}/.", str(folder)], check=True)
        stage = type(self)(folder)
        if (identity := stage.home / "identity.json").exists():
            text = identity.read_text()
            identity.write_text(text.replace(json.dumps(self.at), json.dumps(stage.at)))
        return stage

    def join(self, other: Self) -> None:
        """Make this stage one more machine at the other stage's vault."""
        self.vault, self.importer_home, self.credential = other.vault, other.importer_home, other.credential

    @property
    def at(self) -> str:
        """The vault's address."""
        return str(self.vault)

    def environment(self, changes: dict[str, str | Path | None]) -> dict[str, str]:
        homes = {"SEED_HOME": self.home, "IMPORTER_HOME": self.importer_home, "COLUMNS": "110", **changes}
        inherited = {
            k: v for k, v in os.environ.items() if not k.startswith(("SEED_", "IMPORTER_", "AZURE_"))
        }
        return inherited | {k: str(v) for k, v in homes.items() if v is not None}

    def bring(
        self, words: tuple[object, ...], environment: dict[str, str | Path | None]
    ) -> dict[str, str | Path | None]:
        """Return the environment of a command: the story's own settings, and any that the stage adds."""
        return environment

    def run(
        self,
        program: str,
        *arguments: object,
        code: int | None = 0,
        **environment: str | Path | None,
    ) -> Result:
        """Run a command that must end with `code` (None: any). A keyword sets an environment variable."""
        began = time.monotonic()
        process = self._start((program, *map(str, arguments)), environment)
        return _result(process, began, code)

    def start(self, program: str, *arguments: object, **environment: str | Path | None) -> Process:
        """Start a command in its own process group, and return it while it runs."""
        return self._start((program, *map(str, arguments)), environment, session=True)

    def _start(
        self, words: tuple[str, ...], environment: dict[str, str | Path | None], *, session: bool = False
    ) -> Process:
        given = self.environment(self.bring(words, environment))
        if isinstance(self.command, Forks) and self.command.can_start(given):
            return ForkedProcess(self.command, words, given, self.folder, session=session)
        process = subprocess.Popen(
            [*self.command(words[0]), *words[1:]],
            env=given,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=session,
            preexec_fn=hear_signals,
        )
        process.args = list(words)  # as a fork has them: the words of the story
        return process

    def type(self, program: str, *arguments: object, answers: list[bytes], code: int | None = 0) -> Result:
        """Run a command at a terminal and type an answer at each passphrase prompt; b"\\x03" is Ctrl-C."""
        words = (program, *map(str, arguments))
        began = time.monotonic()
        window, await_end = at_terminal(self.command, words, self.environment({}), self.folder)
        shown = _converse(window, answers)
        return judged(words, await_end(), shown, b"", time.monotonic() - began, code)

    def create_vault(self, name: str = "Backups") -> None:
        self.run("importer", "vault", "create", name, "--at", self.at, "--region", "here")

    def issue(self, out: Path | None = None) -> Path:
        """Issue a new credential, which replaces an earlier one."""
        path = out or self.credential
        path.unlink(missing_ok=True)
        self.run("importer", "credentials", "issue", "--vault", self.at, "--out", path)
        return path

    def write_secret(self) -> None:
        """Write the passphrase file unless it exists."""
        if not self.secret.exists():
            self.secret.write_text(PASSPHRASE + "\n")
            self.secret.chmod(0o600)

    def register(self, name: str = "web1") -> None:
        self.write_secret()
        self.run(
            "seed", "register", "--credential", self.credential, "--name", name,
            "--passphrase-file", self.secret, "--vault", self.at,
        )  # fmt: skip

    def open(self) -> None:
        """Create the vault and register the machine with it."""
        self.create_vault()
        self.issue()
        self.register()

    def export(self, *arguments: object, code: int | None = 0) -> Any:
        return self.run("seed", "export", *arguments, "--to", self.disk, "--json", code=code).json

    def import_(self, code: int | None = 0) -> Any:
        return self.run("importer", "import", self.disk, "--vault", self.at, "--json", code=code).json

    def restore(self, target: Path, *source: object, code: int | None = 0, home: Path | None = None) -> Any:
        return self.run(
            "seed", "restore", "latest", "--target", target, *source, "--json",
            code=code, SEED_HOME=home or self.home,
        ).json  # fmt: skip

    @property
    def seeded(self) -> Path:
        """The only folder of ours on the disk."""
        (folder,) = (self.disk / "offseed").iterdir()
        return folder

    def objects(self, prefix: str) -> list[Path]:
        """Return the files on the disk below `prefix`, the largest first."""
        found = [p for p in (self.seeded / prefix).rglob("*") if p.is_file()]
        return sorted(found, key=lambda p: (-p.stat().st_size, p))


def keep_firsts(stage: Stage, *, days: int) -> None:
    """Set a policy that keeps the first point of each day for `days` days, and the last point."""
    none = [word for rule in ("every", "weekly", "monthly", "yearly") for word in (f"--{rule}", "0")]
    stage.run("seed", "retention", "set", *none, "--daily", str(days))


def a_day_later(stage: Stage) -> None:
    """Make all objects in the vault 25 hours older."""
    then = time.time() - 25 * 3600
    for path in stage.vault.rglob("*"):
        if path.is_file():
            os.utime(path, (then, min(then, path.stat().st_mtime - 25 * 3600)))


def disks(stage: Stage, count: int) -> list[Path]:
    paths = [stage.folder / f"disk {number}" for number in range(1, count + 1)]
    for path in paths:
        path.mkdir(exist_ok=True)
    return paths


def to(*paths: Path) -> list[object]:
    return [word for path in paths for word in ("--to", path)]


def backup(stage: Stage, *arguments: object, code: int | None = 0, **environment: str) -> dict[str, object]:
    found: dict[str, object] = stage.run(
        "seed", "backup", *arguments, "--json", code=code, **environment
    ).json
    return found


def stored(stage: Stage) -> dict[str, int]:
    """Return the sizes of all files in the vault, by name."""
    return {str(p.relative_to(stage.vault)): p.stat().st_size for p in stage.vault.rglob("*") if p.is_file()}


def kept(source: Path, room: Path, name: str) -> Path:
    """Copy the source in its present state, for later."""
    subprocess.run(["cp", "-a", "--sparse=always", source, room / name], check=True)
    return room / name


def restored(stage: Stage, point: object, room: Path, source: Path, *, code: int = 0) -> Path:
    """Restore a point from the vault, and return the place of the source."""
    target = room / f"of {str(point)[:8]} {code}"
    stage.run("seed", "restore", str(point)[:8], "--vault", stage.at, "--target", target, code=code)
    return below(target, source)


Copy = Callable[[Stage], Stage]


def below(target: Path, source: Path) -> Path:
    """Return the place where a restore puts `source`: full paths lie below the target."""
    return target / str(source).lstrip("/")


def judged(
    words: tuple[str, ...], ended: int, stdout: bytes, stderr: bytes, seconds: float, code: int | None
) -> Result:
    """Return the result, and assert that a user may see it."""
    result = Result(words, ended, _text(stdout), _text(stderr), seconds)
    assert "Traceback" not in result.stdout + result.stderr, result
    assert "[internal]" not in result.stderr, f"{result}\n{_fault(result.stderr)}"
    assert code is None or ended == code, result
    return result


def refused(result: Result, code: str) -> Result:
    """Assert that scripts and users get the same error code and a hint, and return the result."""
    error = result.json["error"]
    assert error["code"] == code, result
    assert error["hint"], f"no hint: {result}"
    assert f"[{code}]" in result.stderr
    assert "what to do: " in result.stderr
    return result


def await_(happened: Callable[[], object], process: Process) -> bool:
    """Wait until the event happens; return False if the process ends before."""
    until = time.monotonic() + PATIENCE
    while not happened():
        if process.poll() is not None:
            return False
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.002)
    return True


def ended(process: Process, signal_number: int | None = None) -> Result:
    """Send a signal, if one is given, and return the results of the process."""
    if signal_number is not None:
        process.send_signal(signal_number)
    return _result(process, time.monotonic(), None)


def _result(process: Process, began: float, code: int | None) -> Result:
    """Return the results of a process. Kill it if it does not end, and raise subprocess.TimeoutExpired."""
    try:
        stdout, stderr = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    words = tuple(map(str, process.args)) if isinstance(process.args, list) else ()
    result = judged(words, process.wait(), stdout, stderr, time.monotonic() - began, code)
    if isinstance(process, ForkedProcess):
        result = replace(result, worked=process.worked)
    check_output(words, result.stdout, result.code)
    return result


def snapshot(folder: Path) -> dict[str, bytes | str | None]:
    """Return everything below a folder by name, without the logs of jobs.

    Files give their content, links their targets, and folders None.
    """
    found: dict[str, bytes | str | None] = {}
    for path in sorted(folder.rglob("*")):
        name = os.path.relpath(path, folder)
        if path.suffix == ".jsonl" or (path.name == "jobs" and path.parent.name.endswith("-home")):
            continue
        if path.is_symlink():
            found[name] = os.readlink(path)
        else:
            found[name] = path.read_bytes() if path.is_file() else None
    return found


def in_parallel(attempt: Callable[[T], object], items: Iterable[T]) -> None:
    """Try each item, several at once, and raise the first failure."""
    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(attempt, items):
            pass


def flip(path: Path, offset: int) -> None:
    """Damage one byte; a negative offset counts from the end."""
    with path.open("r+b") as file:
        file.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
        (byte,) = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0xFF]))


def prepared(prelude: str) -> Program:
    """Return the same commands, which run some lines of Python first."""
    return Forks(prelude)


NOBODY = 65_534
as_nobody = Forks(user=NOBODY)  # for a user without any rights


def _converse(terminal: int, answers: list[bytes]) -> bytes:
    """Type each answer at its prompt, and return all that the terminal showed."""
    shown, left = b"", list(answers)
    prompts = 0
    while True:
        try:
            data = os.read(terminal, 4096)
        except OSError:  # the other end is closed
            break
        if not data:
            break
        shown += data
        if left and shown.count(b": ") > prompts and shown.endswith(b": "):
            prompts = shown.count(b": ")
            time.sleep(0.05)  # until the terminal has stopped echoing
            os.write(terminal, left.pop(0))
    os.close(terminal)
    return shown


def _fault(stderr: str) -> str:
    """Return the traceback that a fault left in a log."""
    path = Path(stderr.rpartition(" ")[2].strip())
    return path.read_text() if path.is_file() else ""


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace").replace("\r\n", "\n")
