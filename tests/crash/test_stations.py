"""Many import processes on one vault and one disk set at once, half of them killed: the vault is as if one had done it."""

import random
import signal
import sys
import time
from pathlib import Path

from tests.journeys import trees
from tests.journeys.stage import Copy, Stage, below, disks, ended, stored, to

assert sys.platform == "linux"

STATIONS = 10
ADDRESSED = ("archives/", "indexes/", "needs/", "holdings/", "manifests/", "sets/", "slots/")


def content(stage: Stage) -> dict[str, int]:
    """What a vault holds, but for what says who did it and when."""
    return {name: size for name, size in stored(stage).items() if name.startswith(ADDRESSED)}


def test_ten_stations_five_of_them_killed(copy_of: Copy, opened: Stage, long_tree: Path, room: Path) -> None:
    stage = copy_of(opened)
    paths = disks(stage, 2)
    stage.run("seed", "export", long_tree, *to(*paths), "--offline")
    alone = stage.copy(room / "alone")
    alone.run("importer", "import", *disks(alone, 2), "--vault", alone.at)
    seed = random.SystemRandom().randrange(1 << 32)
    print("random seed", seed)
    chance = random.Random(seed)
    running = [
        stage.start("importer", "import", *chance.sample(paths, 2), "--vault", stage.at)
        for _ in range(STATIONS)
    ]
    for process in chance.sample(running, STATIONS // 2):
        time.sleep(chance.uniform(0, 0.3))
        ended(process, signal.SIGKILL)
    for process in running:
        if process.poll() is None:
            assert ended(process).code == 0
    again = stage.run("importer", "import", *paths, "--vault", stage.at, "--json").json
    assert all(disk["may_be_erased"] for disk in again["disks"])
    assert content(stage) == content(alone)
    stage.restore(room / "restored", "--vault", stage.at)
    assert trees.differences(long_tree, below(room / "restored", long_tree)) == []
