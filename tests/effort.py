"""The effort of the tests: eight minutes, or all of it under `python -m tests --nightly`.

The fast part is the same in every run: its draws begin from fixed seeds, so that a failure is never luck.
The nightly part draws anew each time and prints its seed.
"""

import os
import random

VARIABLE = "OFFSEED_NIGHTLY"
NIGHTLY = os.environ.get(VARIABLE) == "1"
MORE = 10


def examples(count: int) -> int:
    """Return how many examples hypothesis tries if the fast part tries `count`."""
    return count * MORE if NIGHTLY else count


def seeded() -> random.Random:
    """Return a source of draws: from the same seed in each run of the fast part, from a new one at night."""
    seed = random.SystemRandom().randrange(1 << 32) if NIGHTLY else 0
    print("random seed", seed)
    return random.Random(seed)
