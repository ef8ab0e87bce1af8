"""The checks of a release, to be run before its tag is pushed: `python -m tests.release`.

Exit code 0 guarantees this: version, changelog and tag agree, and the tree is the tag's. The wheel and the source
archive in `dist` hold byte for byte the files that a new build of this tree holds.
"""

import argparse
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from email.parser import BytesParser
from pathlib import Path

from packaging.version import InvalidVersion, Version

SHOWN = 5  # differences of one file
_SECTION = re.compile(r"## \[(?P<name>[^\]]+)\](?: - (?P<date>\S+))?")


@dataclass(frozen=True)
class Problem:
    """A reason against the release, and its remedy; a `notice` does not forbid it."""

    what: str
    hint: str
    notice: bool = False


@dataclass(frozen=True)
class Tree:
    """The working tree of the release."""

    root: Path

    def git(self, *words: str) -> str:
        """Return the output of git. Raises CalledProcessError."""
        done = subprocess.run(("git", *words), cwd=self.root, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def read(self, name: str) -> str:
        return (self.root / name).read_text("utf-8")

    @property
    def version(self) -> str:
        return str(tomllib.loads(self.read("pyproject.toml"))["project"]["version"])

    @property
    def tag(self) -> str:
        return f"v{self.version}"


def check_version(tree: Tree) -> Iterator[Problem]:
    """Check that the version is one, and newer than that of every other tag."""
    try:
        version = Version(tree.version)
    except InvalidVersion:
        yield Problem(f"{tree.version} is no version", "set `version` in pyproject.toml to one such as 1.2.0")
        return
    if str(version) != tree.version:
        yield Problem(f"{tree.version} is not the usual form", f"write {version} in pyproject.toml")
    others = [v for tag in tree.git("tag", "--list").split() if tag != tree.tag and (v := _version_of(tag))]
    if others and version <= max(others):
        hint = "raise `version` in pyproject.toml"
        yield Problem(f"{version} is not newer than {max(others)}, the last tag", hint)


def _version_of(tag: str) -> Version | None:
    try:
        return Version(tag[1:]) if tag.startswith("v") else None
    except InvalidVersion:
        return None


def check_changelog(tree: Tree) -> Iterator[Problem]:
    """Check that the changelog tells of this version, and holds nothing back for a later one."""
    sections = _sections(tree.read("CHANGELOG.md"))
    if any(_entries(lines) for name, _, lines in sections if name == "Unreleased"):
        hint = f"move them to the section of {tree.version}: the release has what they tell of"
        yield Problem('CHANGELOG.md has entries under "Unreleased"', hint)
    today = datetime.now().astimezone().date()
    heading = f"## [{tree.version}] - {today}"
    ours = [(said, lines) for name, said, lines in sections if name == tree.version]
    if not ours:
        yield Problem(f"CHANGELOG.md has no section for {tree.version}", f'begin one by "{heading}"')
        return
    said, lines = ours[0]
    if not _entries(lines):
        yield Problem(f"the section for {tree.version} is empty", "write in CHANGELOG.md what changed")
    try:
        if date.fromisoformat(said or "") > today:
            yield Problem(f"the section for {tree.version} has a date to come, {said}", f'write "{heading}"')
    except ValueError:
        yield Problem(f"the section for {tree.version} has no date", f'write "{heading}"')


def _sections(text: str) -> list[tuple[str, str | None, list[str]]]:
    """Return name, date and lines of each section."""
    found: list[tuple[str, str | None, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("## "):
            match = _SECTION.match(line)
            found.append((match["name"], match["date"], []) if match else (line, None, []))
        elif found:
            found[-1][2].append(line)
    return found


def _entries(lines: list[str]) -> bool:
    return any(line.strip() and not line.startswith("#") for line in lines)


def check_clean(tree: Tree) -> Iterator[Problem]:
    """Check that all of the working tree is committed."""
    changed = tree.git("status", "--porcelain").splitlines()
    if changed:
        names = ", ".join(line[2:].strip() for line in changed[:SHOWN])
        yield Problem(f"the working tree is not clean: {names}", "commit or remove these files")


def check_tag(tree: Tree) -> Iterator[Problem]:
    """Check that the tag points to the tree at hand, and its signature if it has one."""
    name, make = f"refs/tags/{tree.tag}", f"git tag --sign {tree.tag}"
    if name not in tree.git("for-each-ref", "--format=%(refname)", name).split():
        yield Problem(f"there is no tag {tree.tag}", f"make it: {make}")
        return
    tagged, head = tree.git("rev-parse", f"{name}^{{commit}}"), tree.git("rev-parse", "HEAD")
    if tagged != head:
        hint = f"check out the tag; or, if nobody has it yet, move it: {make} --force"
        yield Problem(f"the tag {tree.tag} points to {tagged[:12]}, and HEAD is {head[:12]}", hint)
    if not tree.git("for-each-ref", "--format=%(contents:signature)", name):
        yield Problem(f"the tag {tree.tag} is not signed", f"sign it: {make} --force", notice=True)
        return
    try:
        tree.git("verify-tag", tree.tag)
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip() or "git gives no reason").splitlines()[-1]
        hint = "make its key known to git, or sign the tag anew"
        yield Problem(f"the signature of {tree.tag} does not verify: {reason}", hint)


def build(tree: Tree, folder: Path) -> None:
    """Build wheel and source archive of HEAD into `folder`, without the network. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as scratch:
        packed, source = Path(scratch) / "tree.tar", Path(scratch) / "tree"
        tree.git("archive", f"--output={packed}", "HEAD")
        with tarfile.open(packed) as archive:
            archive.extractall(source, filter="data")
        subprocess.run(
            (sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(source)),
            cwd=scratch,
            env={**os.environ, "SOURCE_DATE_EPOCH": tree.git("log", "-1", "--format=%ct")},
            check=True,
            capture_output=True,
            text=True,
        )


def check_dist(tree: Tree, dist: Path, built: Path) -> Iterator[Problem]:
    """Check that `dist` holds the `built` files, byte for byte."""
    anew = "remove all of dist, and build from a clone of the tag: python -m build --no-isolation"
    there, expected = _archives(dist), _archives(built)
    for name in sorted(expected.keys() - there.keys()):
        yield Problem(f"{dist / name} is missing", anew)
    for name in sorted(there.keys() - expected.keys()):
        yield Problem(f"{dist / name} is of no release of this tree", anew)
    for name in sorted(there.keys() & expected.keys()):
        try:
            ours, theirs = members(there[name]), members(expected[name])
        except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile) as error:
            yield Problem(f"{dist / name} cannot be read: {error}", anew)
            continue
        differing = sorted(path for path in ours.keys() | theirs.keys() if ours.get(path) != theirs.get(path))
        if differing:
            hint = f"{anew}; if only WHEEL differs, use the same version of setuptools"
            said = [_difference(path, ours, theirs) for path in differing[:SHOWN]]
            yield Problem(f"{dist / name} differs in {len(differing)} files: {', '.join(said)}", hint)
        if (said_version := _metadata_version(ours)) != tree.version:
            yield Problem(f"{dist / name} says that its version is {said_version}", anew)


def _archives(folder: Path) -> dict[str, Path]:
    return {path.name: path for end in ("*.whl", "*.tar.gz") for path in folder.glob(end)}


def members(path: Path) -> dict[str, bytes]:
    """Return the content of each file in a wheel or a source archive; of a link in it, its target."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            return {name: wheel.read(name) for name in wheel.namelist()}
    with tarfile.open(path) as archive:
        files = ((entry, archive.extractfile(entry) if entry.isfile() else None) for entry in archive)
        return {e.name: file.read() if file else e.linkname.encode() for e, file in files if not e.isdir()}


def _difference(path: str, ours: dict[str, bytes], theirs: dict[str, bytes]) -> str:
    if path not in theirs:
        return f"{path} (too much)"
    return path if path in ours else f"{path} (missing)"


def _metadata_version(found: dict[str, bytes]) -> str | None:
    for path, data in found.items():
        if re.fullmatch(r"[^/]+\.dist-info/METADATA|[^/]+/PKG-INFO", path):
            version: str | None = BytesParser().parsebytes(data)["Version"]
            return version
    return None


CHECKS: tuple[Callable[[Tree], Iterator[Problem]], ...] = (
    check_version,
    check_changelog,
    check_clean,
    check_tag,
)


def problems(tree: Tree, dist: Path) -> Iterator[Problem]:
    """Yield each reason against the release; it is built only if all else is right."""
    found = [problem for check in CHECKS for problem in check(tree)]
    yield from found
    if not all(problem.notice for problem in found):
        return
    with tempfile.TemporaryDirectory() as built:
        build(tree, Path(built))
        yield from check_dist(tree, dist, Path(built))


def main() -> int:
    """Print each reason against a release, and its remedy; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.release", description=__doc__)
    parser.add_argument(
        "--tree", type=Path, default=Path(__file__).parent.parent, help="the tree to be released"
    )
    parser.add_argument(
        "--dist", type=Path, help="where wheel and source archive lie; else `dist` in the tree"
    )
    options = parser.parse_args()
    tree = Tree(options.tree)
    try:
        found = list(problems(tree, options.dist or tree.root / "dist"))
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout or "").strip().splitlines()
        reason = f"{' '.join(map(str, error.cmd[:4]))} failed: {said[-1] if said else 'without a word'}"
        found = [Problem(reason, "run this in a clone of the project, after pip install -e '.[dev]'")]
    for problem in found:
        print("notice" if problem.notice else "cannot release", f"{problem.what}\n  {problem.hint}", sep=": ")
    if all(problem.notice for problem in found):
        print(f"{tree.tag} may be pushed")
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
