"""Prune beside a backup and an import that run, are killed and run again: nothing that is needed is lost.

Real processes run the commands.
"""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

from tests.effort import NIGHTLY, seeded
from tests.journeys import moments, trees
from tests.journeys.stage import (
    Copy,
    Stage,
    a_day_later,
    backup,
    below,
    ended,
    keep_firsts,
    kept,
    prepared,
)

assert sys.platform == "linux"

ROUNDS = 4
# A backup with this prelude builds upon points even after their time is over: they expire under it.
HASTY = "import seed.session.further_archives; seed.session.further_archives.STAYS = -10**9\n"
WRITTEN = 3  # objects at least, by each prune here: its beginning, a term, and its end


def test_a_prune_that_is_killed_beside_a_backup_and_an_import_loses_nothing(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    """Lose nothing while prune deletes objects that a backup could use and a disk brings.

    The objects were condemned a day before.
    """
    chance = seeded()
    stage = copy_of(opened)
    keep_firsts(stage, days=1)
    states = {str(backup(stage, source)["point"]): kept(source, room, "first")}
    parts = [trees.incompressible(5 << 20, number) for number in range(3)]
    for number in range(ROUNDS):
        (source / "comes and goes").write_bytes(parts[number % 3])
        disk = room / f"disk {number}"
        disk.mkdir()
        stage.run(
            "seed", "export", "--again", "--to", disk, "--offline"
        )  # of content that the vault may soon delete
        stage.run("importer", "prune", "--vault", stage.at)
        (source / "comes and goes").write_bytes(parts[(number + 1) % 3])
        backup(stage)
        (source / "comes and goes").write_bytes(parts[number % 3])
        a_day_later(stage)
        step = chance.randint(moments.STEPS, WRITTEN * moments.STEPS)
        with moments.using(stage, moments.at("step", signal.SIGKILL, stage.vault, prefix="", nth=step)):
            pruning = stage.start("importer", "prune", "--vault", stage.at)
        running = [
            stage.start("seed", "backup"),
            stage.start("importer", "import", disk, "--vault", stage.at),
        ]
        assert ended(pruning).code == -signal.SIGKILL
        again = stage.start("importer", "prune", "--vault", stage.at)
        for process in (*running, again):
            assert ended(process).code in (0, 3)
        points = stage.run("importer", "points", "--vault", stage.at, "--json").json
        states[points[-1]["point"]] = kept(source, room, f"state {number}")
        assert all(point["complete"] for point in points)
        assert stage.run("importer", "validate", "--vault", stage.at, "--json").json["damaged"] == []
        for point in points:
            if point["point"] in states:
                target = room / f"{number} {point['point']}"
                stage.run("seed", "restore", point["point"], "--target", target, "--vault", stage.at)
                assert trees.differences(states[point["point"]], below(target, source)) == []


def test_an_import_waits_for_no_prune_that_was_killed_and_followed_by_another(
    copy_of: Copy, exported: Stage
) -> None:
    """Let the import end at once; if it waited for the killed prune, it would wait for an hour."""
    stage = copy_of(exported)
    stage.run("importer", "points", "--vault", stage.at)  # this accepts the machine
    prune = ("importer", "prune", "--vault", stage.at)
    moments.killed(stage, moments.at("placed", signal.SIGKILL, stage.vault, prefix="sweeps/"), *prune)
    stage.run(*prune)
    assert len(list((stage.vault / "sweeps").iterdir())) == 1, "that the last one has ended"
    assert stage.import_()["disks"][0]["may_be_erased"]


def objects(stage: Stage) -> int:
    """Count the objects of the vault, and those that are being written."""
    return sum(path.is_file() for path in stage.vault.rglob("*"))


def test_prune_beside_any_step_of_a_backup_takes_nothing_that_it_builds_upon(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    """Delete nothing that a backup builds upon.

    An older point needs a film, and the source has it again. At one step of the backup prune lets that point
    expire, and condemns its archives. The backup then goes on. Or it is killed, and made again after the
    archives are deleted.
    """
    stage = copy_of(opened)
    keep_firsts(stage, days=1)
    film = trees.incompressible(20 << 20, 3)
    backup(stage, source)
    (source / "film").write_bytes(film)
    backup(stage)
    (source / "film").unlink()
    backup(stage)
    (source / "film").write_bytes(film)
    a_day_later(stage)
    words = ("importer", "prune", "--vault", stage.at, "--json")
    before = {path: kept(path, room, path.name) for path in (stage.home, stage.vault, stage.importer_home)}

    def as_before() -> None:
        for path, copy in before.items():
            shutil.rmtree(path)
            subprocess.run(["cp", "-a", copy, path], check=True)

    there = objects(stage)
    with moments.using(stage, prepared(HASTY)):
        backup(stage)
    chance, steps = seeded(), list(range(1, (objects(stage) - there) * moments.STEPS + 1))
    condemned = 0
    for number, step in enumerate(steps if NIGHTLY else chance.sample(steps, 2)):
        dies = bool(number % 2)
        as_before()
        strikes = moments.at(
            "step", signal.SIGKILL if dies else signal.SIGSTOP, stage.vault, prefix="", nth=step
        )
        with moments.using(stage, prepared(HASTY + strikes.prelude)):
            process = stage.start("seed", "backup")
        if dies:
            assert ended(process).code == -signal.SIGKILL
            condemned += int(stage.run(*words).json["condemned"])
            a_day_later(stage)
            stage.run(*words)
            stage.run("seed", "backup", code=None)
        else:
            with moments.stopped(process):
                condemned += int(stage.run(*words).json["condemned"])
            assert ended(process).code == 0
        for _ in range(2):
            a_day_later(stage)
            stage.run(*words)
            points = stage.run("importer", "points", "--vault", stage.at, "--json").json
            assert all(point["complete"] for point in points), step
        target = room / f"back {number}"
        stage.run("seed", "restore", "latest", "--target", target, "--vault", stage.at)
        assert trees.differences(source, below(target, source)) == [], step
        shutil.rmtree(target)
    assert condemned > 0
