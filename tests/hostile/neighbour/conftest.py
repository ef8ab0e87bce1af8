"""The scene, built once by each worker, and the undisturbed results of all commands in it."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

if sys.platform == "linux":
    from tests.hostile.neighbour.commands import Outcome, play
    from tests.hostile.neighbour.scene import Scene, build
    from tests.hostile.neighbour.shapes import Shapes

    @pytest.fixture(scope="session")
    def scene() -> Iterator[Scene]:
        """Yield the scene, in a folder that any user may enter."""
        path = Path(tempfile.mkdtemp(prefix="offseed-neighbour-"))
        path.chmod(0o711)
        yield build(path / "scene")
        shutil.rmtree(path)

    @pytest.fixture(scope="session")
    def shapes(scene: Scene) -> Shapes:
        return Shapes(scene)

    @pytest.fixture(scope="session")
    def _each_day(scene: Scene) -> dict[date, Outcome]:
        return {}

    @pytest.fixture
    def usual(scene: Scene, _each_day: dict[date, Outcome]) -> Outcome:
        """Return the undisturbed results of all commands on this day.

        Each day has results of its own, because the first point of a day has another term.
        """
        if (today := datetime.now(UTC).astimezone().date()) not in _each_day:
            scene.set_back()
            _each_day[today] = play(scene)
        return _each_day[today]
else:
    collect_ignore_glob = ["test_*"]
