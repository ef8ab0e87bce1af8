"""The README, the guide and the help: every command line in them is run, in order, as one story."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import installed, processor_seconds
from tests.journeys import trees
from tests.journeys.stage import Result, Stage, in_parallel
from tests.pages import PAGES, ROOT, text_of_pages

assert sys.platform == "linux"

PROGRAMS = ("seed", "importer")
SECONDS_MAX = 1.5


APART = re.compile(r"^<!-- (azblob|walk) -->\n```[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(text: str) -> list[str]:
    """Return the lines inside fenced code blocks, with continuation lines joined and without prompts.

    Two stories are left out: the one in Azure, which `test_azblob` tells, and the walk of five minutes.
    """
    found = re.findall(r"^```[^\n]*\n(.*?)^```", APART.sub("", text), re.DOTALL | re.MULTILINE)
    lines = "\n".join(found).replace("\\\n", " ").splitlines()
    return [line.strip().removeprefix("$ ") for line in lines]


def commands(text: str) -> list[list[str]]:
    """Return our command lines in fenced blocks, without comments behind them."""
    lines = [re.sub(r"\s+#.*", "", line) for line in blocks(text)]
    return [line.split() for line in lines if line.split(" ")[0] in PROGRAMS]


def places(stage: Stage, tree: Path) -> dict[str, Path | str]:
    """Return the paths that replace the names of the pages here, the longer name first."""
    second, third = stage.folder / "second disk", stage.folder / "third disk"
    second.mkdir()
    third.mkdir()
    return {
        "/mnt/disk1": stage.disk,
        "/mnt/disk2": second,
        "/mnt/disk3": third,
        "/srv/vault": stage.at,
        "/srv": tree / "media",
        "/etc": tree / "docs",
        "/restored": stage.folder / "restored",
        "/var/lib/node_exporter": stage.folder,
        "/labels": stage.folder / "labels",
        "after.parquet": stage.folder / "after.parquet",
    }


def here(word: str, stand_for: dict[str, Path | str]) -> str:
    """Return the word with the names replaced, each only as a whole path or the beginning of one."""
    for name, path in stand_for.items():
        head, found, tail = word.partition(name)
        if found and (not tail or tail[0] == "/") and (not head or head[-1] in ":="):
            return f"{head}{path}{tail}"
    return word


def test_every_block_of_the_pages_is_found() -> None:
    """Find every line that begins with one of our programs, apart from the stories left out."""
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        begun = [line for line in APART.sub("", text).splitlines() if line.split(" ")[0] in PROGRAMS]
        assert len(begun) == len(commands(text)), page
    assert commands(text_of_pages())


def test_every_command_of_the_readme_works_in_its_order(stage: Stage, small_tree: Path) -> None:
    story = commands(text_of_pages())
    assert story, "no block was found"
    stand_for = places(stage, small_tree)
    for program, *words in story:
        stage.run(program, *(here(word, stand_for) for word in words))
    if restores := [words for words in story if words[:2] == ["seed", "restore"]]:
        targets = [Path(here(words[words.index("--target") + 1], stand_for)) for words in restores]
        assert all(any(target.iterdir()) for target in targets)
        whole = [t for t in targets if (t / str(small_tree / "docs").lstrip("/")).is_dir()]
        assert whole
        for target in whole:
            assert (
                trees.differences(small_tree / "media", target / str(small_tree / "media").lstrip("/")) == []
            )


def test_the_walk_of_five_minutes_works_as_it_stands_there(room: Path) -> None:
    (walk,) = [found[1] for found in APART.findall(text_of_pages()) if found[0] == "walk"]
    (home := room / "home").mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SEED_", "IMPORTER_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    (folder := room / "try").mkdir()
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", walk],
        cwd=folder,
        env={**environment, "HOME": str(home), "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "complete" in done.stdout
    assert list(home.iterdir()) == [], "nothing outside the folder is touched"


@pytest.mark.parametrize(
    ("program", "begun", "meant"), [("seed", "rest", "restore"), ("importer", "cred", "credentials")]
)
def test_a_shell_completes_commands_and_options(program: str, begun: str, meant: str, opened: Stage) -> None:
    script = opened.run(program, "completion", "bash").stdout

    def asked(words: str, at: int) -> str:
        return f'COMP_WORDS=({program} {words}); COMP_CWORD={at}; _{program}_completion {program}; echo "${{COMPREPLY[*]}}"'

    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", f"{script}\n{asked(begun, 1)}\n{asked(f'{meant} --h', 2)}"],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == [meant, "--help"], done
    opened.run(program, "completion", "tcsh", code=2)
    for shell in ("zsh", "fish", "powershell"):
        assert program in opened.run(program, "completion", shell).stdout


@pytest.fixture(scope="module")
def helps(opened: Stage) -> dict[tuple[str, ...], Result]:
    """Return the help of every command, found through the help itself, from the installed scripts."""
    found: dict[tuple[str, ...], Result] = {}
    stage = Stage(opened.folder)
    stage.command = installed

    def collect(words: tuple[str, ...]) -> None:
        found[words] = stage.run(*words, "--help")
        below = found[words].stdout.partition("\nOptions:\n")[2]  # arguments come before the options
        names = re.findall(r"^  ([a-z][a-z-]*)  ", below, re.MULTILINE)
        in_parallel(collect, [(*words, name) for name in names])

    in_parallel(collect, [(program,) for program in PROGRAMS])
    return found


def test_every_help_has_an_example_of_its_own_command(helps: dict[tuple[str, ...], Result]) -> None:
    assert len(helps) > 15
    for words, result in helps.items():
        shown = " ".join(result.stdout.split())
        example = shown.partition("Example: ")[2]
        assert example.startswith(" ".join(words)), f"{' '.join(words)} --help: Example: {example[:60]}"
        assert result.stderr == ""


def test_every_help_comes_at_once(opened: Stage, helps: dict[tuple[str, ...], Result]) -> None:
    """Show every help at once.

    A help that was slow beside others runs again alone, and then only its processor time counts.
    """
    slow = [words for words, result in helps.items() if result.seconds > SECONDS_MAX]
    cold = Stage(opened.folder)
    cold.command = installed
    alone = {words: processor_seconds(lambda w=words: cold.run(*w, "--help")) for words in slow}  # type: ignore[misc]
    assert not {words: seconds for words, seconds in alone.items() if seconds > SECONDS_MAX}
