"""The damage matrix: an action on an object of the vault, then an operation, then a full repair.

Each cell checks four things. The operation ends in a value or a named error. A restored file is right or
missing, never wrong. A validation without keys names the damaged object and no other. Validation, repair and
another import bring every recovery point back whole.
"""

import shutil
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from tests.journeys import trees
from tests.journeys.stage import Stage, backup, below, flip, kept

assert sys.platform == "linux"


def remove(path: Path, _: Path) -> None:
    path.unlink()


def flip_one(path: Path, _: Path) -> None:
    flip(path, path.stat().st_size * 2 // 3)


def flip_first(path: Path, _: Path) -> None:
    flip(path, 0)


def cut(path: Path, _: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def extend(path: Path, _: Path) -> None:
    path.write_bytes(path.read_bytes() + b"and more")


def zero(path: Path, _: Path) -> None:
    """Write zeros over the file, as a file system does that lost the data and kept the length."""
    path.write_bytes(bytes(path.stat().st_size))


def swap(path: Path, other: Path) -> None:
    """Put another object's bytes under this name."""
    path.write_bytes(other.read_bytes())


Action = Callable[[Path, Path], None]
ACTIONS: tuple[Action, ...] = (remove, flip_one, flip_first, cut, extend, zero, swap)

# Objects by their prefix. Of the archives, the largest holds content and the smallest holds a catalog.
OBJECTS = (
    "archives/large",
    "archives/small",
    "indexes",
    "needs",
    "holdings",
    "manifests",
    "sets",
    "disks",
    "jobs",
    "wants",
    "replacements",
    "requests",
    "validations",
)
SELDOM = ("holdings", "disks", "jobs", "wants", "replacements", "requests", "validations")

OPERATIONS: dict[str, tuple[object, ...]] = {
    "points": ("importer", "points"),
    "status": ("importer", "status"),
    "import": ("importer", "import"),
    "validate": ("importer", "validate"),
    "backup": ("seed", "backup"),
    "repair": ("seed", "repair"),
    "restore": ("seed", "restore", "latest"),
}


@dataclass(frozen=True)
class Cell:
    what: str
    action: Action
    operation: str

    def __str__(self) -> str:
        return f"{self.action.__name__} {self.what}, then {self.operation}"


def cells() -> list[Cell]:
    """Return all cells; objects with little influence meet only the operations that read them."""
    return [
        Cell(what, action, operation)
        for what, action, operation in product(OBJECTS, ACTIONS, OPERATIONS)
        if what not in SELDOM or operation in ("import", "validate", "status")
    ]


def covering() -> list[Cell]:
    """Return cells that together have every object, action and operation, each about as often."""
    found: list[Cell] = []
    used: Counter[str] = Counter()
    for what in (*OBJECTS, *OBJECTS[:3]):  # few operations read the other objects
        mine = (cell for cell in cells() if cell.what == what)
        found.append(seldom := min(mine, key=lambda c: used[c.action.__name__] + used[c.operation]))
        used.update((seldom.action.__name__, seldom.operation))
    assert used.keys() == {*(action.__name__ for action in ACTIONS), *OPERATIONS}
    return found


@dataclass(frozen=True)
class Scene:
    """A vault with two points of one machine, and the source as it was at each point.

    The disk of the first point was damaged, and the damage was repaired.
    """

    stage: Stage
    source: Path
    states: Sequence[Path]


def scene(stage: Stage, room: Path) -> Scene:
    """Build the scene once; every cell spoils a copy of it."""
    source = trees.varied_tree(room / "source")
    stage.export(source)
    archive = max(stage.objects("archives"), key=lambda p: p.stat().st_size)
    flip(archive, archive.stat().st_size // 2)
    stage.import_(3)
    stage.run("seed", "repair")
    states = [kept(source, room, "first")]
    trees.change(source)
    (source / "large/new").write_bytes(trees.incompressible(3 << 20, 7))
    backup(stage)
    states.append(kept(source, room, "second"))
    stage.run("importer", "points", "--vault", stage.at)
    stage.run("importer", "validate", "--vault", stage.at)
    assert complete(stage) == [True, True]
    return Scene(stage, source, states)


def complete(stage: Stage) -> list[bool]:
    return [
        p["complete"] for p in stage.run("importer", "points", "--vault", stage.at, "--json", code=None).json
    ]


def try_cell(scene: Scene, cell: Cell, folder: Path) -> None:
    """Try one cell in a copy of the scene.

    Raises AssertionError if a check fails.
    """
    folder.mkdir()
    stage = scene.stage.copy(folder / "stage")
    try:
        damaged = _damage(stage, cell)
        _operate(scene, stage, cell, folder)
        if cell.operation not in ("import", "validate", "backup", "repair", "status", "points"):
            assert _validated(stage) == ([damaged] if damaged else [])
        _heal(stage)
        assert complete(stage) == [True] * len(complete(stage))
        _compare(scene, stage, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _damage(stage: Stage, cell: Cell) -> str | None:
    """Damage the object of the cell, and return its name if it is still there."""
    prefix, _, which = cell.what.partition("/")
    found = [p for p in (stage.vault / prefix).rglob("*") if p.is_file()]
    found.sort(key=lambda p: (p.stat().st_size, p))
    path = found[-1] if which == "large" else found[0]
    other = next(p for p in [*reversed(found), stage.vault / "x"] if p != path)
    if not other.exists():
        other = next(p for p in (stage.vault / "machines").rglob("*") if p.is_file())
    cell.action(path, other)
    return str(path.relative_to(stage.vault)) if path.exists() else None


def _operate(scene: Scene, stage: Stage, cell: Cell, folder: Path) -> None:
    program, *words = OPERATIONS[cell.operation]
    if cell.operation == "import":
        words.append(stage.disk)
    if cell.operation == "restore":
        words += ["--target", folder / "restored"]
    ended = stage.run(str(program), *words, "--vault", stage.at, code=None)
    assert ended.code in (0, 1, 3), ended
    if cell.operation == "restore" and (folder / "restored").exists():
        found = trees.differences(scene.states[-1], below(folder / "restored", scene.source))
        assert [d for d in found if not d.startswith("missing: ") and ": links: " not in d] == []
        assert not found or ended.code in (1, 3), ended


def _validated(stage: Stage) -> list[str]:
    found: list[str] = stage.run("importer", "validate", "--vault", stage.at, "--json", code=None).json[
        "damaged"
    ]
    return found


def _heal(stage: Stage) -> None:
    """Validate, import and repair up to three times, as an operator and a machine's owner do."""
    for _ in range(3):
        stage.run("importer", "validate", "--vault", stage.at, code=None)
        stage.run("importer", "import", stage.disk, "--vault", stage.at, code=None)
        stage.run("seed", "repair", "--vault", stage.at, code=None)
        if all(complete(stage)) and len(complete(stage)) >= 2:
            return


def _compare(scene: Scene, stage: Stage, folder: Path) -> None:
    points = stage.run("seed", "points", "--vault", stage.at, "--json").json
    assert len(points) >= len(scene.states)
    for point, state in zip(points, scene.states, strict=False):
        target = folder / point["point"]
        stage.run("seed", "restore", point["point"], "--target", target, "--vault", stage.at)
        assert trees.differences(state, below(target, scene.source)) == []
