"""What a terminal and a shell do to a command: pipes that end early, closed outputs, an odd locale, no colours."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.journeys.stage import Result, Stage, judged

assert sys.platform == "linux"


def shell(stage: Stage, line: str, code: int = 0, **environment: str) -> Result:
    """Run a line in a shell that fails where any command of a pipe does."""
    words = ("bash", "-o", "pipefail", "-c", line)
    names = {name: stage.command(name)[0] for name in ("seed", "importer")}
    done = subprocess.run(
        words,
        env=stage.environment({**names, "disk": str(stage.disk), "vault": str(stage.vault), **environment}),
        cwd=stage.folder,
        capture_output=True,
        check=False,
        timeout=60,
    )
    return judged(words, done.returncode, done.stdout, done.stderr, 0, code)


@pytest.mark.parametrize("command", ["$seed ls --from $disk", "$seed ls --from $disk --json"])
def test_a_pipe_that_ends_early_is_no_error(exported: Stage, command: str) -> None:
    result = shell(exported, f"for i in 1 2; do {command} | head -1 || exit; done")
    assert len(result.stdout.splitlines()) == 2
    assert result.stderr == ""


@pytest.mark.parametrize(
    "command",
    ["$seed ls --from $disk", "$seed --help", "$importer inspect $disk", "$importer points --vault $vault"],
)
def test_a_closed_output_is_no_fault(exported: Stage, command: str) -> None:
    result = shell(exported, f"{command} >&-")
    assert result.stderr == ""


def test_a_full_output_is_told(exported: Stage) -> None:
    """A listing into a full disk must not seem to have succeeded."""
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    result = shell(exported, "$seed ls --from $disk >/dev/full", code=4)
    assert result.stderr


def test_a_closed_input_is_no_fault(exported: Stage) -> None:
    shell(exported, "$seed points --from $disk <&-")


def test_the_c_locale_shows_all_names(exported: Stage) -> None:
    for locale in ("C", "C.UTF-8"):
        result = shell(exported, "$seed ls --from $disk", LC_ALL=locale, LANG=locale, PYTHONUTF8="0")
        assert "docs" in result.stdout


def test_quiet_says_nothing_and_errors_all_the_same(exported: Stage) -> None:
    assert shell(exported, "$importer inspect $disk --quiet").stdout == ""
    failed = shell(exported, "$importer inspect /none --quiet", code=1)
    assert "[disk-missing]" in failed.stderr


def test_json_is_one_document_and_the_only_thing_on_stdout(exported: Stage) -> None:
    for line in ("$importer inspect $disk --json", "$seed points --from $disk --json"):
        assert shell(exported, line).json
    failed = shell(exported, "$seed nonsense --json", code=2)
    assert failed.json["error"]["code"] == "usage"


def test_without_arguments_a_command_shows_its_help(exported: Stage) -> None:
    for line in ("$seed", "$importer", "$importer vault"):
        shown = shell(exported, line, code=2)
        assert "Usage:" in shown.stdout + shown.stderr
        assert "[usage]" not in shown.stderr
