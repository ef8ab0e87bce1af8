"""The rules for commit messages, and the hooks: git refuses a bad message by the project's own configuration."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commit_message import IMPERATIVES, problems

ROOT = Path(__file__).parent.parent
GOOD = "Add a check of commit messages\n\nReaders of the history find the reason of a change.\n"


@pytest.mark.parametrize(
    "message",
    [
        GOOD,
        "Seed a disk\n\nThe first word ends in ed, and is an imperative.\n",
        "# a comment of git's\n\n" + GOOD + "# Changes to be committed:\n#\tmodified: a file\n",
        GOOD + "# ------------------------ >8 ------------------------\n" + "a diff " * 40,
        GOOD + "\nhttps://example.org/" + "a" * 200 + "\n",
        GOOD + "\nSigned-off-by: Ada <ada@example.org>\n",
        "A" * 72 + "\n\nbody\n",
        "Merge branch 'a'\n",
        'Revert "' + "a" * 80 + '"\n\nThis reverts commit 0.\n',
        "fixup! Add a check\n",
    ],
)
def test_a_good_message_passes(message: str) -> None:
    assert list(problems(message)) == []


@pytest.mark.parametrize(
    ("message", "order"),
    [
        ("", "write a message"),
        ("# only a comment\n", "write a message"),
        ("A" * 73 + "\n\nbody\n", "shorten the subject"),
        ("Add a check.\n\nbody\n", "without a period"),
        ("add a check\n\nbody\n", "capital letter"),
        ("docs: add a check\n\nbody\n", "capital letter"),
        ("Added a check\n\nbody\n", "imperative"),
        ("Adding a check\n\nbody\n", "imperative"),
        ("Add a check\nbody\n", "second line"),
        ("Add a check\n", "body"),
        ("Add a check\n\n# a comment\n", "body"),
        ("Add a check\n\nSigned-off-by: Ada <ada@example.org>\n", "body"),
        ("Add a check\n\n" + "word " * 21 + "\n", "break the line"),
    ],
)
def test_a_bad_message_is_told_what_to_do(message: str, order: str) -> None:
    (found,) = problems(message)
    assert order in found


def test_the_list_of_imperatives_holds_only_words_that_need_it() -> None:
    assert all(word.endswith(("ed", "ing")) for word in IMPERATIVES)


@pytest.mark.parametrize(
    ("words", "code"), [((), 2), (("good",), 0), (("bad",), 1)], ids=["usage", "good", "bad"]
)
def test_the_command_says_it_by_its_exit_code(tmp_path: Path, words: tuple[str, ...], code: int) -> None:
    (tmp_path / "good").write_text(GOOD)
    (tmp_path / "bad").write_text("added\n\nbody\n")
    files = [str(tmp_path / word) for word in words]
    ran = subprocess.run(
        [sys.executable, "-m", "tests.commit_message", *files], cwd=ROOT, capture_output=True, check=False
    )
    assert ran.returncode == code
    assert bool(ran.stderr) == bool(code)


def test_git_refuses_by_our_hooks(tmp_path: Path) -> None:
    """Refuse a bad message through the hooks as `pre-commit install` sets them up, in a separate repository."""
    pytest.importorskip("pre_commit", reason="NOT TESTED: the hooks need pre-commit, of the extra `dev`")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PRE_COMMIT_HOME": str(tmp_path / "hooks"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        **{
            f"GIT_{who}_{what}": "ada@example.org"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        },
    }
    tree = tmp_path / "tree"
    (tree / "tests").mkdir(parents=True)
    for name in (".pre-commit-config.yaml", "pyproject.toml", "tests/__init__.py", "tests/commit_message.py"):
        shutil.copy(ROOT / name, tree / name)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(words, cwd=tree, env=environment, capture_output=True, text=True, check=False)

    def commit(message: str, *, skip: str = "mypy") -> subprocess.CompletedProcess[str]:
        environment["SKIP"] = skip  # mypy looks at all packages, which are not here
        return run("git", "commit", "--message", message)

    assert run("git", "init", "--quiet").returncode == 0
    installed = run(sys.executable, "-m", "pre_commit", "install")
    assert installed.returncode == 0, installed.stdout + installed.stderr
    run("git", "add", ".")

    refused = commit("Added a check\n\nbody")
    assert refused.returncode != 0
    assert "begin the subject with an imperative" in refused.stdout + refused.stderr
    accepted = commit(GOOD)
    assert accepted.returncode == 0, accepted.stdout + accepted.stderr

    (tree / "tests" / "bad.py").write_text("import os\nrecieve = 1\n")
    run("git", "add", ".")
    refused = commit(GOOD)
    assert refused.returncode != 0
    said = refused.stdout + refused.stderr
    assert "F401" in said
    assert "receive" in said
