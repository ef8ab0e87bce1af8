"""The world of these tests, fresh for each of them, and the scenes of the journeys."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.conftest import *  # noqa: F403  pytest finds fixtures by their names

if sys.platform == "linux":
    from tests.journeys import trees
    from tests.journeys.stage import Copy, Stage
    from tests.retention.world import Clock, World

    @pytest.fixture
    def world(copy_of: Copy, opened: Stage, room: Path) -> Iterator[World]:
        stage = copy_of(opened)
        stage.run("importer", "points", "--vault", stage.at)  # this accepts the machine
        clock = Clock(1_800_000_000)
        with clock.shown():
            yield World(stage, trees.varied_tree(room / "source"), clock)
