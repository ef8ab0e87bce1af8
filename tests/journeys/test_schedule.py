"""A machine that backs up by itself: the commands that the system runs. For Linux."""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.journeys import moments, trees
from tests.journeys.stage import Copy, Stage, ended, prepared, refused

assert sys.platform == "linux"


def points(stage: Stage) -> int:
    return len(stage.run("seed", "points", "--vault", stage.at, "--json", code=None).json)


def test_what_the_unit_runs_is_a_backup(copy_of: Copy, opened: Stage, room: Path) -> None:
    stage = copy_of(opened)
    source = trees.small_tree(room / "source")
    shown = stage.run("seed", "schedule", "set", source, "--daily", "21:00", "--daily", "9:00", "--json").json
    assert (shown["times"], shown["installed"]) == (["09:00", "21:00"], False)
    done = stage.run("seed", "schedule", "install", "--to", room / "units", "--json").json
    assert [Path(f).suffix for f in done["files"]] == [".service", ".timer"]
    unit = Path(done["files"][0]).read_text()
    said = dict(line.split("=", 1) for line in unit.splitlines() if "=" in line)
    (setting,) = shlex.split(said["Environment"])
    words = shlex.split(said["ExecStart"])
    name, _, value = setting.partition("=")
    environment = {"PATH": os.environ["PATH"], "HOME": str(room), name: value}
    ran = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran
    assert "Backed up in" in ran.stdout
    assert points(stage) == 1


def test_commands_stand_before_and_after(copy_of: Copy, opened: Stage, room: Path) -> None:
    stage = copy_of(opened)
    source = trees.small_tree(room / "source")
    log = room / "log"
    stage.run(
        "seed", "schedule", "set", source, "--weekly", "mon-sun@00:00",
        "--before", f"echo before >> {log}; echo dumped > {source}/dump",
        "--after", f'echo "after $SEED_RESULT" >> {log}; echo printed',
    )  # fmt: skip
    done = stage.run("seed", "backup", "--scheduled", "--json")
    assert log.read_text() == "before\nafter done\n"
    assert "printed" in done.stderr, "and not where the document is"
    assert done.json["files"] == sum(1 for p in source.rglob("*") if p.is_file() and not p.is_symlink())

    stage.run("seed", "schedule", "set", "--before", f"echo fails >> {log}; exit 7")
    failed = stage.run("seed", "backup", "--scheduled", "--json", code=1)
    refused(failed, "hook-failed")
    assert log.read_text().endswith("fails\nafter failed\n")
    assert points(stage) == 1, "without what stands before it there is no backup"

    stage.run("seed", "schedule", "set", "--before", "", "--after", "exit 9")
    found = stage.run("seed", "backup", "--scheduled", "--json", code=3).json["findings"]
    assert [f["code"] for f in found] == ["hook-failed"]
    assert points(stage) == 2
    stage.run("seed", "backup")
    assert log.read_text().count("fails") == 1, "by hand they are not run"


# The command reports that another one works on the home.
SAYS_BUSY = """
import os
from seed.home.home import Home
busy = Home._busy
def busy_one(self):
    os.write(2, b"busy\\n")
    return busy(self)
Home._busy = busy_one
"""


@pytest.mark.parametrize("rule", ["skip", "wait"])
def test_a_run_that_meets_another_is_left_out_or_waits(
    copy_of: Copy, opened: Stage, room: Path, rule: str
) -> None:
    stage = copy_of(opened)
    source = trees.small_tree(room / "source")
    stage.run("seed", "schedule", "set", source, "--daily", "09:00", "--overlap", rule)
    stage.command = prepared(SAYS_BUSY)
    stage.run(
        "seed", "notify", "set", "--on", "warning", "--command", f"cat >> {room}/told; echo >> {room}/told"
    )
    with FileLock(stage.home / "lock") as lock:
        running = stage.start("seed", "backup", "--scheduled")
        assert running.stderr is not None
        if rule == "skip":
            assert "this run is left out" in ended(running).stderr
        else:
            assert running.stderr.readline() == b"busy\n", "its patience is at an end, and still it waits"
            lock.release()
            done = ended(running)
            assert (done.code, "this run is left out" in done.stderr) == (0, False)
    assert points(stage) == (rule == "wait")
    assert last_job(stage)["state"] == ("skipped" if rule == "skip" else "done")
    assert (room / "told").exists() == (rule == "skip")


def last_job(stage: Stage) -> dict[str, Any]:
    job: dict[str, Any] = stage.run("seed", "jobs", "--json").json[-1]
    return job


@pytest.fixture
def scheduled(copy_of: Copy, opened: Stage, room: Path) -> Stage:
    """Return a machine with a schedule, which writes failures to the file `told` and metrics to `metrics`."""
    stage = copy_of(opened)
    stage.run("seed", "schedule", "set", trees.small_tree(room / "source"), "--daily", "09:00")
    tell = f"cat >> {room}/told; echo >> {room}/told"
    stage.run("seed", "notify", "set", "--command", tell, "--metrics", room / "metrics")
    stage.run("seed", "backup", "--scheduled")
    return stage


