"""The trees that are backed up. Each is a copy in the scratch folder, so that nothing changes it meanwhile."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.measure import Totals, totals

PACKAGE = "linux-source-6.1"
READ_SIZE = 1 << 20


@dataclass(frozen=True)
class Corpus:
    """A tree to back up: `name` for the tables, `path` in the scratch folder."""

    name: str
    path: Path
    totals: Totals


def prepare(name: str, scratch: Path, deb: Path | None) -> Corpus:
    """Make corpus `name` (`linux`, `usr` or a path) in the scratch folder, and read all of it once.

    Raises OSError, subprocess.CalledProcessError.
    """
    folder = scratch / "corpus"
    folder.mkdir()
    if name == "linux":
        _unpack_linux(folder, scratch, deb)
    else:
        source = Path("/usr") if name == "usr" else Path(name).absolute()
        subprocess.run(["cp", "-a", "--", str(source), str(folder / (source.name or "root"))], check=True)
    read_all(folder)
    return Corpus(name, folder, totals(folder))


def read_all(folder: Path) -> None:
    """Read every file once, so that the first program measured finds no colder tree than the last."""
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place) / name
            if path.is_file() and not path.is_symlink():
                with path.open("rb", buffering=0) as file:
                    while file.read(READ_SIZE):
                        pass


def _unpack_linux(folder: Path, scratch: Path, deb: Path | None) -> None:
    """The Linux source tree out of Debian's package of it."""
    package = scratch / "package"
    package.mkdir()
    if deb is None:
        subprocess.run(["apt-get", "download", "-q", PACKAGE], cwd=package, check=True)
        deb = next(package.glob("*.deb"))
    subprocess.run(["dpkg-deb", "-x", str(deb.absolute()), str(package / "content")], check=True)
    archive = next((package / "content/usr/src").glob("linux-source-*.tar.*"))
    subprocess.run(["tar", "-xf", str(archive), "-C", str(folder)], check=True)
    shutil.rmtree(package)
