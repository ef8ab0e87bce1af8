"""The wheel holds the whole product, and works in an environment that holds only its declared dependencies.

The wheel is built as a user's pip builds it, from a clean copy of the checkout. The last test shows that these checks
notice a module, a data file or a dependency that is missing.
"""

import json
import re
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile

import pytest

from tests.packaging import tree
from tests.packaging.environment import Environment
from tests.pages import text_of_pages

assert sys.platform != "win32"

WALK = re.compile(r"^<!-- walk -->\n```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)

IMPORT_ALL = """
import importlib, json, sys
failed = {}
for name in json.loads(sys.argv[1]):
    try:
        found = importlib.import_module(name).__file__
        if not found.startswith(sys.prefix):
            failed[name] = f"comes from {found}"
    except BaseException as error:
        failed[name] = repr(error)
print(json.dumps(failed))
"""

# Commands import late, inside functions: an import that may fail lies in a `try` for ImportError.
FIND_ALL = """
import ast, importlib.util, json, sys
from pathlib import Path

def imported(node):
    if isinstance(node, ast.Try) and any("ImportError" in ast.unparse(h.type) for h in node.handlers if h.type):
        return
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.If) and "sys.version_info" in ast.unparse(node.test):
        for child in node.body if eval(ast.unparse(node.test)) else node.orelse:  # as this Python runs it
            yield from imported(child)
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield node.module
    for child in ast.iter_child_nodes(node):
        yield from imported(child)

def found(name):
    try:
        return importlib.util.find_spec(name)
    except ImportError:
        return None

names = {}
for module in json.loads(sys.argv[1]):
    if spec := found(module):
        for name in imported(ast.parse(Path(spec.origin).read_bytes())):
            names.setdefault(name, module)
python = sys.stdlib_module_names  # among them those that Python has on other systems only
print(json.dumps({n: m for n, m in names.items() if n.split(".")[0] not in python and not found(n)}))
"""

HELP_ALL = """
import contextlib, io, json, re, sys
from importer.cli.app import app as importer
from seed.cli.app import app as seed

helps = {}

def walk(app, *words):
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        code = app([*words[1:], "--help"], prog_name=words[0], standalone_mode=False)
    assert not code, words
    helps[" ".join(words)] = text = shown.getvalue()
    below = text.partition("\\nOptions:\\n")[2]  # arguments come before the options, commands behind them
    for name in re.findall(r"^  ([a-z][a-z-]*)  ", below, re.MULTILINE):
        walk(app, *words, name)

walk(seed, "seed")
walk(importer, "importer")
print(json.dumps(helps))
"""


class Built(NamedTuple):
    """A source distribution, and the wheel that was built of it."""

    source: Path
    wheel: Path


def build(folder: Path, out: Path, *options: str) -> Path:
    """Build a source distribution into `out`, and from that a wheel, unless options say otherwise."""
    words = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), *options, str(folder)]
    done = subprocess.run(words, cwd=out.parent, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def content(wheel: Path) -> dict[str, object]:
    """Return the bytes of each file in a wheel; of RECORD, its lines in any order."""
    with ZipFile(wheel) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    return {n: sorted(b.splitlines()) if n.endswith("/RECORD") else b for n, b in found.items()}


def packed(wheel: Path) -> set[str]:
    """Return the names of all files in a wheel, except those that describe it."""
    return {name for name in content(wheel) if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the checkout that holds only the checkout's own files."""
    folder = tmp_path_factory.mktemp("wheel") / "tree"
    tree.copy(tree.ROOT, folder)
    return folder


@pytest.fixture(scope="module")
def built(clean: Path) -> Built:
    """Return the product as it is published."""
    out = build(clean, clean.parent / "dist")
    (source,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return Built(source, wheel)


@pytest.fixture(scope="module")
def environment(built: Built) -> Environment:
    """Return an environment with the wheel and its dependencies alone."""
    return Environment(built.wheel.parent.parent / "environment", built.wheel)


def test_the_source_distribution_holds_every_file_of_the_checkout(built: Built) -> None:
    with tarfile.open(built.source) as archive:
        held = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    assert not {*tree.files(tree.ROOT)} - held, "MANIFEST.in leaves out files"
    added = {name for name in held - {*tree.files(tree.ROOT)} if not name.startswith("offseed.egg-info/")}
    assert added == {"PKG-INFO", "setup.cfg"}


def test_the_source_distribution_builds_the_same_wheel(clean: Path, built: Built) -> None:
    (of_tree,) = build(clean, clean.parent / "direct", "--wheel").glob("*.whl")
    assert of_tree.name == built.wheel.name
    assert content(of_tree) == content(built.wheel)


def test_the_wheel_holds_the_product_and_nothing_else(built: Built) -> None:
    assert packed(built.wheel) == {*tree.product(tree.ROOT)}


def test_every_module_can_be_imported(environment: Environment) -> None:
    modules = tree.modules(tree.product(tree.ROOT))
    assert len(modules) > 200
    assert environment.answer(IMPORT_ALL, modules) == {}


def test_all_that_modules_import_late_is_there(environment: Environment) -> None:
    assert environment.answer(FIND_ALL, tree.modules(tree.product(tree.ROOT))) == {}


def test_every_command_tells_its_use(environment: Environment) -> None:
    helps = environment.answer(HELP_ALL, None)
    assert {"seed export", "seed plan", "seed key change", "importer import", "importer vault create"} <= {
        *helps
    }
    for words, text in helps.items():
        assert f"Usage: {words} " in text, text


@pytest.fixture(scope="module")
def walked(environment: Environment) -> "subprocess.CompletedProcess[str]":
    """Run the walk of the README there; it leaves a server with a home and a backup."""
    (walk,) = WALK.findall(text_of_pages())
    return environment.start("bash", "-euo", "pipefail", "-c", walk)


def test_the_walk_of_the_readme_works(walked: "subprocess.CompletedProcess[str]") -> None:
    assert walked.returncode == 0, walked.stdout + walked.stderr
    assert "complete" in walked.stdout


def test_what_a_module_starts_anew_is_that_module(
    walked: "subprocess.CompletedProcess[str]", environment: Environment
) -> None:
    """Start the same module in the background backup and in the system's timer, both set up by `python -m seed`."""
    home = {"SEED_HOME": str(environment.room / "server")}

    def seed(*words: str) -> str:
        done = environment.run("python", "-m", "seed", *words, **home)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    (environment.room / "files/newer").write_text("newer", encoding="utf-8")
    assert "goes on in the background" in seed("backup", "--detach")
    seed("jobs", "--follow")
    assert json.loads(seed("status", "--json"))["detached"]["code"] == 0
    seed("schedule", "set", "--daily", "09:00")
    units = json.loads(seed("schedule", "install", "--to", "units", "--json"))["files"]
    if sys.platform == "linux":
        (service,) = (Path(unit) for unit in units if unit.endswith(".service"))
        (line,) = re.findall(
            r"^ExecStart=(.*)$", (environment.room / service).read_text("utf-8"), re.MULTILINE
        )
        done = environment.start(*shlex.split(line), **home)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


def test_a_plan_is_made_and_the_demo_runs(environment: Environment, clean: Path) -> None:
    plan = environment.run("seed", "plan", clean, "--uplink", "20mbit", "--disk-size", "4TB")
    assert plan.returncode == 0, plan.stdout + plan.stderr
    demo = environment.run("seed", "demo", clean / "formats")
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "came back bit for bit" in demo.stdout


@pytest.mark.parametrize("program", ["seed", "importer"])
def test_each_program_is_a_module_that_can_be_run(program: str, environment: Environment) -> None:
    installed = environment.run(program, "--version")
    done = environment.run("python", "-m", program, "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, installed.stdout, "")
    assert done.stdout.startswith("offseed ")
    wrong = environment.run("python", "-m", program, "--no-such-option")
    assert (wrong.returncode, wrong.stderr) == (2, environment.run(program, "--no-such-option").stderr)
    assert wrong.stderr.startswith(f"{program}: ")


def test_what_is_missing_is_noticed(clean: Path, tmp_path: Path) -> None:
    spoilt = tmp_path / "tree"
    tree.copy(clean, spoilt)
    project = spoilt / "pyproject.toml"
    text = project.read_text(encoding="utf-8")
    for old, new in (
        (
            "[tool.setuptools.packages.find]\n",
            '[tool.setuptools.packages.find]\nexclude = ["seed.plan.sampling"]\n',
        ),
        ('"*" = ["*.md", "*.schema.json"]', '"seed" = ["*.md"]'),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    project.write_text(text, encoding="utf-8")
    (wheel,) = build(spoilt, tmp_path / "dist", "--wheel").glob("*.whl")
    names = tree.product(tree.ROOT)
    sampling = {name for name in names if name.startswith("seed/plan/sampling/")}
    assert {*names} - packed(wheel) == sampling | {name for name in names if name.endswith((".md", ".json"))}

    environment = Environment(tmp_path / "environment", wheel, without=["segno"])
    failed = environment.answer(IMPORT_ALL, tree.modules(names))
    assert {*tree.modules([*sampling]), "seed.plan.estimate"} <= failed.keys()
    assert "segno" in environment.answer(FIND_ALL, tree.modules(names))
    assert environment.run("seed", "plan", spoilt).returncode == 1
