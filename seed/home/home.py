"""The state that an agent keeps on its machine: its identity, its keys, its paths. Mode 0700, files 0600."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from formats import layout
from formats.documents import envelope
from formats.documents.codec import Record, blob, flag, hexed, integer, many, member, nested, optional, text
from formats.documents.retention import Policy
from formats.documents.vault import MACHINE_NAME, VAULT_NAME, Slots
from formats.errors import HomeError
from formats.ids import HexDigest, MachineId, PointId, SetId, VaultId, machine_id
from formats.keyed.chunking import USUAL, ChunkingParameters
from formats.keyed.keys import MasterKey
from formats.records import read_record, unwritable, write_record
from formats.store.clock import SYSTEM, Clock
from formats.words import moment
from seed.home.network import Network

if TYPE_CHECKING:
    from formats.rules.completeness import Came
    from formats.store.contract import Store
    from formats.view.view import View

R = TypeVar("R", bound=Record)

ITEMS_MAX = 1000
EXCLUDES_MAX = 10_000
ITEM = blob(64 << 10)
REPLACED_MAX = 1000
LOST = (
    "bring this file back from a copy; or register again into another home (SEED_HOME): all that was backed up stays "
    "readable with the passphrase"
)
LOCK_PATIENCE = 5.0  # seconds: a command that only announces or verifies a little ends soon


class Identity(Record):
    """The identity of a machine, as registration writes it.

    `slots` is the newest revision of the key slots, and `policy` the retention policy: both can change later.
    `replaced` are the machines that this one replaced, the last one first.
    """

    name: str = member(text(63, MACHINE_NAME))
    vault: VaultId = member(hexed(16))
    vault_name: str = member(text(50, VAULT_NAME))
    address: str = member(text(1000))
    authority: str = member(hexed(32))
    private_key: bytes = member(blob(32))
    master_key: bytes = member(blob(32))
    request: bytes = member(blob(32 << 10))
    slots: bytes = member(blob(64 << 10))
    replaced: tuple[MachineId, ...] = member(many(hexed(16), REPLACED_MAX), default=())
    policy: bytes | None = member(optional(blob(32 << 10)), default=None)

    def __repr__(self) -> str:
        return f"Identity({self.name})"

    @property
    def signing_key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.private_key)

    @property
    def public_key(self) -> bytes:
        return self.signing_key.public_key().public_bytes_raw()

    @property
    def authority_key(self) -> bytes:
        return bytes.fromhex(self.authority)

    def view(self, store: "Store") -> "View":
        """Return this machine's view of its vault's store. The authority's key came with the credential."""
        from formats.view.view import View

        return View(store, self.authority_key, self.vault, own=(self.machine, *self.replaced))

    def came_to(self, vault: "Store") -> "Came":
        """Return a function that tells whether a disk has come to `vault`, this machine's vault."""
        from formats.rules.completeness import Arrivals

        return Arrivals([vault], self.authority_key, self.vault).came

    @property
    def machine(self) -> MachineId:
        return machine_id(self.public_key)

    @property
    def documents(self) -> dict[str, bytes]:
        """The documents about this machine for a disk or a vault, by name.

        The order is retention policy, key slots, request. The slots come before the request, so the
        passphrase can open the data of every machine that an operator accepts.
        """
        slots = envelope.read(self.slots, "slots")
        number = slots.peek(Slots).number
        request = envelope.read(self.request, "request")
        policies = {}
        if self.policy is not None:
            policy = envelope.read(self.policy, "policy")
            prefix = layout.policy_prefix(self.machine)
            policies[layout.numbered(prefix, policy.peek(Policy).number, policy.digest)] = self.policy
        return {
            **policies,
            layout.numbered(layout.slot_prefix(self.machine), number, slots.digest): self.slots,
            layout.numbered("requests", 1, request.digest): self.request,
        }

    @property
    def master(self) -> MasterKey:
        return MasterKey(self.master_key)


class LeftOut(Record):
    """The parts of the items that a backup leaves out.

    These are paths that match `excludes` (globs), files on another file system than their item, and cache
    folders.
    """

    excludes: tuple[bytes, ...] = member(many(ITEM, EXCLUDES_MAX), default=())
    one_file_system: bool = member(flag(), default=False)
    exclude_caches: bool = member(flag(), default=False)

    def __or__(self, other: "LeftOut") -> "LeftOut":
        """Return everything that one or the other leaves out."""
        return LeftOut(
            excludes=tuple(dict.fromkeys((*self.excludes, *other.excludes))),
            one_file_system=self.one_file_system or other.one_file_system,
            exclude_caches=self.exclude_caches or other.exclude_caches,
        )


