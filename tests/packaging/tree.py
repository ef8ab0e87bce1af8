"""The files of a checkout: all that belong to it, and those of the product. It also makes a copy without anything else."""

import fnmatch
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("formats", "importer", "seed")
_GENERATED = ("PKG-INFO", "setup.cfg")  # setuptools adds them to a source distribution


def files(root: Path) -> list[str]:
    """Return the files of the checkout: those that git tracks, and new ones in the packages.

    Without git, as in an unpacked source distribution, return all files that .gitignore does not name.
    """
    names = _known_to_git(root) if (root / ".git").exists() else _not_ignored(root)
    return sorted({name for name in names if (root / name).is_file()})


def product(root: Path) -> list[str]:
    """Return the files of the three packages, without the tests."""
    return [name for name in files(root) if name.split("/")[0] in PACKAGES]


def modules(names: list[str]) -> list[str]:
    """Return the names of the modules in these files."""
    paths = [name.removesuffix(".py").split("/") for name in names if name.endswith(".py")]
    return [".".join(path[:-1] if path[-1] == "__init__" else path) for path in paths]


def copy(root: Path, folder: Path) -> None:
    """Copy the files of the checkout, and nothing else, into a new folder."""
    for name in files(root):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, folder / name)


def _known_to_git(root: Path) -> list[str]:
    tracked = ("ls-files", "-z", "--cached")
    new = ("ls-files", "-z", "--others", "--exclude-standard", "--", *PACKAGES)
    told = [
        subprocess.run(["git", *words], cwd=root, stdout=subprocess.PIPE, text=True, check=True).stdout
        for words in (tracked, new)
    ]
    return "".join(told).split("\0")


def _not_ignored(root: Path) -> Iterator[str]:
    lines = (root / ".gitignore").read_text(encoding="utf-8").splitlines()
    patterns = [".git", *(line.strip("/") for line in lines if line)]

    def kept(names: list[str]) -> list[str]:
        return [name for name in names if not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]

    for folder, folders, names in os.walk(root):
        folders[:] = kept(folders)
        for name in kept(names):
            path = Path(folder, name).relative_to(root).as_posix()
            if path not in _GENERATED and not path.endswith((".pyc", ".pyo")):
                yield path
