"""The end of a command with an output that has lost its reader: it ends its work, and says how that ended."""

import subprocess
import sys
from pathlib import Path

import pytest

# A command that prints more than a pipe holds, then writes a file, and has met a finding.
PROGRAM = """
import sys
from pathlib import Path
import typer
from formats.shell.console import command
from formats.shell.running import run
from formats.errors import UsageError
from formats.monitor import Finding
app = typer.Typer()
@command(app, "work", only_tells={only_tells})
def work(console, fails: bool = typer.Option(False, "--fails")):
    if fails:
        raise UsageError("usage", "it fails")
    for _ in range(20_000):
        console.say("a line of some length, so that the pipe is full at some time")
        console.result([1, 2, 3])
    Path("written").write_text("written")
    console.finding(Finding(code="source-changed", subject="a", detail="b"))
@command(app, "other")
def other(console):
    raise BrokenPipeError(32, "of another pipe")
sys.exit(run("program", app))
"""


def ran(folder: Path, *words: str, only_tells: bool = False, to: int) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(only_tells=only_tells)
    return subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=folder, env={"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=to, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.fixture
def closed() -> "subprocess.Popen[bytes]":
    """Return a process that has ended: its input has no reader any more."""
    reader = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE)
    reader.wait(60)
    return reader


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_a_pipe_that_nobody_reads_ends_no_work(
    tmp_path: Path, closed: "subprocess.Popen[bytes]", words: tuple[str, ...]
) -> None:
    assert closed.stdin is not None
    done = ran(tmp_path, "work", *words, to=closed.stdin.fileno())
    assert (tmp_path / "written").read_text() == "written"
    assert done.returncode == 3, done.stderr


def test_a_command_that_only_tells_ends_where_nobody_reads(
    tmp_path: Path, closed: "subprocess.Popen[bytes]"
) -> None:
    assert closed.stdin is not None
    done = ran(tmp_path, "work", only_tells=True, to=closed.stdin.fileno())
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize("only_tells", [False, True])
def test_an_error_has_its_exit_code_though_nobody_reads_it(
    tmp_path: Path, closed: "subprocess.Popen[bytes]", only_tells: bool
) -> None:
    assert closed.stdin is not None
    done = ran(tmp_path, "work", "--json", "--fails", only_tells=only_tells, to=closed.stdin.fileno())
    assert done.returncode == 2
    assert done.stderr == "program: it fails [usage]\n"


def test_another_pipe_that_breaks_is_no_success(tmp_path: Path) -> None:
    assert ran(tmp_path, "other", to=subprocess.DEVNULL).returncode != 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_an_output_without_room_is_told_once_the_work_is_done(tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = ran(tmp_path, "work", to=full.fileno())
    assert (tmp_path / "written").read_text() == "written"
    assert done.returncode == 4
    assert "the output cannot be written" in done.stderr
