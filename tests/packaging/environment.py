"""An empty environment for a wheel: it holds the wheel, the dependencies that the wheel declares, and nothing else.

Its dependencies are links to those of the running environment, so no network is needed. If the wheel fails to
declare a dependency, it is missing there, as on a user's machine.
"""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PATIENCE = 300.0


class Environment:
    """A virtual environment with a wheel in it. `without` names dependencies that it lacks on purpose."""

    def __init__(self, folder: Path, wheel: Path, without: Iterable[str] = ()) -> None:
        venv.create(folder, symlinks=True, with_pip=False)
        self.programs = folder / "bin"
        self.python = self.programs / "python"
        self.room = folder / "room"
        self.room.mkdir()
        needed = closure(requirements(wheel))
        places = sysconfig.get_paths("venv", {"base": str(folder), "platbase": str(folder)})
        for name in needed.keys() - set(without):
            _link(needed[name], Path(places["purelib"]))
        pip = (sys.executable, "-m", "pip", "--isolated", "--python", self.python, "install")
        subprocess.run([*pip, "-q", "--no-deps", "--no-index", wheel], check=True, timeout=PATIENCE)

    def run(self, *words: object, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run a program of the environment, by its name, in its own folder and with its own homes."""
        program, *arguments = map(str, words)
        return self.start(self.programs / program, *arguments, **environment)

    def start(self, *words: object, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run any command, with the environment's programs first on its path."""
        return subprocess.run(
            [str(word) for word in words],
            cwd=self.room,
            env={**self._variables(), **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def answer(self, script: str, question: object) -> Any:
        """Run lines of Python there that get JSON as their argument, and return the JSON that they print."""
        done = self.run("python", "-I", "-c", script, json.dumps(question))
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def _variables(self) -> Mapping[str, str]:
        ours = ("PYTHON", "SEED_", "IMPORTER_", "OFFSEED_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return {
            **kept,
            "HOME": str(self.room),
            "PATH": f"{self.programs}{os.pathsep}{os.environ['PATH']}",
        }


def requirements(wheel: Path) -> list[Requirement]:
    """Return the requirements that a wheel declares for users without extras."""
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        declared = Metadata.from_email(archive.read(name), validate=False).requires_dist or []
    return [one for one in declared if one.marker is None or one.marker.evaluate({"extra": ""})]


def closure(wanted: Iterable[Requirement]) -> dict[str, Distribution]:
    """Return the installed distributions that satisfy requirements, and all that these need in turn, by name."""
    found: dict[str, Distribution] = {}
    done: set[str] = set()
    todo = list(wanted)
    while todo:
        requirement = todo.pop()
        if str(requirement) in done:
            continue
        done.add(str(requirement))
        one = distribution(requirement.name)
        assert one.version in requirement.specifier, (
            f"installed is {one.version}, but needed is {requirement}"
        )
        found[canonicalize_name(requirement.name)] = one
        for inner in map(Requirement, one.requires or ()):
            extras = ("", *requirement.extras)
            if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in extras):
                todo.append(inner)
    return found


def _link(one: Distribution, site: Path) -> None:
    for file in one.files or ():
        source = Path(str(one.locate_file(file)))
        if ".." not in file.parts and source.is_file():
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            (site / file).symlink_to(source)