@pytest.mark.parametrize(
    ("gone", "options", "code", "exit_code"),
    [
        ("source", (), "path-not-found", 2),
        ("vault", (), "store-missing", 1),
        ("seed-home/schedule.json", (), "schedule-missing", 2),
        ("seed-home/state.json", (), "home-damaged", 1),
        ("", ("--no-such-option",), "usage", 2),
    ],
)
def test_a_scheduled_run_that_fails_early_is_a_job_with_an_end(
    scheduled: Stage, room: Path, gone: str, options: tuple[str, ...], code: str, exit_code: int
) -> None:
    place = room / gone if gone == "source" else scheduled.folder / gone
    if gone:
        place.rename(room / "away")
    scheduled.run("seed", "backup", "--scheduled", *options, code=exit_code)
    (event,) = map(json.loads, (room / "told").read_text().splitlines())
    assert (event["event"], event["kind"], event["error"]["code"]) == ("failure", "backup", code)
    (metric,) = [line for line in success(room) if "last_succeeded{" in line]
    assert metric.endswith(" 0.0")
    if gone:
        (room / "away").rename(place)
    job = last_job(scheduled)
    assert (job["state"], job["error"]["code"], job["finished"] is None) == ("failed", code, False)


def test_a_scheduled_run_that_is_not_due_is_no_success(scheduled: Stage, room: Path) -> None:
    good = (room / "metrics").read_text()
    scheduled.run("seed", "schedule", "set", "--weekly", "mon-sat@00:00", "--every", "2")
    record = json.loads((scheduled.home / "schedule.json").read_text())
    record["since"] -= 7
    (scheduled.home / "schedule.json").write_text(json.dumps(record))
    assert scheduled.run("seed", "backup", "--scheduled", "--json").json == {"nothing": "not-due"}
    assert last_job(scheduled)["state"] == "not-due"
    assert points(scheduled) == 1
    assert success(room) == success_in(good), "it says nothing of the last success"


def success(room: Path) -> list[str]:
    return success_in((room / "metrics").read_text())


def success_in(metrics: str) -> list[str]:
    return [line for line in metrics.splitlines() if "last_succe" in line and "backup" in line]


def test_a_scheduled_run_that_is_stopped_early_ends_in_order(scheduled: Stage, room: Path) -> None:
    os.mkfifo(room / "never")
    scheduled.run(
        "seed", "schedule", "set",
        "--before", f"echo in >&2; exec cat {room}/never", "--after", f"echo $SEED_RESULT > {room}/after",
    )  # fmt: skip
    running = scheduled.start("seed", "backup", "--scheduled")
    assert running.stderr is not None
    assert running.stderr.readline() == b"in\n"
    assert ended(running, signal.SIGTERM).code == 143
    assert (room / "after").read_text() == "failed\n"
    job = last_job(scheduled)
    assert (job["state"], job["finished"] is None) == ("stopped", False)


def test_a_run_that_was_killed_is_told_of_once_and_ended(scheduled: Stage, room: Path) -> None:
    (room / "source/new").write_bytes(os.urandom(1000))
    struck = moments.at("asked", signal.SIGKILL, scheduled.vault)
    moments.killed(scheduled, struck, "seed", "backup", "--scheduled")
    job = last_job(scheduled)
    assert (job["state"], job["finished"]) == ("killed", None)
    (event,) = scheduled.run("seed", "notify", "check", "--json", code=3).json
    assert (event["event"], event["text"]) == ("failure", "backup killed")
    assert json.loads((room / "told").read_text())["job"] == job["job"]
    assert scheduled.run("seed", "notify", "check", "--json").json == []
    job = last_job(scheduled)
    assert (job["state"], job["finished"] is None) == ("killed", False)


def test_what_is_no_schedule_is_refused(copy_of: Copy, opened: Stage) -> None:
    stage = copy_of(opened)
    refused(stage.run("seed", "backup", "--scheduled", "--json", code=2), "schedule-missing")
    refused(stage.run("seed", "schedule", "install", "--json", code=2), "schedule-missing")
    for words in (
        (),
        ("--every", "2"),
        ("--daily", "09:00", "--weekly", "sat@09:00"),
        ("--daily", "9:00", "--every", "2"),
    ):
        refused(stage.run("seed", "schedule", "set", *words, "--json", code=2), "usage")
    for word in ("25:00", "noon"):
        refused(
            stage.run("seed", "schedule", "set", "--daily", word, "--json", code=2), "schedule-unreadable"
        )
    assert stage.run("seed", "schedule", "show", "--json").json == {"times": [], "installed": False}
    nowhere = stage.run("seed", "schedule", "set", "/nowhere", "--daily", "09:00", "--json", code=2)
    refused(nowhere, "path-not-found")


def test_two_homes_have_a_timer_each(opened: Stage, room: Path) -> None:
    *stages, usual = (opened.copy(room / name) for name in ("one", "two", "three"))
    (room / "offseed").mkdir()
    usual.home = usual.home.rename(room / "offseed/seed")
    names = []
    for stage in (*stages, usual):
        stage.run("seed", "schedule", "set", room, "--daily", "09:00")
        words = ("seed", "schedule", "install", "--to", room / "units", "--json")
        done = stage.run(*words, XDG_DATA_HOME=room).json
        names += [Path(file).name for file in done["files"]]
        shown = stage.run("seed", "schedule", "show", "--json", XDG_DATA_HOME=room).json
        assert shown["timer"] == Path(names[-1]).stem
    assert len(set(names)) == 6
    assert names[-2:] == ["offseed.service", "offseed.timer"], "the usual home has the plain names"
    units = [(room / "units" / name).read_text() for name in names[::2]]
    assert [f"SEED_HOME={s.home}" in unit for s, unit in zip((*stages, usual), units, strict=True)] == [
        True
    ] * 3


def test_units_that_cannot_be_written_are_told_of(copy_of: Copy, opened: Stage, room: Path) -> None:
    stage = copy_of(opened)
    stage.run("seed", "schedule", "set", "--daily", "09:00")
    (room / "file").write_text("")
    done = stage.run("seed", "schedule", "install", "--to", room / "file/units", "--json", code=1)
    refused(done, "timer-refused")
