"""The first hour of a new user: how to begin, words of other programs, progress, sudo, and our own faults."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from formats.shell.console import Console
from tests.commands import PATIENCE, installed, processor_seconds
from tests.journeys import trees
from tests.journeys.stage import Copy, Result, Stage, as_nobody, below, in_parallel, prepared, refused

assert sys.platform == "linux"

HEAVY = ("pyarrow", "numpy", "cryptography", "rich", "azure", "tqdm")


# How to begin


@pytest.mark.parametrize("program", ["seed", "importer"])
def test_a_bare_command_tells_how_to_begin(stage: Stage, program: str) -> None:
    shown = stage.run(program)
    assert shown.stderr == ""
    examples = [line.split() for line in shown.stdout.splitlines() if line.startswith(f"  {program} ")]
    assert len(examples) == 3
    in_parallel(lambda words: stage.run(words[0], words[1], "--help"), examples)
    assert f"{program} --help" in shown.stdout


def test_the_three_lines_of_both_are_a_whole_journey(stage: Stage, small_tree: Path) -> None:
    """Run the shown lines as they are: the operator's first two, then the machine's, then the import."""
    here = {"/srv/vault": stage.vault, "/mnt/disk": stage.disk, "/restored": stage.folder / "restored"}
    here |= {"/srv": small_tree / "media", "/etc": small_tree / "docs"}

    def lines(program: str) -> list[list[str]]:
        text = stage.run(program).stdout
        words = [line.split() for line in text.splitlines() if line.startswith(f"  {program} ")]
        return [[str(here.get(word, word)) for word in line] for line in words]

    operators, machines = lines("importer"), lines("seed")
    for program, *words in (*operators[:2], *machines, operators[2]):
        stage.run(program, *words)
    assert trees.differences(small_tree / "docs", below(here["/restored"], small_tree / "docs")) == []


# Words from other programs

MEANT = {
    "seed snapshots": "`seed points`",
    "seed init": "`seed register`",
    "seed check": "`seed verify`",
    "seed forget": "retention",
    "seed prune": "retention",
    "seed mount": "`seed ls POINT`",
    "seed unlock": "nothing is ever locked for good",
    "seed create": "`seed export`",
    "seed extract": "`seed restore`",
    "seed list": "`seed ls`",
    "seed import": "`importer import DISK`",
    "seed exprot": "`seed export`",
    "seed RESTORE": "`seed restore`",
    "seed qqqqqq": "`seed --help`",
    "importer init": "`importer vault create`",
    "importer snapshots": "`importer points`",
    "importer check": "`importer inspect`",
    "importer forget": "`importer prune`",
    "importer restore": "`seed restore`",
    "importer imprt": "`importer import`",
    "importer vault creat": "`importer vault create`",
    "importer machines nonsense": "`importer machines --help`",
}


@pytest.mark.parametrize("line", MEANT)
def test_an_unknown_verb_is_answered_with_ours(stage: Stage, line: str) -> None:
    program, *words = line.split()
    result = refused(stage.run(program, *words, "--json", code=2), "usage")
    assert MEANT[line] in result.json["error"]["hint"]
    assert result.json["error"]["subject"] == words[-1]
    assert len(result.stdout.splitlines()) == 1


def test_a_misspelt_option_is_answered_with_ours(stage: Stage) -> None:
    result = refused(stage.run("seed", "export", "--excldue", "x", "--json", code=2), "usage")
    assert "--exclude" in result.json["error"]["what"]
    assert "seed export --help" in result.json["error"]["hint"]


# Help


@pytest.mark.parametrize("program", ["seed", "importer"])
def test_help_loads_nothing_heavy(stage: Stage, program: str) -> None:
    """Load no heavy library at the top of a module of commands: each help would wait for it."""
    probe = (
        f"import sys, importlib, pkgutil, {program}.cli as cli\n"
        f"for found in pkgutil.iter_modules(cli.__path__): importlib.import_module(f'{program}.cli.{{found.name}}')\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert not {name.split(".")[0] for name in done.stdout.split()} & set(HEAVY)


@pytest.mark.parametrize("line", ["seed --help", "seed export --help", "importer vault create --help"])
def test_help_comes_at_once(stage: Stage, line: str) -> None:
    """Show help within 0.3 s on an idle machine; processor time counts, because other programs may run."""
    stage.command = installed
    assert min(processor_seconds(lambda: stage.run(*line.split())) for _ in range(5)) < 1.0


def test_an_example_is_never_broken_over_lines(stage: Stage) -> None:
    for columns in ("40", "80"):
        shown = stage.run("seed", "register", "--help", COLUMNS=columns).stdout
        assert re.search(
            r"^  Example: seed register --credential \S+ --generate-passphrase \S+$", shown, re.MULTILINE
        )


# Progress

LINE = re.compile(
    r"export: [0-9.]+ [KMGT]?i?B( of (≥ )?[0-9.]+ [KMGT]?i?B)? read(, [0-9,]+ files)?(, [0-9.]+ [KMGT]?i?B written)?, [0-9.]+ [KMGT]?i?B/s"
)
OFTEN = prepared("from formats.shell.console import Console; Console.interval = 0.05")


# No archive is placed before a line has reported some MiB.
TOLD = """
import threading
from formats.shell.console import Console
from formats.store.local import LocalStore as S
told, aside, put = threading.Event(), Console.aside, S.put_new
def aside_one(self, text, **named):
    aside(self, text, **named)
    if "MiB" in text:
        told.set()
