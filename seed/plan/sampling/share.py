"""Estimated shares of a whole, with their standard errors."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """A part of 1, and its standard error."""

    of: float
    error: float = 0.0


def mean(values: Sequence[float]) -> Share:
    """Return the mean of shares with its standard error; a share of 1 if there are no values."""
    if not values:
        return Share(1.0)
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return Share(statistics.fmean(values), error)


@dataclass(frozen=True)
class Stratum:
    """Files of a kind.

    `bytes` counts all their bytes, and `duplicate` is the share of these that is there already. `stored` is
    the size of the others once they are sealed, as a share of them. `seconds` is the time of one processor to
    read and seal all.
    """

    bytes: int
    duplicate: Share
    stored: Share
    seconds: float

    @property
    def unique(self) -> float:
        return self.bytes * (1 - self.duplicate.of)


def together(strata: Sequence[Stratum]) -> Stratum:
    """Return several strata as one, each by its weight (Cochran, Sampling Techniques, 1977, section 5.3)."""
    total, unique = sum(s.bytes for s in strata), sum(s.unique for s in strata)
    if not unique:
        return Stratum(0, Share(0.0), Share(1.0), 0.0)
    return Stratum(
        total,
        Share(1 - unique / total, math.hypot(*(s.bytes * s.duplicate.error for s in strata)) / total),
        Share(
            sum(s.unique * s.stored.of for s in strata) / unique,
            math.hypot(*(s.unique * s.stored.error for s in strata)) / unique,
        ),
        sum(s.seconds for s in strata),
    )
