"""Names that hold line breaks: no backed-up name and no path adds a line of its own to text for people."""

import sys
from pathlib import Path

import pytest

from formats.errors import HomeError, OffseedError
from formats.monitor import Finding
from formats.shell.console import Console
from seed.home.timers import TimerJob
from tests.hostile import test_vaults
from tests.journeys.stage import Copy, Stage, refused

assert sys.platform == "linux"

FORGED = "x\n-rw------- root:root 1 2026-01-01 00:00:00 /etc/forged"


def test_no_text_makes_more_than_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Print any text in one line: a name, an owner, an attribute, or the words of an error."""
    console = Console(verbose=True)
    console.say(FORGED)
    console.notice(FORGED)
    console.finding(Finding(code="target-xattr", subject=FORGED, detail=FORGED))
    console.report_findings()
    console.fail("seed", OffseedError("usage", FORGED, subject=FORGED, hint=FORGED))
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 1
    assert not [line for line in (shown.out + shown.err).splitlines() if line.startswith("-rw")]


@pytest.mark.parametrize("column", ["user", "group", "path", "target"])
def test_a_row_forges_no_line_of_a_list(copy_of: Copy, opened: Stage, room: Path, column: str) -> None:
    stage = copy_of(opened)
    source = room / "source"
    source.mkdir()
    (source / "planted").symlink_to("somewhere")
    value = repr(FORGED) if column in ("user", "group") else repr(FORGED.encode())
    value = f"e.path + {value.replace('/etc/', '')}" if column == "path" else value
    test_vaults.sealed(stage, source, f"e._replace({column}={value}) if e.path.endswith(b'/planted') else e")
    shown = stage.run("seed", "ls", "latest", "--vault", stage.at).stdout.splitlines()
    assert len([line for line in shown if "planted" in line]) == 1
    assert not [line for line in shown if line.startswith("-rw")]


@pytest.mark.parametrize("word", ["/srv/a\nExecStartPre=/bin/sh", "/srv/a\rb", "/srv/\udcff", "/srv/\x1b[2J"])
@pytest.mark.parametrize("place", ["program", "argument", "home"])
def test_a_timer_names_no_path_that_could_end_its_line(word: str, place: str) -> None:
    job = TimerJob(
        word if place == "program" else "/usr/bin/seed",
        (word,) if place == "argument" else ("backup",),
        word if place == "home" else "/root/home",
    )
    with pytest.raises(HomeError) as caught:
        job.check()
    assert caught.value.code == "timer-refused"


def test_a_home_with_a_line_break_gets_no_timer(copy_of: Copy, opened: Stage, room: Path) -> None:
    stage = copy_of(opened)
    home = room / "home\nExecStartPre=sh -c forged\n#"
    stage.home.rename(home)
    stage.home = home
    stage.run("seed", "schedule", "set", "--daily", "09:00")
    units = room / "units"
    refused(stage.run("seed", "schedule", "install", "--to", units, "--json", code=1), "timer-refused")
    assert not units.exists()