def put_new(self, name, data):
    if name.startswith("archives/"):
        told.wait()
    return put(self, name, data)
Console.interval, Console.aside, S.put_new = 0.05, aside_one, put_new
"""


def test_without_a_terminal_a_line_comes_now_and_then(copy_of: Copy, opened: Stage, long_tree: Path) -> None:
    stage = copy_of(opened)
    stage.command = prepared(TOLD)
    shown = stage.run("seed", "export", long_tree, "--to", stage.disk)
    lines = [line for line in shown.stderr.splitlines() if line.startswith("export: ")]
    assert lines
    assert not [line for line in lines if not LINE.fullmatch(line)]
    assert any("MiB read" in line or "MiB of" in line for line in lines)


def test_no_line_of_progress_where_none_is_wanted(copy_of: Copy, opened: Stage, long_tree: Path) -> None:
    stage = copy_of(opened)
    words = ("seed", "export", long_tree, "--to", stage.disk)
    assert "export: " not in stage.run(*words).stderr
    stage.command = OFTEN
    assert stage.run(*words, "--again", "--quiet").stderr == ""


def test_a_line_has_all_that_is_known() -> None:
    console = Console()
    assert console.left() == ""
    console.progress(done=3 << 30, files=3456, stored=2 << 30, kept=1 << 30)
    console.expect(total=2 << 40, files=10_000, final=False)
    assert console.left() == "at least 2.00 TiB left"
    console.expect(total=6 << 30, files=10_000, final=True)
    assert console.left() == "2.0 GiB left"
    console.progress(done=2 << 30)
    assert console.left() == ""


@pytest.mark.parametrize(("final", "of"), [(False, "of ≥ 6.0 GiB "), (True, "of 6.0 GiB ")])
def test_a_line_says_whether_the_total_is_known(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, final: bool, of: str
) -> None:
    console = Console()
    console.interval = 0.02
    console.progress(files=3456, stored=2 << 30, done=3 << 30)
    console.expect(total=6 << 30, files=10_000, final=final)
    said, aside = threading.Event(), console.aside

    def aside_(text: str) -> None:
        aside(text)
        said.set()

    monkeypatch.setattr(console, "aside", aside_)
    with console.working("export"):
        assert said.wait(PATIENCE)
    first = capsys.readouterr().err.splitlines()[0]
    assert first == f"export: 3.0 GiB {of}read, 3,456 files, 2.0 GiB written, 0 B/s"


# A home of another user


@pytest.fixture
def anna(opened: Stage, room: Path) -> Stage:
    """Return a stage where Anna has registered this machine and runs root's commands through sudo.

    The home of root is empty.
    """
    stage = opened.copy(room / "stage")
    shutil.move(stage.home, room / "anna/.local/share/offseed/seed")
    (room / "root").mkdir()
    known = f"types.SimpleNamespace(pw_dir={str(room / 'anna')!r}) if name == 'anna' else real(name)"
    stage.command = prepared(f"import pwd, types; real = pwd.getpwnam; pwd.getpwnam = lambda name: {known}")
    return stage


def as_root(stage: Stage, *words: object, code: int = 0, **changes: str | Path | None) -> Result:
    rooms: dict[str, str | Path | None] = {
        "SEED_HOME": None,
        "XDG_DATA_HOME": "",
        "HOME": stage.folder.parent / "root",
    }
    return stage.run("seed", *words, code=code, **{**rooms, "SUDO_USER": "anna", **changes})


def test_sudo_is_told_of_the_home_of_its_caller(anna: Stage, small_tree: Path) -> None:
    words = ("export", small_tree, "--to", anna.disk, "--json")
    result = refused(as_root(anna, *words, code=1), "home-missing")
    assert "anna" in result.json["error"]["what"]
    hint = result.json["error"]["hint"].removeprefix("run as anna, without sudo: ")
    said = shlex.split(hint.partition(";")[0])
    assert said[-len(words) :] == [str(word) for word in words]
    home = anna.folder.parent / "anna/.local/share/offseed/seed"
    anna.run("seed", *said[-len(words) :], SEED_HOME=home)


def test_without_sudo_the_message_is_the_plain_one(anna: Stage, small_tree: Path) -> None:
    for caller in (None, "nobody-at-all"):
        words = ("export", small_tree, "--to", anna.disk, "--json")
        result = as_root(anna, *words, code=1, SUDO_USER=caller)
        refused(result, "home-missing")
        assert "without sudo" not in result.stderr


def test_a_registration_under_sudo_tells_of_the_one_that_is_there(anna: Stage) -> None:
    anna.issue()
    result = as_root(
        anna, "register", "--credential", anna.credential, "--name", "other", "--vault", anna.at,
        "--generate-passphrase", anna.folder / "other.passphrase",
    )  # fmt: skip
    assert "note: anna has registered this machine" in result.stderr


def test_reading_under_sudo_tells_of_it_too(anna: Stage) -> None:
    result = as_root(anna, "points", "--vault", anna.at, code=2)
    assert "[passphrase-missing]" in result.stderr
    assert "run as anna, without sudo: " in result.stderr


@pytest.mark.needs("root")
def test_a_home_that_may_not_be_read_is_told_plainly(opened: Stage, small_tree: Path) -> None:
    stage = Stage(opened.folder)
    stage.command = as_nobody
    closed = Path("/root/.local/share/offseed/seed")
    words = ("export", small_tree, "--to", stage.disk, "--json")
    refused(stage.run("seed", *words, code=1, SEED_HOME=closed), "home-damaged")


# Our own faults

FAULTS = {
    "in the main thread": "import seed.points.points as r; r.points = None",
    "in a command's module": "import sys; sys.modules['seed.cli.reading'] = None",
    "in the parser's own": "import sys; sys.modules['typer'] = None",
    "in a thread": (
        "import threading, seed.points.points as r\n"
        "r.points = lambda *_: threading.Thread(target=lambda: 1 / 0).start() or threading.Event().wait()"
    ),
    "in a pool": (
        "import seed.points.points as r; from concurrent.futures import ThreadPoolExecutor as P\n"
        "r.points = lambda *_: P().submit(lambda: 1 / 0).result()"
    ),
}


@pytest.mark.parametrize("place", FAULTS)
def test_a_fault_is_told_without_a_traceback_and_kept_in_a_log(exported: Stage, place: str) -> None:
    command = prepared(FAULTS[place])("seed")
    done = subprocess.run(
        [*command, "points", "--from", str(exported.disk), "--json"],
        env=exported.environment({}), cwd="/", capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "internal"
    assert "[internal]" in done.stderr
    log = Path(error["hint"].rpartition(" ")[2])
    assert log.read_text().startswith("Traceback")
    assert log.stat().st_mode & 0o077 == 0
    log.unlink()


def test_a_fault_that_cannot_be_logged_is_told_all_the_same(exported: Stage) -> None:
    nowhere = "import tempfile; tempfile.mkstemp = None; import seed.points.points as r; r.points = None"
    done = subprocess.run(
        [*prepared(nowhere)("seed"), "points", "--from", str(exported.disk)],
        env=exported.environment({}), cwd="/", capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 1
    assert "[internal]" in done.stderr
    assert "no log could be written" in done.stderr
    assert "Traceback" not in done.stderr
