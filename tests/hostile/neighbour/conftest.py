"""The scene, built once by each worker, and what every command says in it undisturbed."""

import sys
from pathlib import Path

import pytest

if sys.platform == "linux":
    from tests.hostile.neighbour.commands import Outcome, play
    from tests.hostile.neighbour.scene import Scene, build
    from tests.hostile.neighbour.shapes import Shapes

    @pytest.fixture(scope="session")
    def scene(ground: Path) -> Scene:
        return build(ground / "neighbour")

    @pytest.fixture(scope="session")
    def shapes(scene: Scene) -> Shapes:
        return Shapes(scene)

    @pytest.fixture(scope="session")
    def usual(scene: Scene) -> Outcome:
        scene.set_back()
        return play(scene)
else:
    collect_ignore_glob = ["test_*"]
