"""Cells of the damage matrix that cover each object, action and operation.

`python -m tests.damage` tries all cells.
"""

import sys
from pathlib import Path

from tests.damage import matrix
from tests.journeys.stage import Copy, Stage, in_parallel

assert sys.platform == "linux"


def test_what_is_damaged_in_a_vault_is_noticed_and_made_good(
    copy_of: Copy, opened: Stage, room: Path
) -> None:
    made = matrix.scene(copy_of(opened), room)
    numbered = enumerate(matrix.covering())

    def attempt(item: tuple[int, matrix.Cell]) -> None:
        number, cell = item
        try:
            matrix.try_cell(made, cell, room / str(number))
        except AssertionError as error:
            raise AssertionError(f"{cell}:\n{error}") from error

    in_parallel(attempt, numbered)
