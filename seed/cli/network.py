"""The commands `seed access`, `seed proxy` and `seed throttle`: the way to the vault, and its speed."""

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from formats.errors import UsageError
from formats.shell.command_groups import group
from formats.shell.console import Console, command, warn_if_open
from formats.store.clock import SYSTEM
from formats.untrusted import Json
from seed.cli.app import app, open_home, read_passphrase, type_passphrase

if TYPE_CHECKING:
    from seed.home.network import Network

access_app = group(
    app,
    "access",
    "Show and set the access to the vault.",
    "seed access set web1.access",
)
proxy_app = group(
    app,
    "proxy",
    "Show and set the proxy to the vault.",
    "seed proxy set http://proxy:3128 --user web1",
)
throttle_app = group(
    app,
    "throttle",
    "Show and set the share of the network.",
    "seed throttle set --work-hours 09:00-18:00 --work-days mon-fri --work-rate 512kbit --other-rate 100mbit",
)


def proxy_user(flag: str) -> Any:
    return typer.Option(flag, metavar="U", help="The user, if the proxy asks for one.")


def proxy_password(flag: str) -> Any:
    return typer.Option(
        flag,
        metavar="FILE",
        readable=False,
        help="Read the proxy's password from its first line; - is stdin.",
    )


@command(access_app, "set")
def access_set(
    console: Console,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", readable=False, help="As the operator gave it; its only line.")
    ],
) -> None:
    """Replace the access to the storage account.

    Example: seed access set web1.access
    """
    from seed.home.network import read_secret

    warn_if_open(console, file)
    secret = read_secret(file)
    network = _change(secret=secret, standing=True)
    console.say("The access is kept in the home; the file is not needed any more.")
    _show_access(console, network)


@command(access_app, "show")
def access_show(console: Console) -> None:
    """Show the source and the end of the access.

    The access itself is never shown.

    Example: seed access show
    """
    from seed.home.network import Network

    _show_access(console, Network.of(open_home().path))


def _show_access(console: Console, network: "Network") -> None:
    kind = "none" if not network.secret else "the operator's" if network.standing else "the credential's"
    ends = network.ends()
    console.say(f"Access: {kind}{f', until {ends:%Y-%m-%d %H:%M} UTC' if ends else ''}")
    if warning := network.warning(SYSTEM):
        console.notice(warning)
    console.result({"access": kind.removeprefix("the "), "ends": int(ends.timestamp()) if ends else None})


@command(proxy_app, "set")
def proxy_set(
    console: Console,
    url: Annotated[str, typer.Argument(metavar="URL", help="As http://host:port.")],
    user: Annotated[str | None, proxy_user("--user")] = None,
    password_file: Annotated[Path | None, proxy_password("--password-file")] = None,
) -> None:
    """Reach the vault through a proxy from now on.

    If the password is not in a file, the command asks for it.

    Example: seed proxy set http://proxy:3128 --user web1
    """
    network = _change(proxy=proxy_of(console, url, user, password_file))
    _show_proxy(console, network)


@command(proxy_app, "show")
def proxy_show(console: Console) -> None:
    """Show the proxy, without user and password.

    Example: seed proxy show
    """
    from seed.home.network import Network

    _show_proxy(console, Network.of(open_home().path))


@command(proxy_app, "off")
def proxy_off(console: Console) -> None:
    """Use no proxy of this home any more.

    The proxies of the environment (HTTPS_PROXY) count again.

    Example: seed proxy off
    """
    network = _change(proxy="")
    _show_proxy(console, network)


def proxy_of(console: Console, url: str, user: str | None, password_file: Path | None) -> str:
    """Return a proxy's URL with its user and password.

    Raises UsageError proxy-unreadable, passphrase-missing.
    """
    from formats.store.access import proxy_url

    password = None
    if password_file is not None:
        if user is None:
            raise UsageError("usage", "a password without a user was given", hint="add --user U")
        password = read_passphrase(console, password_file)
    elif user is not None:
        password = type_passphrase(f"Password of {user} at the proxy", "give it by --password-file FILE")
    return proxy_url(url, user, password)


def _show_proxy(console: Console, network: "Network") -> None:
    from formats.store.access import without_password

    where = without_password(network.proxy)
    signed_in = where != network.proxy
    console.say(f"Proxy: {where or 'none'}{', with user and password' if signed_in else ''}")
    console.result({"proxy": where or None, "signed_in": signed_in})


@command(throttle_app, "set")
def throttle_set(
    console: Console,
    hours: Annotated[
        str | None,
        typer.Option("--work-hours", metavar="HH:MM-HH:MM", help="Working time; at first 09:00-18:00."),
    ] = None,
    days: Annotated[
        str | None,
        typer.Option("--work-days", metavar="DAYS", help="As mon-fri or mon,wed,sat; at first mon-fri."),
    ] = None,
    work_rate: Annotated[
        str | None,
        typer.Option(
            "--work-rate", metavar="RATE", help="In working time: 512kbit to 1023mbit, or unlimited."
        ),
    ] = None,
    other_rate: Annotated[
        str | None, typer.Option("--other-rate", metavar="RATE", help="At all other times, in the same way.")
    ] = None,
) -> None:
    """Limit the network use of backups and restores.

    An option that is not given stays as it was. If a throttle was set before, a running job follows within
    seconds.

    Example: seed throttle set --work-hours 09:00-18:00 --work-days mon-fri --work-rate 512kbit --other-rate 100mbit
    """
    from seed.home.network import Network
    from seed.home.throttle import Throttle

    if all(given is None for given in (hours, days, work_rate, other_rate)):
        raise UsageError("usage", "nothing to set was given", hint="give --work-rate, --other-rate or both")
    before = Network.of(open_home().path).throttle or Throttle()
    throttle = Throttle.parse(hours, days, work_rate, other_rate, before)
    network = _change(throttle=throttle)
    _show_throttle(console, network)


@command(throttle_app, "show")
def throttle_show(console: Console) -> None:
    """Show the throttle, and which rate holds now.

    Example: seed throttle show
    """
    from seed.home.network import Network

    _show_throttle(console, Network.of(open_home().path))


@command(throttle_app, "off")
def throttle_off(console: Console) -> None:
    """Limit nothing any more.

    Example: seed throttle off
    """
    network = _change(throttle=None)
    _show_throttle(console, network)


def _show_throttle(console: Console, network: "Network") -> None:
    from seed.home.throttle import shown

    throttle = network.throttle
    if throttle is None:
        console.say("Throttle: off")
        console.result({"throttle": None})
        return
    now = throttle.rate(time.localtime(SYSTEM.now()))
    console.say(f"Throttle: {shown(throttle.work_rate)} on {throttle.weekdays()} {throttle.hours()}")
    console.say(f"          {shown(throttle.other_rate)} at all other times")
    console.say(f"          {shown(now)} now")
    days: list[Json] = [*throttle.weekdays().split(",")]
    console.result(
        {
            "throttle": {
                "work_hours": throttle.hours(),
                "work_days": days,
                "work_rate": throttle.work_rate,
                "other_rate": throttle.other_rate,
                "rate_now": now,
            }
        }
    )


def _change(**changes: object) -> "Network":
    from seed.home.network import Network

    home = open_home()  # not locked: a backup that runs for days must not keep the user from slowing it down
    network = replace(Network.of(home.path), **changes)  # type: ignore[arg-type]
    network.save(home.path)
    return network
