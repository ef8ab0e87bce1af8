"""The marker `needs` and the fixture `loop_disk`: tests use what a machine has, and say loudly what it lacks."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import facilities
from tests.azurite import Azurite

LoopDisks = Callable[[int, str], Path]


def pytest_configure(config: pytest.Config) -> None:
    """Each process of a parallel run has temporary files of its own: a folder above a source must not change meanwhile."""
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        own = tempfile.mkdtemp(prefix=f"offseed-{worker}-")
        os.chmod(own, 0o711)  # as other users pass through /tmp
        os.environ["TMPDIR"] = tempfile.tempdir = own
        config.add_cleanup(lambda: shutil.rmtree(own, ignore_errors=True))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for name in (name for mark in item.iter_markers("needs") for name in mark.args):
        facilities.insist(name)


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """A real Azurite, in memory, on a free port; who asks for it is marked `needs("azurite")`."""
    server = Azurite.start()
    yield server
    server.stop()


@pytest.fixture
def loop_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopDisks]:
    """Makes mounted disks: `loop_disk(bytes, "ext4")` is a path; all are unmounted after the test."""
    with ExitStack() as stack:

        def make(size: int, fstype: str) -> Path:
            disk = facilities.LoopDisk(tmp_path_factory.mktemp("disk"), size, fstype)
            stack.callback(disk.unmount)
            disk.mount()
            return disk.path

        yield make
