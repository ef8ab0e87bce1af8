"""The programs that are compared: how each prepares its repository, and the steps that are measured."""

import os
import shutil
import subprocess
import sys
import sysconfig
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks.measure import words

PASSPHRASE = "eleven quiet otters row homewards"
LIBRARIES = ("cryptography", "pyarrow", "numpy", "blake3", "pyfastcdc")
DONE, WITH_WARNINGS = 0, 3

BACKUP, SAME, UNCHANGED, COPY, RESTORE = "backup", "same command", "unchanged", "copy", "restore"
STEPS = {
    BACKUP: "first backup into an empty place",
    SAME: "the same export command again: it is finished, and says so",
    UNCHANGED: "a second backup of the unchanged tree (ours: `seed backup`, once the disk was imported)",
    COPY: "from one place to another: ours by keyless import, restic by `copy`, cp by `cp -a` and `sync`",
    RESTORE: "into an empty folder, with the passphrase",
}


@dataclass(frozen=True)
class Step:
    """A process to measure: the path `writes` is counted after it, and the path `frees` is removed then."""

    name: str
    command: Sequence[str | Path]
    writes: Path
    frees: Sequence[Path] = ()
    folder: Path | None = None
    program: str = ""
    codes: Sequence[int] = (DONE,)


class Program(ABC):
    """One program, in one variant. `here` is an empty folder for all its files."""

    name: str
    variant: str = ""

    @abstractmethod
    def version(self) -> str: ...

    @abstractmethod
    def environment(self, here: Path) -> Mapping[str, str]: ...

    @abstractmethod
    def preparation(self, here: Path) -> Sequence[Sequence[str | Path]]:
        """Return the commands that are run before, and not measured."""

    @abstractmethod
    def steps(self, here: Path, corpus: Path) -> Sequence[Step]: ...


class Offseed(Program):
    """Ours: export to a folder, keyless import of it into a vault, restore from that vault."""

    name = "offseed"

    def __init__(self, level: int) -> None:
        self.variant = f"zstd {level}"
        self._level = ("--level", str(level))
        scripts = Path(sysconfig.get_path("scripts"))
        self._seed, self._importer = scripts / "seed", scripts / "importer"

    def version(self) -> str:
        libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
        return f"offseed {version('offseed')} (Python {sys.version.split()[0]}, {libraries})"

    def environment(self, here: Path) -> Mapping[str, str]:
        return {"SEED_HOME": f"{here}/seed-home", "IMPORTER_HOME": f"{here}/importer-home"}

    def preparation(self, here: Path) -> Sequence[Sequence[str | Path]]:
        vault, credential, secret = here / "vault", here / "credential", here / "passphrase"
        (here / "disk").mkdir()
        return (
            (self._importer, "vault", "create", "Benchmark", "--at", vault, "--region", "here"),
            (self._importer, "credentials", "issue", "--vault", vault, "--out", credential),
            (self._seed, "register", "--credential", credential, "--name", "benchmark",
             "--generate-passphrase", secret),
        )  # fmt: skip

    def export(self, corpus: Path) -> list[str]:
        """Return the command without its disks."""
        return words((self._seed, "export", corpus, *self._level))

    def steps(self, here: Path, corpus: Path) -> Sequence[Step]:
        disk, copy, vault, target = (here / name for name in ("disk", "copied", "vault", "restored"))
        export = (*self.export(corpus), "--to")
        duplicate = ("sh", "-c", 'cp -a -- "$1" "$2" && sync -f -- "$2"', "sh", disk, copy)
        access = ("--vault", vault, "--passphrase-file", here / "passphrase")
        codes = (DONE, WITH_WARNINGS)
        return (
            Step(BACKUP, (*export, disk), disk, codes=codes),
            Step(SAME, (*export, disk), disk, codes=codes),
            Step(COPY, duplicate, copy, frees=(copy,), program="cp"),
            Step(COPY, (self._importer, "import", disk, "--vault", vault), vault, frees=(disk,)),
            Step(UNCHANGED, (self._seed, "backup", corpus, *self._level), vault, codes=codes),
            Step(RESTORE, (self._seed, "restore", "latest", "--target", target, *access), target),
        )


class Restic(Program):
    """restic as it comes; `copy` goes to a repository with the same chunker parameters."""

    name = "restic"

    def version(self) -> str:
        return said("restic", "version")

    def environment(self, here: Path) -> Mapping[str, str]:
        return {
            "RESTIC_REPOSITORY": f"{here}/repository",
            "RESTIC_CACHE_DIR": f"{here}/cache",
            "RESTIC_PASSWORD": PASSPHRASE,
            "RESTIC_FROM_PASSWORD": PASSPHRASE,
        }

    def preparation(self, here: Path) -> Sequence[Sequence[str | Path]]:
        first, second = here / "repository", here / "second"
        same = ("--repo", second, "--from-repo", first, "--copy-chunker-params")
        return (("restic", "init"), ("restic", "init", *same))

    def steps(self, here: Path, corpus: Path) -> Sequence[Step]:
        first, second, target = here / "repository", here / "second", here / "restored"
        backup = ("restic", "backup", "--quiet", corpus)
        copy = ("restic", "copy", "--quiet", "--repo", second, "--from-repo", first, "latest")
        return (
            Step(BACKUP, backup, first),
            Step(UNCHANGED, backup, first),
            Step(COPY, copy, second, frees=(second,)),
            Step(RESTORE, ("restic", "restore", "--quiet", "latest", "--target", target), target),
        )


