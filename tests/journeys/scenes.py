"""Scenes that stories begin from: made once, and copied by whoever spoils them. For Linux."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import facilities
from tests.journeys import devices, trees
from tests.journeys.stage import Copy, Stage, backup

assert sys.platform == "linux"


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where what all stories share is built; removed at the end, for it is large."""
    path = tmp_path_factory.mktemp("journeys")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Path]:
    """A folder for one story, removed after it."""
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture
def rack(room: Path) -> Iterator[devices.Rack]:
    """Disks for one story; unmounted and removed after it, however it ends."""
    rack = devices.Rack(room)
    yield rack
    rack.clear()


@pytest.fixture(scope="session")
def setting(request: pytest.FixtureRequest) -> type[Stage]:
    """Where the vaults of the stories lie: in folders, or with OFFSEED_VAULT=azblob in containers on a real Azurite."""
    if os.environ.get("OFFSEED_VAULT", "folder") != "azblob":
        return Stage
    facilities.insist("azurite")
    from tests.journeys.containers import ContainerStage

    ContainerStage.server = request.getfixturevalue("azurite")
    return ContainerStage


@pytest.fixture
def stage(room: Path, setting: type[Stage]) -> Stage:
    """An empty stage."""
    return setting(room / "stage")


@pytest.fixture
def copy_of(room: Path) -> Copy:
    """Copies a stage, so that the story may spoil it."""
    return lambda stage: stage.copy(room / "copy")


@pytest.fixture(scope="session")
def small_tree(ground: Path) -> Path:
    return trees.small_tree(ground / "small tree")


@pytest.fixture(scope="session")
def odd_tree(ground: Path) -> Path:
    return trees.odd_tree(ground / "odd tree")


@pytest.fixture(scope="session")
def real_tree(ground: Path) -> Path:
    """Some thousands of files as a system has them."""
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
    subprocess.run(["cp", "-a", candidate, str(ground / "real tree")], check=True)
    return ground / "real tree"


@pytest.fixture(scope="session")
def bare(ground: Path, setting: type[Stage]) -> Stage:
    """A vault and a credential, and a passphrase file; no machine is registered."""
    stage = setting(ground / "bare")
    stage.create_vault()
    stage.issue()
    stage.write_secret()
    return stage


@pytest.fixture(scope="session")
def opened(ground: Path, bare: Stage) -> Stage:
    """A vault, and a machine that has asked to join it; nothing exported."""
    stage = bare.copy(ground / "opened")
    stage.register()
    return stage


@pytest.fixture
def source(room: Path) -> Path:
    """A tree of every kind, which a story may change."""
    return trees.varied_tree(room / "source")


@pytest.fixture
def lived(copy_of: Copy, opened: Stage, source: Path) -> Stage:
    """A machine with two points of that tree in the vault, the second after a change."""
    stage = copy_of(opened)
    backup(stage, source)
    trees.change(source)
    backup(stage)
    return stage


@pytest.fixture(scope="session")
def exported(ground: Path, opened: Stage, small_tree: Path) -> Stage:
    """The small tree on a disk, its set finished; nothing imported."""
    stage = opened.copy(ground / "exported")
    stage.export(small_tree)
    return stage


@pytest.fixture(scope="session")
def imported(ground: Path, exported: Stage) -> Stage:
    """The small tree on a disk and in the vault."""
    stage = exported.copy(ground / "imported")
    stage.import_()
    return stage


@pytest.fixture(scope="session")
def long_tree(ground: Path) -> Path:
    """Enough for three archives of content and for a while of reading."""
    return trees.long_tree(ground / "long tree")


@pytest.fixture(scope="session")
def wide(ground: Path, opened: Stage, long_tree: Path) -> Stage:
    """The long tree on a disk, its set finished, its machine accepted; nothing imported."""
    stage = opened.copy(ground / "wide")
    stage.export(long_tree)
    stage.run("importer", "machines", "list", "--vault", stage.at)
    return stage
