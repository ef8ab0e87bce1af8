"""One machine and one vault: both sides' real code in one process, under a clock that the test moves."""

import copy
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from formats.documents.job import JobDisk
from formats.documents.retention import RetentionRules
from formats.ids import HexDigest, MachineId, SetId
from formats.monitor import Monitor, Tally
from formats.rules.retention import DAY, USUAL
from formats.store.access import Address
from formats.store.contract import Store
from importer.upkeep.prune import PruneResult, prune
from importer.vault.points import VaultPoint, points
from importer.vault.vault import Vault, open_vault
from importer.vault.want_lists import mend
from seed.backup.backup import BackupOptions, BackupResult, backup, prepare
from seed.home.home import Home, LeftOut
from seed.identity.join_request import put_request
from seed.identity.retention_policy import set_policy
from seed.points.layered_store import LayeredStore
from seed.points.machine_keys import own_machines
from seed.points.point_reader import PointReader
from seed.points.points import points as readable
from seed.points.selection import Selection
from seed.restore.restore import Restore
from seed.restore.tree.system import TreeWriter
from seed.source.source_rules import Patterns
from tests.journeys.stage import Stage
from tests.memory_store import MemoryStore

HOUR = 3600
MIB = 1 << 20
SHORT = RetentionRules.from_json(
    {**USUAL.to_json(), "every": 2, "daily": 4, "weekly": 0, "monthly": 0, "yearly": 0}, ""
)
LAST = RetentionRules.from_json({**SHORT.to_json(), "every": 1, "daily": 0}, "")


class Clock:
    """A clock that stands still until the test moves it."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show this time to all callers of `time.time`."""
        real, time.time = time.time, self
        try:
            yield
        finally:
            time.time = real


class World:
    """A registered machine with a `source`, and its vault in memory.

    `store` is the vault as both sides see it.
    """

    def __init__(self, stage: Stage, source: Path, clock: Clock) -> None:
        self.clock = clock
        self.source = source
        self.folder = stage.folder
        self.home = Home.open(stage.home)
        opened = open_vault(stage.importer_home, Address(stage.at), Tally())
        self.memory = MemoryStore("vault")
        for name, _ in opened.store.list(""):
            self.memory.put_new(name, opened.store.get(name))
        self.store: Store = self.memory
        self._vault = opened

    @property
    def vault(self) -> Vault:
        return Vault(self.store, self._vault.descriptor, self._vault.authority)

    def policy(self, rules: RetentionRules) -> None:
        set_policy(self.home, rules)
        put_request(self.store, self.home.identity)

    def backup(self, monitor: Monitor | None = None) -> BackupResult:
        monitor = monitor or Tally()
        scope = prepare(self.home, [str(self.source)], LeftOut(), monitor, once=False)
        return backup(self.home, scope, self.store, BackupOptions(level=1), monitor)

    def prune(self, monitor: Monitor | None = None, **options: bool) -> PruneResult:
        mend(self.vault, Tally())
        return prune(self.vault, lambda _: True, monitor or Tally(), **options)

    def sweep(self) -> PruneResult:
        """Prune, and prune again when the condemned objects are ripe."""
        self.prune()
        self.clock.sleep(DAY + HOUR)
        return self.prune()

    def points(self) -> list[VaultPoint]:
        return list(points(self.vault, Tally()))

    def complete(self) -> bool:
        return all(point.standing.complete for point in self.points())

    def restored(self, point: str, target: Path) -> Path:
        """Restore a point from the vault alone, and return the target."""
        found = Tally()
        union = LayeredStore([self.store])
        machines = own_machines(self.home.identity, [self.store], found)
        (chosen,) = [p for p in readable(union, machines, found) if p.manifest.point == point]
        reader = PointReader(union, chosen, found)
        everything = Selection(b"", None, Patterns(()))
        Restore(reader, lambda: TreeWriter(str(target), found, overwrite=False), everything, found).run()
        assert found.findings == []
        return target

    def objects(self, prefix: str) -> set[str]:
        return {name for name, _ in self.store.list(prefix)}

    def saved(self) -> dict[str, bytes]:
        return copy.copy(self.memory.objects)

    def roll_back(self, saved: dict[str, bytes]) -> None:
        """Set the vault back, and let the importer's home forget all that came later."""
        self.memory.objects = dict(saved)
        assert self._vault.authority is not None
        shutil.rmtree(self._vault.authority.home / "seen", ignore_errors=True)


def media(world: World, name: str, number: int) -> None:
    """Write a file that does not compress, another one for each number."""
    (world.source / name).write_bytes(random.Random(number).randbytes(4 * MIB))


def three_of_four_go(world: World) -> None:
    """Back up four large files, and then one of them.

    Once the first point expires, prune may copy the last file into an archive of its own.
    """
    world.policy(LAST)
    for number in range(4):
        media(world, f"large/{number}", number)
    world.backup()
    world.prune()
    for number in range(3):
        (world.source / f"large/{number}").unlink()
    world.clock.sleep(2 * DAY)
    world.backup()


def trial_disk(world: World) -> JobDisk:
    """Return a disk of the world's machine, as a job or receipt describes it."""
    return trial_disk_of(world.home.identity.machine)


def trial_disk_of(machine: MachineId) -> JobDisk:
    return JobDisk(
        machine=machine,
        set=SetId("3" * 32),
        number=1,
        generation=1,
        inventory=HexDigest("0" * 64),
    )
