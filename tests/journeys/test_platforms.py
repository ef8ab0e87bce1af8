"""The notices on a system where the programs were never tried."""

import sys

import pytest

from formats.shell.platforms import LEFT_OUT, UNTRIED, warnings
from tests.journeys import moments
from tests.journeys.stage import Copy, Stage, prepared

assert sys.platform == "linux"

# The command runs on Linux, but the notice assumes another platform.
ON_MACOS = """
from formats.shell import console
warnings = console.warnings
console.warnings = lambda platform, command: warnings("darwin", command)
"""


def test_on_linux_nothing_is_told() -> None:
    assert list(warnings("linux", "seed backup")) == []


@pytest.mark.parametrize(("platform", "system"), UNTRIED.items())
def test_each_other_system_is_told(platform: str, system: str) -> None:
    (text,) = warnings(platform, "importer import")
    assert system in text


def test_each_run_that_leaves_something_out_tells_it(copy_of: Copy, opened: Stage) -> None:
    stage = copy_of(opened)
    source = stage.folder / "source"
    source.mkdir()
    with moments.using(stage, prepared(ON_MACOS)):
        for words in (("backup", source), ("restore", "latest", "--target", stage.folder / "back")):
            told = stage.run("seed", *words).stderr
            assert f"note: on macOS {LEFT_OUT['darwin']} are left out" in told
        assert "left out" not in stage.run("importer", "prune", "--vault", stage.at).stderr
