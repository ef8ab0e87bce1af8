"""The registry of golden vectors: one small deterministic function makes each file in `data/`.

`python -m tests.vectors` writes them all. A vector that changes means a format that changed: old disks and vaults
would no longer be read, so look twice before committing one.
"""

import importlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from formats.untrusted import Json

# One module here for each room of the house that has vectors.
ROOMS = ["keyed", "tables", "documents", "catalog"]
DATA = Path(__file__).parent / "data"

Generator = Callable[[], bytes]
_registered: dict[str, Generator] = {}


def vector(name: str) -> Callable[[Generator], Generator]:
    """Register the decorated function as the generator of `data/<name>`."""

    def register(generator: Generator) -> Generator:
        if name in _registered:
            raise ValueError(f"two generators for the vector {name}")
        _registered[name] = generator
        return generator

    return register


def all_vectors() -> Mapping[str, Generator]:
    for room in ROOMS:
        importlib.import_module(f"tests.vectors.{room}")
    return _registered


def readable(value: Json) -> bytes:
    """Return JSON that people read and tools compare."""
    return json.dumps(value, indent=2, sort_keys=True).encode() + b"\n"


def main() -> None:
    DATA.mkdir(exist_ok=True)
    for name, generator in all_vectors().items():
        (DATA / name).write_bytes(generator())