class Kopia(Program):
    """kopia with its fastest zstd; otherwise as it comes, with its own maintenance after a backup."""

    name = "kopia"
    variant = "zstd-fastest"

    def version(self) -> str:
        return f"kopia {said('kopia', '--version')}"

    def environment(self, here: Path) -> Mapping[str, str]:
        return {"KOPIA_PASSWORD": PASSPHRASE, "KOPIA_CHECK_FOR_UPDATES": "false"}

    def preparation(self, here: Path) -> Sequence[Sequence[str | Path]]:
        return (
            ("kopia", "repository", "create", "filesystem", "--path", here / "repository"),
            ("kopia", "policy", "set", "--global", "--compression", self.variant),
        )

    def steps(self, here: Path, corpus: Path) -> Sequence[Step]:
        repository, target = here / "repository", here / "restored"
        create = ("kopia", "snapshot", "create", "--no-progress", corpus)
        restore = ("kopia", "snapshot", "restore", "--no-progress", corpus, target)
        return (
            Step(BACKUP, create, repository),
            Step(UNCHANGED, create, repository),
            Step(RESTORE, restore, target),
        )


class Borg(Program):
    """borg with its fastest zstd, encrypted, the key in the repository."""

    name = "borg"
    variant = "zstd,1"

    def version(self) -> str:
        return said("borg", "--version")

    def environment(self, here: Path) -> Mapping[str, str]:
        return {
            "BORG_REPO": f"{here}/repository",
            "BORG_BASE_DIR": f"{here}/base",
            "BORG_PASSPHRASE": PASSPHRASE,
        }

    def preparation(self, here: Path) -> Sequence[Sequence[str | Path]]:
        (here / "restored").mkdir()
        return (("borg", "init", "--encryption", "repokey"),)

    def steps(self, here: Path, corpus: Path) -> Sequence[Step]:
        repository, target = here / "repository", here / "restored"
        create = ("borg", "create", "--compression", self.variant)
        return (
            Step(BACKUP, (*create, "::first", corpus), repository),
            Step(UNCHANGED, (*create, "::second", corpus), repository),
            Step(RESTORE, ("borg", "extract", "::first"), target, folder=target),
        )


class Tar(Program):
    """The usual way by hand: tar, zstd on all processors, age; it finds nothing again."""

    name = "tar, zstd, age"
    variant = "zstd 1"

    def version(self) -> str:
        return f"{said('tar', '--version')}, {said('zstd', '--version')}, age {said('age', '--version')}"

    def environment(self, here: Path) -> Mapping[str, str]:
        return {}

    def preparation(self, here: Path) -> Sequence[Sequence[str | Path]]:
        return (("age-keygen", "-o", here / "key"),)

    def steps(self, here: Path, corpus: Path) -> Sequence[Step]:
        line = 'tar -C "$1" -cf - . | zstd -q -1 -T0 | age -r "$(age-keygen -y "$2")" > "$3"/tree && sync -f "$3"'
        target = here / "repository"
        return (
            Step(BACKUP, ("sh", "-c", f'mkdir "$3" && {line}', "sh", corpus, here / "key", target), target),
        )


class Floor(Program):
    """The least work that any of them does: see floor.py."""

    name = "floor"

    def __init__(self, level: int) -> None:
        self.variant = f"zstd {level}"
        self._level = level

    def version(self) -> str:
        return "floor: read, zstd, AES-GCM, write"

    def environment(self, here: Path) -> Mapping[str, str]:
        return {"PYTHONPATH": str(Path(__file__).parents[2])}

    def preparation(self, here: Path) -> Sequence[Sequence[str | Path]]:
        (here / "floor").mkdir()
        return ()

    def steps(self, here: Path, corpus: Path) -> Sequence[Step]:
        target = here / "floor"
        command = (
            sys.executable,
            "-m",
            "tests.benchmarks.floor",
            corpus,
            target / "all",
            "--level",
            str(self._level),
        )
        return (Step(BACKUP, command, target),)


def programs(levels: Sequence[int]) -> list[Program]:
    """Return ours at each level, and the other programs that are on PATH."""
    others: list[Program] = [p for p in (Restic(), Kopia(), Borg()) if shutil.which(p.name)]
    if all(map(shutil.which, ("tar", "zstd", "age"))):
        others.append(Tar())
    return [*(Offseed(level) for level in levels), *others, *(Floor(level) for level in levels)]


def environment(program: Program, here: Path) -> dict[str, str]:
    """Return the variables of a program: little of ours, and every cache and temporary file below `here`."""
    scratch = {"HOME": str(here), "TMPDIR": str(here), "LC_ALL": "C.UTF-8"}
    return {"PATH": os.environ["PATH"], **scratch, **program.environment(here)}


def said(*command: str) -> str:
    """Return the first line that a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]
