"""The rules of every run: missing facilities are named, `nightly` tests wait for the night, workers share a ground.

The marker `needs` names facilities. The fixture `loop_disk` makes disks.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import settings

from tests import facilities
from tests.azurite import Azurite
from tests.effort import NIGHTLY, examples

LoopDisks = Callable[[int, str], Path]
# The folders of tests that run commands, and take long.
LONG = {"journeys", "hostile", "crash", "retention", "damage", "packaging", "importer"}
GROUND = "OFFSEED_TEST_GROUND"  # the folder that all workers of a run share

settings.register_profile("offseed", deadline=None, derandomize=not NIGHTLY, max_examples=examples(100))
settings.load_profile("offseed")


def pytest_configure(config: pytest.Config) -> None:
    """Give the run a ground, and each worker its own temporary files: folders above a source must not change."""
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        os.environ["TMPDIR"] = tempfile.tempdir = _scratch(config, f"offseed-{worker}-")
    else:
        os.environ[GROUND] = _scratch(config, "offseed-ground-")


def _scratch(config: pytest.Config, prefix: str) -> str:
    """Return a new folder, which is removed when this process has run its tests."""
    path = tempfile.mkdtemp(prefix=prefix)
    os.chmod(path, 0o711)  # other users pass through this folder, as through /tmp
    config.add_cleanup(lambda: shutil.rmtree(path, ignore_errors=True))
    return path


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the files that take long first, so that no worker ends with one; leave the nightly tests to the night."""
    items.sort(key=lambda item: not LONG.intersection(item.path.relative_to(config.rootpath).parts))
    if NIGHTLY:
        return
    left = [item for item in items if item.get_closest_marker("nightly")]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for name in (name for mark in item.iter_markers("needs") for name in mark.args):
        facilities.insist(name)


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """Return a real Azurite, in memory, on a free port; its tests carry the mark `needs("azurite")`."""
    server = Azurite.start()
    yield server
    server.stop()


@pytest.fixture
def loop_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopDisks]:
    """Return a function that makes mounted disks: `loop_disk(bytes, "ext4")` is a path.

    All are unmounted after the test.
    """
    with ExitStack() as stack:

        def make(size: int, fstype: str) -> Path:
            disk = facilities.LoopDisk(tmp_path_factory.mktemp("disk"), size, fstype)
            stack.callback(disk.unmount)
            disk.mount()
            return disk.path

        yield make
