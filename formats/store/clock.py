"""The clocks of a machine. All other code is given one, so that a test can set the time."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """The time of day, which may be set, and a time that only goes on."""

    def now(self) -> float:
        """Return the seconds since 1970, in UTC."""

    def elapsed(self) -> float:
        """Return the seconds since some moment in the past; they never go back."""

    def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""


class SystemClock:
    """The clocks of the system."""

    def now(self) -> float:
        return time.time()

    def elapsed(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


SYSTEM: Clock = SystemClock()


def moment_of(clock: Clock) -> datetime:
    """Return the time of day as a moment in UTC, with whole seconds."""
    return datetime.fromtimestamp(int(clock.now()), UTC)
