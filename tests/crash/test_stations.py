"""Many import processes on one vault and one disk set at once, half of them killed.

The vault must be as if one process had done the work.
"""

import signal
import sys
from contextlib import ExitStack
from pathlib import Path

from tests.commands import Process, Program
from tests.effort import seeded
from tests.journeys import moments, trees
from tests.journeys.stage import Copy, Stage, below, disks, ended, stored, to

assert sys.platform == "linux"

STATIONS = 10
ADDRESSED = ("archives/", "indexes/", "needs/", "holdings/", "manifests/", "sets/", "slots/")


def content(stage: Stage) -> dict[str, int]:
    """Return the objects of a vault, without those that say which process worked, and when."""
    return {name: size for name, size in stored(stage).items() if name.startswith(ADDRESSED)}


def test_ten_stations_five_of_them_killed(copy_of: Copy, opened: Stage, long_tree: Path, room: Path) -> None:
    stage = copy_of(opened)
    paths = disks(stage, 2)
    stage.run("seed", "export", long_tree, *to(*paths), "--offline")
    alone = stage.copy(room / "alone")
    alone.run("importer", "import", *disks(alone, 2), "--vault", alone.at)
    chance = seeded()

    def started(command: Program) -> Process:
        with moments.using(stage, command):
            return stage.start("importer", "import", *chance.sample(paths, 2), "--vault", stage.at)

    # Half of the processes stop before they place anything, and go on beside the remains of the others.
    # Each of the others places one archive at most before it dies, so that enough is left for all of them.
    surviving = [started(moments.at("asked", signal.SIGSTOP, stage.vault)) for _ in range(STATIONS // 2)]
    with ExitStack() as stack:
        for process in surviving:
            stack.enter_context(moments.stopped(process))
        steps = [chance.randint(1, moments.STEPS) for _ in range(STATIONS // 2)]
        doomed = [started(moments.at("step", signal.SIGKILL, stage.vault, nth=step)) for step in steps]
        for process in doomed:
            assert ended(process).code == -signal.SIGKILL
    for process in surviving:
        assert ended(process).code == 0
    again = stage.run("importer", "import", *paths, "--vault", stage.at, "--json").json
    assert all(disk["may_be_erased"] for disk in again["disks"])
    assert content(stage) == content(alone)
    stage.restore(room / "restored", "--vault", stage.at)
    assert trees.differences(long_tree, below(room / "restored", long_tree)) == []
