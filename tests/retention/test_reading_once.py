"""Standings of many points: each side reads the sets behind them once. For Linux."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from formats.monitor import Tally
from importer.vault.points import points
from seed.points.completeness import standings
from seed.points.layered_store import LayeredStore
from seed.points.machine_keys import own_machines
from seed.points.points import points as readable
from tests.journeys import trees
from tests.journeys.stage import Copy, Stage
from tests.retention.world import HOUR, Clock, World

assert sys.platform == "linux"

POINTS = 6


class Counting:
    """A counter of lists and reads of objects below `sets/`, `needs/` and `jobs/`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, world: World) -> None:
        self.asked = dict.fromkeys(("sets", "needs", "jobs"), 0)
        for method in ("list", "get"):
            monkeypatch.setattr(world.memory, method, self._counted(getattr(world.memory, method)))

    def _counted(self, real: Callable[..., object]) -> Callable[..., object]:
        def asked(name: str, *arguments: object, **options: object) -> object:
            head = name.partition("/")[0]
            if head in self.asked:
                self.asked[head] += 1
            return real(name, *arguments, **options)

        return asked

    def of(self) -> dict[str, int]:
        found, self.asked = self.asked, dict.fromkeys(self.asked, 0)
        return found


def test_sets_are_read_once_for_all_points(
    copy_of: Copy, opened: Stage, room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read the sets once for all points, while the seed travels and each point builds upon it."""
    stage, source = copy_of(opened), trees.small_tree(room / "source")
    stage.export(source)
    stage.run("importer", "points", "--vault", stage.at)
    clock = Clock(1_800_000_000)
    with clock.shown():
        world = World(stage, source, clock)
        asked = []
        counting = Counting(monkeypatch, world)
        for number in range(POINTS):
            (source / "new").write_bytes(bytes([number]) * 5000)
            world.backup()
            clock.sleep(HOUR)
            counting.of()
            union = LayeredStore([world.store])
            found = readable(union, own_machines(world.home.identity, [world.store], Tally()), Tally())
            list(standings(union, found, found))
            seed = counting.of()
            list(points(world.vault, Tally()))
            asked.append((seed, counting.of()))
    print(*asked, sep="\n")
    for side in (0, 1):
        assert asked[-1][side]["sets"] == asked[0][side]["sets"]
        assert asked[-1][side]["jobs"] == asked[0][side]["jobs"]
        assert (
            asked[-1][side]["needs"] - asked[-2][side]["needs"]
            == asked[2][side]["needs"] - asked[1][side]["needs"]
        )
