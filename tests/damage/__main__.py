"""Every cell of the damage matrix: an action on a vault's object, then an operation, then a full repair.

    python -m tests.damage [--cells N] [--seed S]

Prints each cell that fails, and the number of cells. The exit code is 0 if none failed.
"""

import argparse
import random
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.damage import matrix
from tests.journeys.stage import Stage

assert sys.platform == "linux"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, help="so many, drawn at random")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    chosen = parser.parse_args()
    print("random seed", chosen.seed)
    todo = matrix.cells()
    if chosen.cells is not None:
        todo = random.Random(chosen.seed).sample(todo, chosen.cells)
    with tempfile.TemporaryDirectory() as scratch:
        room = Path(scratch)
        stage = Stage(room / "stage")
        stage.open()
        made = matrix.scene(stage, room)
        with ThreadPoolExecutor(3) as pool:
            numbered = enumerate(todo)
            failed = sum(pool.map(lambda item: not attempt(made, item[1], room / str(item[0])), numbered))
    print(f"{len(todo)} cells, {failed} failed")
    return 1 if failed else 0


def attempt(made: matrix.Scene, cell: matrix.Cell, folder: Path) -> bool:
    try:
        matrix.try_cell(made, cell, folder)
    except AssertionError as error:
        print(f"FAILED {cell}: {error}", flush=True)
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
