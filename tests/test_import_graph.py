"""The limits of imports between packages, proved over the import graph, even through another module."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("formats", "seed", "importer")
KEYED = (
    "formats.keyed",
    "pyarrow",
    "cryptography.hazmat.primitives.ciphers",
    "cryptography.hazmat.primitives.kdf",
)


def modules() -> dict[str, Path]:
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


@cache
def imports(module: str) -> frozenset[str]:
    """Return every module that `module` names in an import anywhere in the file, and the packages above it."""
    named: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            base = node.module or ""
            named |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return frozenset(".".join(name.split(".")[:n]) for name in named for n in range(1, name.count(".") + 2))


def reached(module: str) -> dict[str, str]:
    """Return all modules that `module` reaches through our own modules, each with the module that names it."""
    found: dict[str, str] = {}
    todo = [module]
    while todo:
        here = todo.pop()
        for name in imports(here):
            if name not in found:
                found[name] = here
                if name in MODULES:
                    todo.append(name)
    return found


@pytest.mark.parametrize("module", sorted(MODULES))
def test_walls(module: str) -> None:
    side = module.split(".")[0]
    foreign = {"formats": ("seed", "importer"), "seed": ("importer",), "importer": ("seed",)}[side]
    for name, by in reached(module).items():
        assert name.split(".")[0] not in foreign, f"{module} reaches {name} through {by}"


@pytest.mark.parametrize("module", sorted(m for m in MODULES if m.split(".")[0] == "importer"))
def test_the_importer_cannot_decrypt(module: str) -> None:
    for name, by in reached(module).items():
        assert not any(name == k or name.startswith(k + ".") for k in KEYED), (
            f"{module} reaches {name} through {by}"
        )


@pytest.mark.parametrize("module", sorted(MODULES))
def test_azure_and_pyarrow_stay_in_their_rooms(module: str) -> None:
    names = {name.split(".")[0] for name in imports(module)}
    assert "azure" not in names or module.startswith("formats.store.azblob.")
    assert "pyarrow" not in names or module == "seed.points.parquet_export"


@pytest.mark.parametrize("module", sorted(m for m in MODULES if MODULES[m].name == "__init__.py"))
def test_packages_re_export_nothing(module: str) -> None:
    if not module.endswith(".cli"):
        assert not imports(module)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_every_module_says_what_it_is_for(module: str) -> None:
    assert ast.get_docstring(ast.parse(MODULES[module].read_text("utf-8")))


@pytest.mark.parametrize("module", sorted(m for m in MODULES if ".cli" not in m))
def test_only_the_command_line_reads_the_environment(module: str) -> None:
    text = MODULES[module].read_text("utf-8")
    assert "os.environ" not in text
    assert "getenv" not in text
