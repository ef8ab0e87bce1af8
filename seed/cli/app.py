"""The root of the commands, and the parts of the environment that all commands use."""

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, TypeVar

import typer

from formats.errors import HomeError, PassphraseError, UsageError
from formats.homes import home_at, usual_home
from formats.shell.command_groups import Program, program
from formats.shell.console import Console, warn_if_open
from seed.cli.commands import STAGES

if TYPE_CHECKING:
    from formats.store.access import Access, Address
    from formats.store.contract import Store
    from seed.home.home import Home

START = """To back up this machine, with the credential file that the datacenter sent, and to restore:
  seed register --credential web1.credential --generate-passphrase web1.passphrase
  seed export /srv /etc --to /mnt/disk
  seed restore latest --from /mnt/disk --target /restored
`seed --help` lists all commands, and `seed COMMAND --help` says what each can do.
"""

T = TypeVar("T")
ATTEMPTS = 3
BYTE_ORDER_MARK = "\ufeff"  # some editors put it before a text; no passphrase and no pattern begins with it
MISTYPED = ("passphrase-wrong", "passphrase-mismatch", "passphrase-short", "passphrase-weak")

AT_THE_DATACENTER = "that is done at the datacenter: `importer {}`, and `importer --help` lists more"


class SeedVerbs(Program):
    """The commands of `seed`, and the ones that replace the verbs of restic, borg and similar programs."""

    package = "seed.cli"
    stages = STAGES

    instead: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("init", "setup", "join", "login", "enroll"), "register"),
        **dict.fromkeys(("create", "save", "push", "send", "write", "resume", "continue"), "export"),
        **dict.fromkeys(("snapshots", "snapshot", "history"), "points"),
        **dict.fromkeys(("list", "dir", "tree", "browse"), "ls"),
        **dict.fromkeys(("extract", "recover", "get", "pull"), "restore"),
        **dict.fromkeys(("check", "scrub", "validate", "test"), "verify"),
        **dict.fromkeys(("stats", "info"), "status"),
        **dict.fromkeys(("run", "incremental", "now"), "backup"),
        **dict.fromkeys(("fix", "heal"), "repair"),
        **dict.fromkeys(("passwd", "passphrase", "password"), "key change"),
        **dict.fromkeys(("log", "logs", "tail"), "jobs"),
        **dict.fromkeys(("alert", "mail", "webhook", "metrics"), "notify set"),
        **dict.fromkeys(
            ("mount", "umount", "cat", "dump"),
            "`seed ls POINT` lists what a recovery point holds, and `seed restore POINT:SUBPATH --target DIR` brings "
            "a part of it back",
        ),
        **dict.fromkeys(
            ("forget", "prune", "expire", "delete", "purge"),
            "nothing is deleted from here: `seed retention set` says how long points are kept, and the datacenter applies it "
            "to the vault by `importer prune`",
        ),
        **dict.fromkeys(
            ("unlock", "break-lock"),
            "nothing is ever locked for good: run the command again that was stopped or killed, and it goes on",
        ),
        **{name: AT_THE_DATACENTER.format(f"{name} DISK") for name in ("import", "inspect")},
        "vault": AT_THE_DATACENTER.format("vault create NAME --at STORE --region R"),
        "credentials": AT_THE_DATACENTER.format("credentials issue --out FILE"),
        "machines": AT_THE_DATACENTER.format("machines list"),
        "help": "`seed --help` lists the commands, and `seed COMMAND --help` says what each can do",
        "version": "the option is `seed --version`",
    }

    @property
    def app(self) -> typer.Typer:
        return app


app = program(
    SeedVerbs,
    "Back up this machine: the first time onto shipped disks, from then on over the network.",
    "seed export /srv /etc --to /mnt/disk",
    START,
)

GLOBS = "{} paths that match: *.log any name, /srv/tmp a whole path, a/*.o the end of a path; ** passes /."

VaultOption = Annotated[
    str | None,
    typer.Option("--vault", metavar="STORE", envvar="SEED_VAULT", help="The vault's store: a path or URL."),
]
PassphraseFileOption = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        readable=False,  # reading it gives a better message
        help="Read the passphrase from this file's first line; - reads standard input.",
    ),
]


def home_path() -> Path:
    """Return the folder for this side's state: SEED_HOME, else the platform's place.

    Raises HomeError home-foreign.
    """
    return home_at(os.environ.get("SEED_HOME"), "seed")


def open_home() -> "Home":
    """Return this machine's home.

    Raises HomeError. If sudo hides the home of its caller, the error names the command to use instead.
    """
    from seed.home.home import Home

    try:
        return Home.open(home_path())
    except HomeError as error:
        other = callers_home() if error.code == "home-missing" else None
        if other is None:
            raise
        raise HomeError(
            error.code,
            f"no machine is registered in this home; under sudo it is not the one of {os.environ['SUDO_USER']}, "
            "which is registered",
            subject=str(home_path()),
            hint=f"{as_caller()}; or register this machine as root too, by `sudo seed register`",
        ) from error


def home_if_any(console: Console, purpose: str) -> "Home | None":
    """Return the home, or None if there is none, for a command that can do without it.

    If only the caller of sudo has a home, give a notice.
    """
    from seed.home.home import Home

    if Home.exists(home_path()):
        return open_home()
    if other := callers_home():
        console.notice(
            f"there is no home at {home_path()}; to {purpose} with the one at {other}, {as_caller()}"
        )
    return None


