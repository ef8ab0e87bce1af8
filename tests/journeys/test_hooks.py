"""Commands before and after, where a user makes a backup or an export by hand."""

import sys
from pathlib import Path

import pytest

from tests.journeys import trees
from tests.journeys.stage import Copy, Stage, disks, refused

assert sys.platform == "linux"


@pytest.fixture
def stage(copy_of: Copy, opened: Stage) -> Stage:
    return copy_of(opened)


def points(stage: Stage) -> int:
    return len(stage.run("seed", "points", "--vault", stage.at, "--json", code=None).json)


def test_a_backup_by_hand_takes_them_for_this_run_alone(stage: Stage, room: Path) -> None:
    source, log = trees.small_tree(room / "source"), room / "log"
    words = (
        "--before", f"echo before >> {log}; mkdir {source}/dump; echo dumped > {source}/dump/file",
        "--after", f'echo "after $SEED_RESULT" >> {log}; rm -r {source}/dump',
    )  # fmt: skip
    stage.run("seed", "backup", source, *words)
    assert log.read_text() == "before\nafter done\n"
    assert "file" in stage.run("seed", "ls", f"latest:{source}/dump", "--vault", stage.at).stdout
    stage.run("seed", "backup")
    assert log.read_text() == "before\nafter done\n"
    refused(stage.run("seed", "backup", "--before", "exit 7", *words[2:], "--json", code=1), "hook-failed")
    assert log.read_text() == "before\nafter done\nafter failed\n"
    assert points(stage) == 2
    stage.run("seed", "backup", "--after", "exit 9", code=3)
    assert points(stage) == 3


def test_what_is_given_by_hand_goes_before_what_the_schedule_has(stage: Stage, room: Path) -> None:
    log = room / "log"
    stage.run(
        "seed", "schedule", "set", trees.small_tree(room / "source"), "--daily", "09:00", "--before", "exit 7"
    )
    stage.run("seed", "backup", "--scheduled", "--before", "", "--after", f"echo after > {log}")
    assert log.read_text() == "after\n"


def test_an_export_runs_them_and_remembers_them_until_it_is_finished(stage: Stage, room: Path) -> None:
    source, log = trees.small_tree(room / "source"), room / "log"
    (source / "film").write_bytes(trees.incompressible(12_000_000))
    first, second = disks(stage, 2)
    words = (
        "seed",
        "export",
        source,
        "--before",
        f"echo before >> {log}",
        "--after",
        f'echo "$SEED_RESULT" >> {log}',
    )
    stage.run(*words, "--to", room / "nowhere", code=1)
    stage.run(*words, "--to", first, "--dry-run")
    assert not log.exists(), "what was not begun needs none"
    stage.run(*words, "--to", first, "--use-at-most", "10MB", code=4)
    assert log.read_text() == "before\nfailed\n"
    done = stage.run("seed", "export", "--to", second, "--json")
    assert "the commands before and after it run anew" in done.stderr
    assert (done.json["resumed"], done.json["hooks_run"]) == (True, True)
    assert log.read_text() == "before\nfailed\nbefore\ndone\n"
    again = stage.run(*words, "--to", second)
    assert "commands     before and after: not run, for nothing was read" in again.stdout
    assert log.read_text() == "before\nfailed\nbefore\ndone\n"
    stage.run("seed", "export", "--to", first, "--again")
    assert log.read_text() == "before\nfailed\nbefore\ndone\n", "they belong to the set"


def test_an_export_whose_command_before_fails_writes_nothing(stage: Stage, room: Path) -> None:
    source = trees.small_tree(room / "source")
    failed = stage.run("seed", "export", source, "--to", stage.disk, "--before", "exit 7", "--json", code=1)
    refused(failed, "hook-failed")
    assert not list(stage.disk.iterdir())


def test_an_export_takes_what_only_the_command_before_brings(stage: Stage, room: Path) -> None:
    dump = room / "dump"
    words = ("--before", f"echo dumped > {dump}", "--after", f"rm {dump}")
    done = stage.run("seed", "export", dump, "--to", stage.disk, *words, "--json").json
    assert done["files"] == 1
    assert not dump.exists()
