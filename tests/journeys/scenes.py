"""Scenes at the beginning of stories. For Linux.

They are made once for all workers; each story that may spoil one copies it.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from tests import facilities
from tests.conftest import GROUND
from tests.journeys import devices, trees
from tests.journeys.stage import Copy, Stage, backup

assert sys.platform == "linux"


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the folder for a worker's copies of the scenes, and remove it at the end: they are large."""
    path = tmp_path_factory.mktemp("journeys")
    yield path
    shutil.rmtree(path, ignore_errors=True)


def built(name: str, build: Callable[[Path], object]) -> Path:
    """Return the folder `name` of the ground that all workers share.

    The first worker that asks builds it, and the others wait.
    """
    path = Path(os.environ[GROUND]) / name
    done = path.with_name(f"{name}.done")
    with FileLock(f"{path}.lock"):
        if not done.exists():
            shutil.rmtree(path, ignore_errors=True)
            build(path)
            done.touch()
    return path


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Path]:
    """Return a folder for one story, and remove it after the story."""
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture
def rack(room: Path) -> Iterator[devices.Rack]:
    """Return a maker of disks for one story, and remove the disks after the story, even if it fails."""
    rack = devices.Rack(room)
    yield rack
    rack.clear()


@pytest.fixture(scope="session")
def setting(request: pytest.FixtureRequest) -> type[Stage]:
    """Return the kind of stage: vaults in folders, or in containers on a real Azurite.

    OFFSEED_VAULT=azblob chooses the containers.
    """
    if os.environ.get("OFFSEED_VAULT", "folder") != "azblob":
        return Stage
    facilities.insist("azurite")
    from tests.journeys.containers import ContainerStage

    ContainerStage.server = request.getfixturevalue("azurite")
    return ContainerStage


@pytest.fixture
def stage(room: Path, setting: type[Stage]) -> Stage:
    """Return an empty stage."""
    return setting(room / "stage")


@pytest.fixture
def copy_of(room: Path) -> Copy:
    """Return a function that copies a stage, so that the story may spoil the copy."""
    return lambda stage: stage.copy(room / "copy")


@pytest.fixture(scope="session")
def small_tree() -> Path:
    return built("small tree", trees.small_tree)


@pytest.fixture(scope="session")
def odd_tree() -> Path:
    return built("odd tree", trees.odd_tree)


@pytest.fixture(scope="session")
def real_tree() -> Path:
    """Copy a system folder with some thousands of files, and return the copy."""
    for candidate in (
        "/usr/lib/python3",
        "/usr/share/perl",
        "/usr/share/doc",
        "/usr/include",
        "/usr/share/man",
    ):
        if 2000 <= sum(1 for _ in Path(candidate).rglob("*")) <= 30_000:
            break
    else:
        pytest.skip("no folder here has some thousands of files")
    return built("real tree", lambda path: subprocess.run(["cp", "-a", candidate, str(path)], check=True))


Deed = Callable[[Stage], object]
Scene = Callable[[str, Stage, Deed], Stage]


@pytest.fixture(scope="session")
def scene(ground: Path, setting: type[Stage]) -> Iterator[Scene]:
    """Return `scene(name, begin, deed)`, which copies the stage `begin` and performs `deed` on the copy.

    Each worker has its own copy. Tests that back up make a copy of their own.
    So a home that had no job in the beginning has none in the end.
    """
    unused: list[Path] = []

    def make(name: str, begin: Stage, deed: Deed) -> Stage:
        def build(path: Path) -> Stage:
            stage = begin.copy(path)
            deed(stage)
            return stage

        if setting is not Stage:  # a container is on the server of this worker only
            stage = build(ground / name)
        else:
            stage = Stage(built(name, build)).copy(ground / name)
        if not jobs(stage.folder):
            unused.append(stage.folder)
        return stage

    yield make
    changed = [folder.name for folder in unused if jobs(folder)]
    assert not changed, f"tests have worked in these scenes instead of in copies: {changed}"


def jobs(folder: Path) -> list[Path]:
    return list(folder.glob("*-home/jobs/*"))


@pytest.fixture(scope="session")
def bare(ground: Path, setting: type[Stage]) -> Stage:
    """Return a stage with a vault, a credential and a passphrase file, but without a registered machine.

    Each worker makes its own: the credential names the vault, and a copy would still name the first vault.
    """
    stage = setting(ground / "bare")
    stage.create_vault()
    stage.issue()
    stage.write_secret()
    return stage


@pytest.fixture(scope="session")
def opened(scene: Scene, bare: Stage) -> Stage:
    """Return a stage with a vault and a machine that has asked to join it, but without an export."""
    return scene("opened", bare, Stage.register)


@pytest.fixture
def source(room: Path) -> Path:
    """Return a tree of every kind, which a story may change."""
    return trees.varied_tree(room / "source")


@pytest.fixture
def lived(copy_of: Copy, opened: Stage, source: Path) -> Stage:
    """Return a stage with two points of `source` in the vault, the second after a change."""
    stage = copy_of(opened)
    backup(stage, source)
    trees.change(source)
    backup(stage)
    return stage


@pytest.fixture(scope="session")
def exported(scene: Scene, opened: Stage, small_tree: Path) -> Stage:
    """Return a stage with the small tree on a disk and a finished set, but without an import."""
    return scene("exported", opened, lambda stage: stage.export(small_tree))


@pytest.fixture(scope="session")
def imported(scene: Scene, exported: Stage) -> Stage:
    """Return a stage with the small tree on a disk and in the vault."""
    return scene("imported", exported, Stage.import_)


@pytest.fixture(scope="session")
def long_tree() -> Path:
    """Return a tree that fills three archives of content and takes a while to read."""
    return built("long tree", trees.long_tree)


@pytest.fixture(scope="session")
def wide(scene: Scene, opened: Stage, long_tree: Path) -> Stage:
    """Return a stage with the long tree on a disk, a finished set and an accepted machine; no import."""

    def deed(stage: Stage) -> None:
        stage.export(long_tree)
        stage.run("importer", "machines", "list", "--vault", stage.at)

    return scene("wide", opened, deed)
