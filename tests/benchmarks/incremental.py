"""The cost of a change, in bytes sent, seconds and memory: `python -m tests.benchmarks.incremental`.

It runs beside restic and borg. One tree is changed in steps. After each step every program backs it up once into its
own repository, which holds the tree as it was before. The bytes are the growth of the repository.
"""

import argparse
import random
import shutil
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.benchmarks.corpora import prepare
from tests.benchmarks.measure import SHARED_MEMORY, Usage, run, scratch_folder, totals, words
from tests.benchmarks.programs import Offseed, Program, environment, programs

LARGE = 1_000_000_000  # bytes of one file
MANY = 10_000  # files of one folder
CODES = (0, 1, 3)  # borg and ours: done, with warnings


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.incremental", description=__doc__)
    parser.add_argument("--deb", type=Path, metavar="FILE", help="the linux-source package")
    parser.add_argument("--scratch", type=Path, default=SHARED_MEMORY, metavar="DIR")
    wanted = parser.parse_args()
    with scratch_folder(wanted.scratch, "offseed-incremental-") as scratch:
        tree = prepare("linux", scratch, wanted.deb).path
        with (tree / "large").open("wb") as file:
            for number in range(LARGE // 1_000_000):
                file.write(random.Random(number).randbytes(1_000_000))
        for number in range(MANY):
            path = tree / f"many/{number // 500}/{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(random.Random(-number).randbytes(2000))
        compared = [p for p in programs([3]) if p.name in ("offseed", "restic", "borg")]
        for program in compared:
            (scratch / program.name).mkdir()
            for command in program.preparation(scratch / program.name):
                _run(program, scratch, command)
        print(f"{totals(tree).files:,} files; bytes, seconds, peak MiB")
        print(f"{'':22}" + "".join(f"{program.name:>33}" for program in compared))
        for name, change, times in CHANGES:
            figures: dict[str, list[tuple[int, Usage]]] = {program.name: [] for program in compared}
            for number in range(times):
                change(tree, number)
                for program in compared:
                    figures[program.name].append(_backup(program, scratch, tree, f"{name} {number}"))
            print(f"{name:22}" + "".join(_cell(found) for found in figures.values()), flush=True)


def _cell(found: Sequence[tuple[int, Usage]]) -> str:
    """Return the mean of the sent bytes, the median of the seconds, and the highest peak."""
    sent = sum(n for n, _ in found) // len(found)
    seconds = statistics.median(u.seconds for _, u in found)
    return f"{sent:>15,} B {seconds:6.2f} s {max(u.peak_bytes for _, u in found) >> 20:4} MiB"


def _backup(program: Program, scratch: Path, tree: Path, name: str) -> tuple[int, Usage]:
    """Return the growth of the repository, and the usage of the backup."""
    here = scratch / program.name
    ours = isinstance(program, Offseed)
    repository = here / ("vault" if ours else "repository")
    before = totals(repository).file_bytes
    command: Sequence[str | Path] = ("restic", "backup", "--quiet", tree)
    if ours:
        command = (shutil.which("seed", path=str(Path(sys.executable).parent)) or "seed", "backup", tree)
    elif program.name == "borg":
        command = (
            "borg",
            "create",
            "--compression",
            "zstd,1",
            f"::{name.replace(' ', '-').replace('%', '')}",
            tree,
        )
    usage = _run(program, scratch, command)
    return totals(repository).file_bytes - before, usage


def _run(program: Program, scratch: Path, command: Sequence[str | Path]) -> Usage:
    here = scratch / program.name
    return run(words(command), environment(program, here), here, here / "log", codes=CODES)


def nothing(tree: Path, number: int) -> None:
    pass


def one_byte(tree: Path, number: int) -> None:
    """Change one byte, each time elsewhere: the length of its chunk is chance."""
    with (tree / "large").open("r+b") as file:
        file.seek(LARGE // 10 * (2 * number + 1))
        file.write(b"x")


def one_percent(tree: Path, number: int) -> None:
    """Add a line at the end of every hundredth file of the source tree."""
    for path in [p for p in sorted(tree.glob("linux-source-*/**/*")) if p.is_file() and not p.is_symlink()][
        ::100
    ]:
        with path.open("ab") as file:
            file.write(b"\n/* edited */\n")


def moved(tree: Path, number: int) -> None:
    (tree / "many").rename(tree / "moved")


CHANGES: Sequence[tuple[str, Callable[[Path, int], None], int]] = (  # and how many times
    ("first", nothing, 1),
    ("nothing changed", nothing, 3),
    ("one byte of 1 GB", one_byte, 5),
    ("1 % of the files", one_percent, 1),
    ("10,000 files moved", moved, 1),
)

if __name__ == "__main__":
    main()
