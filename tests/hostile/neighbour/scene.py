"""A healthy vault of three machines, with nearly every kind of object that a vault has.

Each machine has garbage, and a disk is in the post. `web1` and `web2` are healthy. The neighbour has the keys
of `web3`. A scene is set back to its beginning at the same path, because homes and authorities remember
paths.
"""

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from formats import layout
from formats.documents import envelope
from formats.documents.damage import Replacement
from formats.documents.manifest import Manifest
from formats.ids import Digest
from formats.tables import needs
from formats.tables.archive import parse
from formats.tables.sections import decode_object
from seed.home.home import Home, Identity
from tests.journeys import moments, trees
from tests.journeys.stage import PASSPHRASE, Stage, a_day_later, backup, keep_firsts

assert sys.platform == "linux"

HEALTHY = ("web1", "web2")
CAPTURED = "web3"
NAMES = (*HEALTHY, CAPTURED)


@dataclass
class Scene:
    """The stages by their machines' names, below one folder.

    `history` holds every object that the vault ever had, with its bytes. `elsewhere` holds the same for
    another vault of this operator.
    """

    folder: Path
    stages: dict[str, Stage]
    history: dict[str, bytes] = field(default_factory=dict)
    elsewhere: dict[str, bytes] = field(default_factory=dict)

    @property
    def vault(self) -> Path:
        return self.stages["web1"].vault

    @property
    def _kept(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.kept")

    @cached_property
    def identities(self) -> dict[str, Identity]:
        """The identity in each machine's home, with its keys."""
        return {name: Home.open(stage.home).identity for name, stage in self.stages.items()}

    @cached_property
    def beginning(self) -> dict[str, bytes]:
        """All objects of the vault at the beginning."""
        return objects(self.vault)

    @cached_property
    def ids(self) -> set[str]:
        """The machines and sets that the vault knows: the parts of names that stay the same in each run."""
        parts = {part for name in self.history for part in name.split("/")}
        return {part.partition("-")[0] for part in parts if len(part.partition("-")[0]) == 32}

    def remember(self) -> None:
        """Add all objects that the vaults hold now to the history."""
        self.history |= objects(self.vault)
        if (elsewhere := self.folder / "elsewhere/vault").exists():
            self.elsewhere |= objects(elsewhere)

    def keep(self) -> None:
        """Take the present state as the beginning."""
        assert self.beginning
        subprocess.run(["cp", "-a", "--reflink=auto", "--", str(self.folder), str(self._kept)], check=True)

    def set_back(self) -> None:
        """Set everything back to the beginning."""
        shutil.rmtree(self.folder)
        subprocess.run(["cp", "-a", "--reflink=auto", "--", str(self._kept), str(self.folder)], check=True)

    @cached_property
    def owned(self) -> dict[str, frozenset[str]]:
        """The objects of the beginning by their machine: documents, archives, their indexes, need lists."""
        return {name: frozenset(self._owned_by(name)) & self.beginning.keys() for name in NAMES}

    def _owned_by(self, name: str) -> Iterator[str]:
        identity = self.identities[name]
        key_id, theirs = identity.master.key_id.hex(), set()
        for each, data in self.history.items():
            if {identity.machine, key_id} & {*each.split("/")}:
                yield each
            if each.startswith("archives/") and parse(data, each).key_id == identity.master.key_id:
                theirs.add(each)
            if (
                each.startswith(layout.REPLACEMENTS)
                and envelope.read(data, each).peek(Replacement).key_id == key_id
            ):
                yield each
            if each.startswith(f"manifests/{identity.machine}/"):
                yield from self._needs_of(envelope.read(data, each).peek(Manifest).needs)
        yield from theirs
        for each, data in self.history.items():
            if each.startswith("indexes/"):
                listed = {layout.archive_name(section.archive.name) for section in decode_object(data, each)}
                if listed & theirs:
                    yield each

    def _needs_of(self, root: str) -> Iterator[str]:
        def fetch(digest: Digest) -> bytes:
            return self.history[layout.need_name(digest)]

        for digest in needs.objects_of(Digest(bytes.fromhex(root)), fetch, root):
            yield layout.need_name(digest)


def objects(vault: Path) -> dict[str, bytes]:
    """Return the objects of a vault in a folder, name to bytes."""
    found = (path for path in vault.rglob("*") if path.is_file() and not path.is_symlink())
    named = ((path.relative_to(vault).as_posix(), path) for path in found)
    return {name: path.read_bytes() for name, path in named if layout.is_name(name)}


def build(folder: Path) -> Scene:
    """Build the scene below `folder`."""
    scene = Scene(folder, {name: Stage(folder / name) for name in NAMES})
    first = scene.stages["web1"]
    first.create_vault()
    first.run("importer", "vault", "set-redundancy", "local", "--vault", first.at)
    for number, (name, stage) in enumerate(scene.stages.items()):
        if stage is not first:
            stage.join(first)
        first.issue()
        _secret(stage, name)
        stage.register(name)
        _live(scene, stage, number)
    _elsewhere(scene)
    _damage(scene)
    _sweep(scene)
    _make_garbage(scene)
    _ship(scene)
    _sweep_nothing(scene)
    scene.remember()
    scene.keep()
    return scene


def _secret(stage: Stage, name: str) -> None:
    """Choose a passphrase for a machine that no other machine has."""
    stage.secret.write_text(f"{PASSPHRASE} {name}\n")
    stage.secret.chmod(0o600)


def source(stage: Stage) -> Path:
    """Return the folder that a machine backs up."""
    return stage.folder / "source"


def _live(scene: Scene, stage: Stage, number: int) -> None:
    """Let a machine make three points; the second will expire."""
    keep_firsts(stage, days=1)
    stays = source(stage) / "stays"
    trees.small_file(stays, trees.incompressible(60_000, 100 + number))
    backup(stage, source(stage))
    _come_and_go(stage, 200 + number)
    stage.run("importer", "points", "--vault", stage.at)
    scene.remember()


def _come_and_go(stage: Stage, seed: int) -> None:
    """Make a point that has a file of its own, and then a point without that file."""
    passing = source(stage) / "passing"
    trees.small_file(passing, trees.incompressible(90_000, seed))
    backup(stage)
    passing.unlink()
    backup(stage)


def _elsewhere(scene: Scene) -> None:
    """Make another vault of the same operator, with a machine, a point from a disk, and a sweep."""
    stage = Stage(scene.folder / "elsewhere")
    stage.importer_home = scene.stages["web1"].importer_home
    stage.create_vault("Elsewhere")
    stage.issue()
    stage.register("web9")
    trees.small_file(source(stage) / "file", trees.incompressible(50_000, 900))
    stage.export(source(stage))
    stage.import_()
    for words in (("prune",), ("validate",)):
        stage.run("importer", *words, "--vault", stage.at)
    scene.remember()


def _damage(scene: Scene) -> None:
    """Let the captured machine lose an archive and send it again, so that there are wants and replacements."""
    stage = scene.stages[CAPTURED]
    lost = max((stage.vault / "archives").glob("*/*"), key=lambda path: (path.stat().st_mtime, path))
    lost.unlink()
    stage.run("importer", "validate", "--vault", stage.at)
    scene.remember()
    for each in scene.stages.values():
        each.run("seed", "repair", code=None)
    scene.remember()
    stage.run("importer", "points", "--vault", stage.at)
    stage.run("importer", "validate", "--vault", stage.at)
    scene.remember()


def _sweep(scene: Scene) -> None:
    """Let retention condemn and delete, so that there are lists, sweeps and terms of earlier days."""
    stage = scene.stages["web1"]
    for _ in range(2):
        a_day_later(stage)
        stage.run("importer", "prune", "--vault", stage.at)
        scene.remember()


def _make_garbage(scene: Scene) -> None:
    for number, stage in enumerate(scene.stages.values()):
        _come_and_go(stage, 300 + number)
    scene.remember()


def _ship(scene: Scene) -> None:
    """Write disks: `web1` has one in the post and one that will not come.

    `web2` has one that has come, and an export that broke off.
    """
    first, second, third = scene.stages.values()
    for stage in scene.stages.values():
        stage.run("seed", "export", "--again", "--to", disk(stage, 1))
    first.run("seed", "export", "--again", "--to", disk(first, 2))
    second.run("importer", "receive", f"{set_of(second, 1)[:8]}/1", "--vault", second.at)
    second.run("importer", "import", disk(second, 1), "--vault", second.at)
    for stage in (first, third):
        stage.run("seed", "set", "ship", f"{set_of(stage, 1)[:8]}/1", "--carrier", "DHL")
    scene.remember()
    for stage in (second, third):
        broken = moments.at("placed", signal.SIGKILL, disk(stage, 2))
        moments.killed(stage, broken, "seed", "export", "--again", "--to", disk(stage, 2))
    third.run("seed", "set", "abandon")
    third.run("seed", "set", "resume")
    new = third.folder / "new.passphrase"
    new.write_text(f"{PASSPHRASE} another\n")
    new.chmod(0o600)
    third.run("seed", "key", "add", "--new-passphrase-file", new)
    first.run(
        "importer", "export", "latest", "--machine", "web2", "--to", disk(first, 9), "--vault", first.at
    )
    scene.remember()


def _sweep_nothing(scene: Scene) -> None:
    """Make everything a day old, while the garbage of each machine is not condemned yet."""
    stage = scene.stages["web1"]
    for each in scene.stages.values():
        each.run("seed", "points")
    stage.run("importer", "validate", "--vault", stage.at)
    a_day_later(stage)


def disk(stage: Stage, number: int) -> Path:
    """Return the folder that serves as a disk of a machine."""
    path = stage.folder / f"disk {number}"
    path.mkdir(exist_ok=True)
    return path


def set_of(stage: Stage, number: int) -> str:
    """Return the set that has disk `number` as its only disk."""
    (folder,) = (disk(stage, number) / "offseed").iterdir()
    return folder.name.partition("-")[0]
