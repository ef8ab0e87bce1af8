"""The datacenter side without the key side: it works without `seed`, `formats.keyed` and pyarrow.

The proof is a copy of the sources that lacks them, with an interpreter that cannot import pyarrow.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.journeys.stage import ROOT, Stage

assert sys.platform == "linux"

BLOCKED = ("seed", "formats.keyed", "pyarrow", "numpy", "pyfastcdc")
MAIN = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if any(name == b or name.startswith(b + ".") for b in BLOCKED):
            raise ImportError(f"{name} does not exist here")

sys.meta_path.insert(0, Blocked())
sys.path.insert(0, SOURCES)
sys.argv[0] = "importer"
import importer
assert importer.__file__.startswith(SOURCES), importer.__file__
from importer.cli import main
try:
    main()
finally:
    loaded = [m for m in sys.modules if any(m == b or m.startswith(b + ".") for b in BLOCKED)]
    assert not loaded, loaded
"""


@pytest.fixture(scope="module")
def sources(ground: Path) -> Path:
    path = ground / "keyless"
    pycache = shutil.ignore_patterns("__pycache__", "keyed")
    for package in ("formats", "importer"):
        shutil.copytree(ROOT / package, path / package, ignore=pycache)
    assert not (path / "formats" / "keyed").exists()
    return path


def keyless(stage: Stage, sources: Path) -> None:
    """Give the stage an importer that cannot decrypt."""
    main = f"BLOCKED, SOURCES = {BLOCKED!r}, {str(sources)!r}\n{MAIN}"
    installed = stage.command
    stage.command = lambda program: (
        (sys.executable, "-P", "-c", main) if program == "importer" else installed(program)
    )


def test_all_that_the_importer_does_is_done_without_keys(
    stage: Stage, sources: Path, small_tree: Path, room: Path
) -> None:
    keyless(stage, sources)
    stage.open()
    exported = stage.export(small_tree)
    assert stage.run("importer", "inspect", stage.disk, "--json").json["disks"][0]["findings"] == 0
    assert stage.import_()["disks"][0]["may_be_erased"]
    assert stage.import_()["disks"][0]["unchanged"]
    (point,) = stage.run("importer", "points", "--vault", stage.at, "--json").json
    assert (point["point"], point["complete"]) == (exported["point"], True)
    for command in ("vault show", "machines list"):
        stage.run("importer", *command.split(), "--vault", stage.at)
    stage.restore(room / "restored", "--vault", stage.at)


def test_the_block_is_real(stage: Stage, sources: Path) -> None:
    keyless(stage, sources)
    main = stage.command("importer")[-1].replace("from importer.cli import main", "import pyarrow")
    words = (sys.executable, "-P", "-c", main)
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=stage.folder)
    assert done.returncode
    assert "pyarrow does not exist here" in done.stderr
