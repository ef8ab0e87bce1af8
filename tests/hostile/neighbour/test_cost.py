"""The processor time that two thousand objects of a neighbour cost each command.

The tests measure it in a folder and in a container.
"""

import secrets
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import cycle, islice
from pathlib import Path

import pytest

from formats.ids import MachineId
from formats.store.access import Access
from formats.store.azblob.store import AzureStore
from seed.home.home import Home
from tests.azurite import Azurite
from tests.journeys import trees
from tests.journeys.containers import ContainerStage
from tests.journeys.stage import Stage

if sys.platform == "linux":
    from tests.hostile.neighbour.commands import Outcome, play
    from tests.hostile.neighbour.scene import Scene
    from tests.hostile.neighbour.shapes import JUNK, Plant, Shapes, rows

assert sys.platform == "linux"

OBJECTS = 2000
MORE, SECONDS = 1.2, 1.0  # the allowed cost: a factor, and seconds beside it
# the seconds that an object may cost in a container: a validation reads all objects
EACH, EACH_VALIDATED = 0.01, 0.02
COMMANDS: tuple[tuple[object, ...], ...] = (
    ("seed", "status"), ("seed", "points"), ("seed", "backup"), ("importer", "points"), ("importer", "status"),
    ("importer", "jobs"), ("importer", "prune"), ("importer", "validate"),
)  # fmt: skip


def junk(shapes: Shapes) -> Iterator[Plant]:
    """Yield junk below each row in turn, under every id, without end; none of it comes twice."""
    for row in cycle(rows()):
        yield from shapes.junk(row, secrets.token_bytes(JUNK))


@pytest.mark.nightly
def test_in_a_folder(scene: Scene, shapes: Shapes, usual: Outcome) -> None:
    scene.set_back()
    found = (plant for plant in junk(shapes) if plant.plant(scene.vault))
    there = list(islice(found, OBJECTS))
    now = play(scene, {plant.name for plant in there})
    late = []
    for before, after in zip(usual.said, now.said, strict=True):
        if before.result is None or after.result is None:
            continue
        one, other = before.result.worked, after.result.worked
        assert one, "not a fork"
        print(f"{after.step.title:<32} {one:6.2f} s {other:6.2f} s")
        if other > MORE * one + SECONDS:
            late.append(f"{after.step.title}: {other:.2f} s, not {one:.2f} s")
    assert late == []


@pytest.mark.nightly
@pytest.mark.needs("azurite")
def test_in_a_container(azurite: Azurite, shapes: Shapes, room: Path) -> None:
    """Limit the cost in a container, where the neighbour may create, read and list, as a machine may."""
    ContainerStage.server = azurite
    stage = ContainerStage(room / "stage")
    stage.open()
    source = room / "source"
    trees.small_file(source / "file", trees.incompressible(60_000, 1))
    stage.run("seed", "backup", source)
    stage.run("importer", "points", "--vault", stage.at)
    before = _times(stage)
    mine = Home.open(stage.home).identity
    own = {shapes.machines["web1"]: mine.machine, shapes.key_ids["web1"]: mine.master.key_id.hex()}
    planted: dict[str, bytes] = {}
    for plant in junk(shapes):
        plant.put(room / "junk")
        planted.setdefault(_renamed(plant.name, own), (room / "junk").read_bytes())
        if len(planted) == OBJECTS:
            break
    store = AzureStore.open(stage.at, Access(stage.grant()))
    with closing(store), ThreadPoolExecutor(16) as pool:
        list(pool.map(store.put_new, planted, planted.values()))
    late = []
    for title, seconds in _times(stage).items():
        print(f"{title:<20} {before[title]:6.2f} s {seconds:6.2f} s")
        each = EACH_VALIDATED if title == "importer validate" else EACH
        if seconds > MORE * before[title] + SECONDS + each * OBJECTS:
            late.append(f"{title}: {seconds:.2f} s, not {before[title]:.2f} s")
    assert late == []


def _renamed(name: str, ids: dict[MachineId | str, str]) -> str:
    return "/".join(ids.get(part, part) for part in name.split("/"))


def _times(stage: Stage) -> dict[str, float]:
    found = {}
    for words in COMMANDS:
        at = () if words[0] == "seed" else ("--vault", stage.at)
        result = stage.run(*map(str, (*words, *at)), code=None)
        assert result.code in (0, 3), result
        assert result.worked, "not a fork"
        found[" ".join(map(str, words))] = result.worked
    return found
