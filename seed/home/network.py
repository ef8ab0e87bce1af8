"""The way of a machine to its vault: access to the storage account, a proxy, a throttle.

The home keeps it, with mode 0600.
"""

import os
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from formats.documents.codec import Record, flag, member, nested, optional, text
from formats.errors import HomeError, UsageError
from formats.records import read_record, write_record
from formats.store.access import Access, check_secret, signature_of
from formats.store.clock import Clock, moment_of
from seed.home.throttle import Pace, Throttle

FILE = "network.json"
WARN = timedelta(days=14)  # before an access ends
FOLLOW = 2.0  # seconds after which a change of the throttle is noticed


class Network(Record):
    """The network settings of a machine.

    The operator gave `secret` for good (`standing`), or it came with the credential and ends with it.
    """

    secret: str = member(text(4000), default="")
    standing: bool = member(flag(), default=False)
    proxy: str = member(text(1000), default="")
    throttle: Throttle | None = member(optional(nested(Throttle)), default=None)

    def __repr__(self) -> str:
        return "Network(…)"

    @classmethod
    def of(cls, home: Path) -> "Network":
        """Return the settings of a home. Raises HomeError home-damaged."""
        return read_record(home / FILE, cls) if os.path.exists(home / FILE) else cls()

    def save(self, home: Path) -> None:
        write_record(home / FILE, self)

    def access(self, home: Path, environment: Access, clock: Clock) -> Access:
        """Return the access to the vault; a secret of the `environment` goes before the kept one."""
        return replace(
            environment,
            secret=environment.secret or self.secret,
            proxy=self.proxy,
            limiter=Pace(_Followed(home, self.throttle, clock), clock) if self.throttle is not None else None,
        )

    def ends(self) -> datetime | None:
        """Return the time at which the kept access ends, if it tells."""
        signature = signature_of(self.secret) if self.secret else None
        return signature.ends if signature is not None else None

    def warning(self, clock: Clock) -> str:
        """Return a warning about an access that ends soon or has ended, else an empty text."""
        ends = self.ends()
        if ends is None:
            return ""
        left = ends - moment_of(clock)
        if left < timedelta(0):
            said = f"the access to the vault ended on {ends:%Y-%m-%d %H:%M} UTC"
        elif left < WARN:
            said = f"the access to the vault ends on {ends:%Y-%m-%d %H:%M} UTC"
        else:
            return ""
        return f"{said}: ask the operator for a new one, and set it by `seed access set FILE`"


class _Followed:
    """The throttle as it is kept now: a change also applies to commands that run already."""

    def __init__(self, home: Path, throttle: Throttle, clock: Clock) -> None:
        self._home = home
        self._clock = clock
        self._throttle: Throttle | None = throttle
        self._due = clock.elapsed() + FOLLOW

    def __call__(self) -> Throttle | None:
        if self._clock.elapsed() >= self._due:
            self._due = self._clock.elapsed() + FOLLOW
            with suppress(HomeError):
                self._throttle = Network.of(self._home).throttle
        return self._throttle


def read_secret(path: Path) -> str:
    """Return the access in a file. Raises UsageError access-unreadable."""
    try:
        data = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise UsageError(
            "access-unreadable", f"cannot read the access file ({getattr(error, 'strerror', None) or 'not text'})",
            subject=str(path), hint="name a text file that this user can read; the access is its only line",
        ) from error  # fmt: skip
    return check_secret(data, str(path))