class HomeState(Record):
    """The values that change from run to run: the machine's sequence and the paths that it backs up.

    `manifest` is the last one that was signed. `acknowledged` is the last one that the vault has taken from a
    backup. `usual` is the last point of these items. `chunking` was chosen for the first point.
    """

    sequence: int = member(integer(), default=0)
    manifest: HexDigest | None = member(optional(hexed(32)), default=None)
    items: tuple[bytes, ...] = member(many(ITEM, ITEMS_MAX), default=())
    left_out: LeftOut = member(nested(LeftOut), default=LeftOut())
    set: SetId | None = member(optional(hexed(16)), default=None)
    usual: PointId | None = member(optional(hexed(16)), default=None)
    acknowledged: HexDigest | None = member(optional(hexed(32)), default=None)
    chunking: ChunkingParameters | None = member(optional(nested(ChunkingParameters)), default=None)


class Home:
    """The home of a registered machine. Open it with `Home.open`, make one with `NewHome.create`.

    `clock` is the clock of its machine.
    """

    def __init__(self, path: Path, identity: Identity, state: HomeState, clock: Clock = SYSTEM) -> None:
        self.path = path
        self.identity = identity
        self.state = state
        self.clock = clock

    @classmethod
    def exists(cls, path: Path) -> bool:
        try:
            return (path / "identity.json").exists()
        except OSError:
            return True  # the folder belongs to another user: reading it will raise the error

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read a home. Raises HomeError home-missing, home-damaged."""
        if not cls.exists(path):
            raise HomeError(
                "home-missing",
                "this machine is not registered",
                subject=str(path),
                hint="run `seed register --credential FILE` first; another home is chosen by SEED_HOME",
            )
        return cls(
            path,
            read_record(path / "identity.json", Identity, LOST),
            read_record(path / "state.json", HomeState, LOST),
        )

    @property
    def chunking(self) -> ChunkingParameters:
        """The sizes in which this machine cuts its content."""
        return self.state.chunking or USUAL

    def save_slots(self, slots: bytes) -> None:
        """Save a new revision of the slots. Raises HomeError."""
        self.identity = replace(self.identity, slots=slots)
        write_record(self.path / "identity.json", self.identity)

    def save_policy(self, policy: bytes) -> None:
        """Save a new retention policy. Raises HomeError."""
        self.identity = replace(self.identity, policy=policy)
        write_record(self.path / "identity.json", self.identity)

    def save_state(self, state: HomeState) -> None:
        write_record(self.path / "state.json", state)
        self.state = state

    def spend(self, sequence: int, manifest: HexDigest) -> None:
        """Mark a sequence number as used, for ever: the next manifest follows this one."""
        if sequence > self.state.sequence:
            self.save_state(replace(self.state, sequence=sequence, manifest=manifest))

    def set_folder(self, disk_set: SetId) -> Path:
        return self.path / "sets" / disk_set

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the home against other commands, and read again the facts that a command before has changed.

        A short command is waited for. Raises HomeError home-busy, home-damaged.
        """
        from filelock import FileLock, Timeout  # slow to load, and a command that only reads needs no lock

        try:
            lock = FileLock(self.path / "lock", timeout=LOCK_PATIENCE, mode=0o600)
            lock.acquire()
        except Timeout:
            raise self._busy() from None
        except OSError as error:
            raise unwritable(self.path / "lock", error) from error
        try:
            self.identity = read_record(self.path / "identity.json", Identity, LOST)
            self.state = read_record(self.path / "state.json", HomeState, LOST)
            yield
        finally:
            lock.release()

    def _busy(self) -> HomeError:
        from seed.home.background_job import last_detached  # it loads locks

        last, runs = last_detached(self.path)
        return HomeError(
            "home-busy",
            "another command works on this home",
            subject=str(self.path),
            hint="wait until it has ended, or stop it, and run the same command again"
            if last is None or not runs
            else f"a backup runs in the background since {moment(last.began)}: wait until `seed status` tells that it has "
            f"ended, or stop it by `kill {last.pid}`, and run the same command again; its log: {last.log}",
        )


class NewHome:
    """The place of a home that does not exist yet, and the clock of its machine."""

    def __init__(self, path: Path, clock: Clock = SYSTEM) -> None:
        self.path = path
        self.clock = clock

    def check_free(self) -> None:
        """Raise HomeError home-registered if a home is here already."""
        if Home.exists(self.path):
            raise HomeError(
                "home-registered",
                "this machine is registered already",
                subject=str(self.path),
                hint="to join another vault, choose another home by SEED_HOME",
            )

    def create(self, identity: Identity, state: HomeState, network: Network | None = None) -> Home:
        """Write the home. Raises HomeError home-registered."""
        self.check_free()
        write_record(self.path / "state.json", state)
        if network is not None:
            network.save(self.path)
        write_record(self.path / "identity.json", identity)
        return Home(self.path, identity, state, self.clock)
