"""Commands that record their calls to directory stores: a story counts calls and measures no time."""

import json
from pathlib import Path
from typing import NamedTuple

from tests.commands import Program
from tests.journeys.stage import Stage, prepared

PRELUDE = """
import json, os
from formats.store.local import LocalStore as S
log = os.open({path!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
put, get = S.put_new, S.get
def record(*call):
    os.write(log, (json.dumps([os.getpid(), *call]) + '\\n').encode())
def put_new(self, name, data):
    record('put', self.address, name, len(data))
    return put(self, name, data)
def get_some(self, name, start=0, length=None):
    done = get(self, name, start, length)
    record('get' if length is None else 'part', self.address, name, len(done), start)
    return done
S.put_new, S.get = put_new, get_some
"""


class Call(NamedTuple):
    """One call of a store: `kind` is `put`, `get`, or `part` for a part of an object."""

    process: int
    kind: str
    address: str
    name: str
    bytes: int
    start: int = 0


class Recorder:
    """A recorder of a stage's commands, which lists their calls to the stage's vault."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._log = stage.folder / "calls"
        stage.command = recording(self._log)

    def vault(self, kind: str, prefix: str = "") -> list[Call]:
        """Return the calls of one kind since the last `clear`, in order."""
        calls = [Call(*json.loads(line)) for line in self._log.read_text().splitlines()]
        return [
            c
            for c in calls
            if (c.kind, c.address) == (kind, str(self._stage.vault)) and c.name.startswith(prefix)
        ]

    def clear(self) -> None:
        self._log.write_bytes(b"")


def recording(log: Path) -> Program:
    """Return the commands, which append their calls to directory stores to `log`."""
    return prepared(PRELUDE.format(path=str(log)))