def address_of(home: "Home", chosen: str | None = None) -> "Address":
    """Return the address of a home's vault, with the access to it.

    The chosen address counts first, then that of the environment, then that of the registration.
    """
    from formats.store.access import Address

    return Address(chosen or os.environ.get("SEED_VAULT") or home.identity.address, access_here())


def brings_access() -> bool:
    """Return whether the environment brings an access to a storage account."""
    from formats.store.access import access_in

    return bool(access_in(os.environ).secret)


def access_here() -> "Access":
    """Return the access to a vault: from the environment, and from the home if there is one."""
    from formats.store.access import access_in
    from formats.store.clock import SYSTEM
    from seed.home.network import Network

    home = home_path()
    return Network.of(home).access(home, access_in(os.environ), SYSTEM)


@contextmanager
def own_vault(console: Console, home: "Home", address: "Address") -> "Iterator[Store]":
    """Open the vault for a run that needs it; no other machine may have taken this machine's place in it."""
    from seed.backup.announce import reach
    from seed.home.network import Network
    from seed.identity.passphrases import bring
    from seed.points.machine_keys import check_active

    if address.is_service and (warning := Network.of(home.path).warning(home.clock)):
        console.notice(warning)
    store = reach(home, address, console)
    try:
        check_active(home.identity, store, console)
        bring(home, store)
        yield store
    finally:
        store.close()


def vault_of(console: Console, home: "Home", chosen: str | None) -> "tuple[Address, Store | None]":
    """Return the address of a home's vault, and its store, or None if the vault is not reached.

    A vault that is reached first hears of the sets that it awaits.
    """
    from seed.backup.announce import announce, reach_if_any

    address = address_of(home, chosen)
    announce(home, address, console)
    return address, reach_if_any(home, address, console)


def callers_home() -> Path | None:
    """Return the registered home of the user that called sudo, if it is not this home; else None."""
    caller = os.environ.get("SUDO_USER")
    if sys.platform == "win32" or not caller:
        return None
    import pwd

    try:
        other = Path(pwd.getpwnam(caller).pw_dir) / usual_home("seed").relative_to(Path.home())
    except (KeyError, ValueError):  # no such user, or the place is not below a home folder
        return None
    registered = os.access(other / "identity.json", os.R_OK)
    return other if registered and other != home_path() else None


def as_caller() -> str:
    """Return the advice to run this very command as the user that called sudo."""
    name = Path(sys.argv[0]).name
    program = [name] if shutil.which(name) == sys.argv[0] else started_by()
    return f"run as {os.environ['SUDO_USER']}, without sudo: {shlex.join([*program, *sys.argv[1:]])}"


def started_by() -> list[str]:
    """Return the words that start this program: its path, or those of `python -m seed`."""
    called = sys.argv[0]
    return [sys.executable, "-m", "seed"] if Path(called).name == "__main__.py" else [called]


def is_usual_home(home: Path) -> bool:
    """Return whether a home is this user's usual one, which needs no SEED_HOME."""
    return os.path.realpath(home) == os.path.realpath(usual_home("seed"))


def read_passphrase(console: Console, file: Path) -> str:
    """Return the first line of `file`, or of standard input for `-`. Raises UsageError passphrase-missing."""
    warn_if_open(console, file)
    try:
        with nullcontext(sys.stdin) if str(file) == "-" else open(file, encoding="utf-8") as lines:
            if passphrase := lines.readline().removeprefix(BYTE_ORDER_MARK).rstrip("\r\n"):
                return passphrase
        raise UsageError(
            "passphrase-missing", "cannot read a passphrase: the first line of the file is empty", subject=str(file),
            hint="write the passphrase on its first line",
        )  # fmt: skip
    except (OSError, UnicodeError) as error:
        raise UsageError(
            "passphrase-missing",
            f"cannot read the passphrase file ({getattr(error, 'strerror', 'not UTF-8')})",
            subject=str(file),
            hint="name a text file that this user can read; its first line is the passphrase",
        ) from error


def type_passphrase(prompt: str, otherwise: str) -> str:
    """Return a passphrase as typed at the terminal.

    Raises UsageError passphrase-missing if there is no terminal, with `otherwise` as the advice.
    """
    if not sys.stdin.isatty():
        raise UsageError(
            "passphrase-missing", "cannot ask for a passphrase: there is no terminal", hint=otherwise
        )
    answer: str = typer.prompt(prompt, hide_input=True, err=True)
    return answer


def with_passphrase(console: Console, file: Path | None, attempt: Callable[[str], T]) -> T:
    """Return the result of `attempt` with the passphrase in the file, else with the typed one.

    Raises UsageError passphrase-missing, and the errors of `attempt`.
    """
    if file is not None:
        return attempt(read_passphrase(console, file))
    otherwise = "give it by --passphrase-file FILE, or run this as the user who registered the machine"
    return insist(console, lambda: attempt(type_passphrase("Passphrase", otherwise)))


def insist(console: Console, attempt: Callable[[], T]) -> T:
    """Return the result of an `attempt` at typing a passphrase; after a mistake, say so and ask again."""
    for _ in range(ATTEMPTS - 1):
        try:
            return attempt()
        except (UsageError, PassphraseError) as error:
            if error.code not in MISTYPED:
                raise
            console.aside(f"{error.what}: {error.hint}")
    return attempt()
