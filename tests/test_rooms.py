"""The rooms of the house: each imports from the floors below it, without circles, and the map names all of them."""

import ast
import re
from functools import cache

import pytest

from tests.test_import_graph import MODULES, ROOT, imports

# From the ground up. A room imports from the floors below its own, and from nowhere else.
FLOORS = (
    ("formats.errors", "formats.ids", "formats.words"),
    ("formats.homes", "formats.monitor", "formats.untrusted"),
    ("formats.layout", "formats.tables"),
    ("formats.documents", "formats.store"),
    ("formats.keyed", "formats.records", "formats.view"),
    ("formats.rules", "seed.forking", "seed.source", "seed.tables"),
    ("formats.disks", "formats.shell", "importer.vault", "seed.home"),
    ("importer.intake", "seed.points"),
    (
        "importer.outbound",
        "importer.upkeep",
        "seed.disks",
        "seed.identity",
        "seed.pipeline",
        "seed.restore",
    ),
    ("importer.reports", "seed.plan", "seed.targets"),
    ("importer.cli", "seed.session"),
    ("importer.__main__", "seed.revision", "seed.verify"),
    ("seed.backup",),
    ("seed.repair",),
    ("seed.report",),
    ("seed.cli",),
    ("seed.__main__",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
PACKAGES = ("formats", "importer", "seed")
LINES_MAX = 400  # of a module
FUNCTION_LINES_MAX = 70
PARAMETERS_MAX = 6
CLOCKS = {
    "date.today",
    "datetime.now",
    "datetime.today",
    "datetime.utcnow",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.perf_counter_ns",
    "time.sleep",
    "time.time",
    "time.time_ns",
}
PEOPLE = ("formats.shell", "importer.cli", "importer.reports", "seed.cli", "seed.report")


def room_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


def ours(module: str) -> set[str]:
    """Return our own modules that a module imports anywhere in the file; of a package only the imported names."""
    named = {name for name in imports(module) if name in MODULES and name != module}
    return {name for name in named if not any(other.startswith(f"{name}.") for other in named)}


MAPPED = sorted(module for module in MODULES if "." in module)
LIMITED = [module for module in MAPPED if module.startswith(PACKAGES)]


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text("utf-8"))


@pytest.mark.parametrize("module", MAPPED)
def test_a_room_imports_from_the_floors_below_it(module: str) -> None:
    room = room_of(module)
    assert room in FLOOR, f"{room} stands on no floor"
    for name in sorted(ours(module)):
        other = room_of(name)
        if other != room and "." in other:
            assert FLOOR[other] < FLOOR[room], f"{module} imports {name}, which is not below it"


@pytest.mark.parametrize("module", MAPPED)
def test_what_speaks_to_people_is_imported_by_commands_and_reports_alone(module: str) -> None:
    if not module.startswith(PEOPLE):
        assert not [name for name in ours(module) if name.startswith("formats.shell")]


@pytest.mark.parametrize("module", LIMITED)
def test_a_clock_is_a_parameter(module: str) -> None:
    """Read a clock only in the shell and the stores: all other code is given `formats.store.clock.Clock`."""
    if module.startswith(("formats.shell", "formats.store")):
        return
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = f"{node.value.id}.{node.attr}"
            assert name not in CLOCKS, f"{module}:{node.lineno} reads {name}"
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            named = {f"time.{alias.name}" for alias in node.names}
            assert not named & CLOCKS, f"{module}:{node.lineno} imports {sorted(named)}"


@pytest.mark.parametrize("module", LIMITED)
def test_a_module_is_short(module: str) -> None:
    lines = MODULES[module].read_text("utf-8").count("\n")
    assert lines <= LINES_MAX, f"{module} has {lines} lines"


@pytest.mark.parametrize("module", LIMITED)
def test_a_function_is_short_and_takes_few_parameters(module: str) -> None:
    """Keep functions short and their parameters few; a command has one parameter for each option."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            where, lines = f"{module}.{node.name}", (node.end_lineno or 0) - node.lineno + 1
            assert lines <= FUNCTION_LINES_MAX, f"{where} has {lines} lines"
            count = len(parameters(node.args))
            assert count <= PARAMETERS_MAX or ".cli" in module, f"{where} has {count} parameters"


def parameters(found: ast.arguments) -> list[str]:
    """Return the names of all parameters, without the object itself."""
    all_ = [*found.posonlyargs, *found.args, *found.kwonlyargs, found.vararg, found.kwarg]
    return [one.arg for one in all_ if one is not None and one.arg not in ("self", "cls")]


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Refuse a circle of imports, also through an import inside a function."""
    begun, done = list[str](), set[str]()

    def visit(module: str) -> None:
        assert module not in begun, " → ".join([*begun[begun.index(module) :], module])
        if module in done:
            return
        begun.append(module)
        for name in sorted(ours(module)):
            visit(name)
        begun.pop()
        done.add(module)

    for module in MAPPED:
        visit(module)


def test_each_floor_has_rooms_that_are_there() -> None:
    there = {room_of(module) for module in MAPPED}
    assert sorted(FLOOR.keys() - there) == []


def test_the_map_names_each_room_and_says_what_it_says_of_itself() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    told = dict(re.findall(r"^\| `((?:formats|importer|seed)/[a-z]+/)` \| (.+) \|$", text, re.MULTILINE))
    rooms = {
        f"{module.replace('.', '/')}/": ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        for module, path in MODULES.items()
        if path.name == "__init__.py" and module.count(".") == 1
    }
    assert told == {room: text.partition("\n")[0] for room, text in rooms.items()}
