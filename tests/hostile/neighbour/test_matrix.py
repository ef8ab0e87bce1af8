"""A hostile neighbour in a vault: beside its objects, every command does the same for the healthy machines.

A cell is one planted thing and one command. The fast part tries a fixed sample, and the night tries all
cells. The night has one vault for each row of the table of names and each group of shapes. All commands run
there in turn. The law is in `law.py`.
"""

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

from formats.layout import PREFIXES
from tests.commands import Forks, installed
from tests.effort import seeded
from tests.journeys.stage import NOBODY

if sys.platform == "linux":
    from tests.hostile.neighbour.commands import UNTOUCHED, Outcome, leaves, play, steps
    from tests.hostile.neighbour.law import broken
    from tests.hostile.neighbour.scene import Scene
    from tests.hostile.neighbour.shapes import GROUPS, OF_DISKS, Plant, Row, Shapes, rows

assert sys.platform == "linux"

SAMPLE = 150


def planted(scene: Scene, plants: Sequence[Plant]) -> list[Plant]:
    """Set the scene back, plant these things, and return those that found a free place."""
    scene.set_back()
    return [plant for plant in plants if plant.plant(scene.vault)]


def check(scene: Scene, usual: Outcome, there: list[Plant]) -> None:
    """Run all commands, print the number of cells, and fail if the law is broken."""
    now = play(scene, {plant.name for plant in there})
    found = broken(scene, usual, now, there)
    print(f"{len(there) * len(now.said)} cells: {len(there)} planted, {len(now.said)} commands")
    assert not found, "\n".join(found[:20])


def test_every_command_is_played_or_touches_no_vault(scene: Scene) -> None:
    played = {step.title for step in steps(scene)}
    assert sorted(leaves().keys() - UNTOUCHED - played) == [], "say in commands.py how to play them"
    assert sorted(UNTOUCHED - leaves().keys() | UNTOUCHED & played) == []


def test_every_row_of_the_table_has_every_group(shapes: Shapes) -> None:
    """Cover every new prefix, or name it here."""
    for row in rows():
        groups = {plant.group for plant in shapes.all(row)}
        wanted = {"strangers", "obstacles"} if row.prefix.path in OF_DISKS | {"parity/"} else set(GROUPS)
        assert groups >= wanted - ({"lies"} if row.is_plain else set()), row
    assert {row.prefix.path for row in rows()} == {row.path for row in PREFIXES}


def test_beside_a_sample_of_everything(scene: Scene, shapes: Shapes, usual: Outcome) -> None:
    plants = [plant for row in rows() for plant in shapes.all(row)]
    check(scene, usual, planted(scene, seeded().sample(plants, SAMPLE)))


@pytest.mark.nightly
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("row", rows(), ids=str)
def test_beside_all_of_a_row(scene: Scene, shapes: Shapes, usual: Outcome, row: Row, group: str) -> None:
    there = planted(scene, [plant for plant in shapes.all(row) if plant.group == group])
    if not there:
        return  # nothing of this kind can be put there
    check(scene, usual, there)


@pytest.mark.nightly
def test_each_command_as_a_process_of_its_own(scene: Scene, shapes: Shapes, usual: Outcome) -> None:
    plants = [plant for row in rows() for plant in shapes.all(row)]
    there = planted(scene, seeded().sample(plants, SAMPLE))
    for stage in scene.stages.values():
        stage.command = installed
    try:
        check(scene, usual, there)
    finally:
        for stage in scene.stages.values():
            stage.command = Forks()


@pytest.mark.nightly
@pytest.mark.needs("root")
def test_beside_what_nobody_may_read(scene: Scene, shapes: Shapes) -> None:
    """Keep the law if all commands run as an ordinary user that cannot read the neighbour's files."""
    for stage in scene.stages.values():
        stage.command = Forks(user=NOBODY)
    try:
        set_back_for_nobody(scene)
        usual = play(scene)
        set_back_for_nobody(scene)
        junk = (p for row in rows() for p in shapes.all(row) if p.shape == "junk of the right size")
        there = [plant for plant in junk if plant.plant(scene.vault)]
        for folder in (path for path in scene.vault.rglob("*") if path.is_dir()):
            os.chown(folder, NOBODY, NOBODY)
        for plant in there:
            (scene.vault / plant.name).chmod(0)
        check(scene, usual, there)
    finally:
        for stage in scene.stages.values():
            stage.command = Forks()


def set_back_for_nobody(scene: Scene) -> None:
    """Set the scene back, and give everything in it to the user nobody."""
    scene.set_back()
    subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(scene.folder)], check=True)
