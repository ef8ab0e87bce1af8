"""The shared parts of the stories of `seed verify`: the command, inventories, and ways to damage objects."""

import base64
import json
import os
from pathlib import Path
from typing import Any

from tests.journeys.stage import Stage, flip

MIB = 1 << 20


def verify(stage: Stage, *arguments: object, code: int | None = 0) -> Any:
    return stage.run("seed", "verify", stage.disk, *arguments, "--json", code=code).json


def inventories(stage: Stage) -> list[Any]:
    """Return the content of the inventories on the disk, by generation."""
    signed = [json.loads(p.read_bytes()) for p in sorted((stage.seeded / "inventories").iterdir())]
    return [json.loads(base64.b64decode(s["payload"])) for s in signed]


def codes(done: Any) -> set[str]:
    return {f["code"] for f in done["findings"]}


def remove(path: Path) -> None:
    path.unlink()


def halve(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip_middle(path: Path) -> None:
    flip(path, path.stat().st_size // 2)
