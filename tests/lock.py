"""The command `python -m tests.lock`: it renews requirements.lock, with hashes.

It takes the newest versions that pyproject.toml allows. The lock holds the dependencies, the extra `test` and the
build backend, for every supported platform and Python.
`--check` needs no network: it reports each breach of pyproject.toml, and ends with code 1 if there is one.
"""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
LOCK = "requirements.lock"
COMMAND = "python -m tests.lock"
HINT = f"renew it: pip install -e '.[dev,test]' && {COMMAND}"

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = (("linux", "Linux", "posix"), ("darwin", "Darwin", "posix"), ("win32", "Windows", "nt"))
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}\Z")


class LockError(Exception):
    """The error that the lock cannot be renewed. The message names the reason and the remedy."""


@dataclass(frozen=True)
class Pin:
    """One entry of the lock: a requirement that allows one version, and the hashes of its files."""

    requirement: Requirement
    hashes: tuple[str, ...]

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> Version | None:
        """The version, or None if the entry allows more than one."""
        said = [(one.operator, one.version) for one in self.requirement.specifier]
        is_exact = len(said) == 1 and said[0][0] == "==" and not said[0][1].endswith("*")
        return Version(said[0][1]) if is_exact else None

    def applies(self, environment: Mapping[str, str]) -> bool:
        marker = self.requirement.marker
        return marker is None or marker.evaluate(dict(environment))


def environments() -> Iterator[dict[str, str]]:
    """Yield the values of markers for each Python on each platform."""
    for python, (platform, system, name) in product(PYTHONS, PLATFORMS):
        yield {
            "python_version": python,
            "python_full_version": f"{python}.1",
            "sys_platform": platform,
            "platform_system": system,
            "os_name": name,
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
        }


def wanted(root: Path) -> list[Requirement]:
    """Return the requirements of pyproject.toml that the lock must satisfy."""
    return _required(root, ["test"])


def declared(root: Path) -> list[Requirement]:
    """Return all requirements of pyproject.toml, those of every extra among them."""
    return _required(root, None)


def _required(root: Path, wanted_extras: list[str] | None) -> list[Requirement]:
    told = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    extras = told["project"]["optional-dependencies"]
    chosen = [line for extra in wanted_extras or extras for line in extras[extra]]
    lines = (*told["project"]["dependencies"], *chosen, *told["build-system"]["requires"])
    return [Requirement(line) for line in lines]


def read(text: str) -> list[Pin]:
    """Return the entries of a lock; comments and options are left out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    entries = (line.split(" --hash=") for line in joined if line.strip() and not line.startswith("--"))
    return [
        Pin(Requirement(first.strip()), tuple(f"--hash={hashed.strip()}" for hashed in hashes))
        for first, *hashes in entries
    ]


def flaws(requirements: list[Requirement], text: str) -> list[str]:
    """Return how a lock fails to satisfy the requirements; an empty list if it does not fail."""
    pins = read(text)
    found = [f"{pin.requirement}: no single version" for pin in pins if pin.version is None]
    found += [
        f"{pin.requirement}: no hash, or a malformed one"
        for pin in pins
        if not pin.hashes or not all(_HASH.match(hashed) for hashed in pin.hashes)
    ]
    if "://" in text or "--index" in text or "--extra-index" in text or "--find-links" in text:
        found.append("the lock names a place to download from")
    if "--only-binary :all:" not in text.splitlines():
        found.append("the lock allows source distributions: `--only-binary :all:` is missing")
    for requirement in requirements:
        found += _flaws_of(requirement, [p for p in pins if p.name == canonicalize_name(requirement.name)])
    return list(dict.fromkeys(found))


def _flaws_of(requirement: Requirement, pins: list[Pin]) -> Iterator[str]:
    if not pins:
        yield f"{requirement}: not in the lock"
        return
    for pin in pins:
        if pin.version is not None and pin.version not in requirement.specifier:
            yield f"{requirement}: the lock has {pin.version}"
    for environment in environments():
        if requirement.marker is None or requirement.marker.evaluate(dict(environment)):
            count = sum(pin.applies(environment) for pin in pins)
            if count != 1:
                where = f"Python {environment['python_version']} on {environment['sys_platform']}"
                yield f"{requirement}: {count} entries for {where}"


def renew(root: Path) -> None:
    """Write the lock anew. Raises LockError, and then leaves the old one as it was."""
    command = (
        sys.executable, "-m", "uv", "pip", "compile", "-", "--universal", "--python-version", PYTHONS[0],
        "--generate-hashes", "--only-binary", ":all:", "--emit-build-options", "--no-annotate", "--no-config",
        "--custom-compile-command", COMMAND, "--quiet",
    )  # fmt: skip
    done = subprocess.run(
        command,
        input="\n".join(str(requirement) for requirement in wanted(root)),
        env={**os.environ, **index()},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LockError(
            f"cannot renew {LOCK}: uv ended with code {done.returncode}; its message stands above\n"
            "  connect to a package index, install uv (pip install -e '.[dev,test]'), and try again"
        )
    if found := flaws(wanted(root), done.stdout):
        raise LockError("cannot renew {}: uv wrote a lock with faults\n  {}".format(LOCK, "\n  ".join(found)))
    (root / LOCK).write_text(done.stdout, encoding="utf-8", newline="\n")


def index() -> dict[str, str]:
    """Return the package index that pip is set up to use, as a variable that uv reads; nothing if pip uses its own."""
    if not (url := os.environ.get("PIP_INDEX_URL", "")):
        asked = (sys.executable, "-m", "pip", "config", "get", "global.index-url")
        url = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    return {"UV_DEFAULT_INDEX": url} if url else {}


def main() -> int:
    """Return the exit code of this command."""
    if sys.argv[1:] not in ([], ["--check"]):
        print(f"usage: {COMMAND} [--check]", file=sys.stderr)
        return 2
    if not sys.argv[1:]:
        try:
            renew(ROOT)
        except LockError as error:
            print(error, file=sys.stderr)
            return 1
    text = (ROOT / LOCK).read_text(encoding="utf-8") if (ROOT / LOCK).exists() else ""
    found = flaws(wanted(ROOT), text)
    for flaw in found:
        print(f"{LOCK}: {flaw}", file=sys.stderr)
    print(f"{LOCK}: {HINT}" if found else f"{LOCK}: {len(read(text))} entries satisfy pyproject.toml")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
