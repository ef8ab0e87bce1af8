"""The documents of retention: the machine's policy, the authority's terms, and the lists and sweeps of prune."""

from formats.documents.codec import (
    Document,
    Record,
    choice,
    flag,
    hexed,
    integer,
    many,
    member,
    nested,
    optional,
    text,
)
from formats.ids import HexDigest, MachineId, PointId, VaultId

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WHICH = ("first", "second", "third", "fourth", "last")
MONTH_DAYS = (*map(str, range(1, 29)), "last", *(f"{which}-{day}" for which in WHICH for day in WEEKDAYS))
RULES = ("every", "daily", "weekly", "monthly", "yearly")
LENGTH_MAX = 9999  # days, weeks or months
YEARS_MAX = 999
ZONE_MAX = 14 * 60
TERMS_MAX = 2000
EXPIRED_MAX = 8000
CONDEMNED_MAX = 4000


class RetentionRules(Record):
    """The times for which points are kept: each for `every` days; the first of a day for `daily` days.

    The first of a week, which begins on `weekday`, is kept for `weekly` weeks. The first of a month, from its
    `month_day` on, is kept for `monthly` months. The first of a year, from that day of its `month` on, is
    kept for `yearly` years. A rule that says 0 keeps none.
    """

    every: int = member(integer(0, LENGTH_MAX))
    daily: int = member(integer(0, LENGTH_MAX))
    weekly: int = member(integer(0, LENGTH_MAX))
    weekday: str = member(choice(*WEEKDAYS))
    monthly: int = member(integer(0, LENGTH_MAX))
    month_day: str = member(choice(*MONTH_DAYS))
    yearly: int = member(integer(0, YEARS_MAX))
    month: int = member(integer(1, 12))


class Policy(Document):
    """Revision `number` of how long a machine wants its points kept. Signed by the machine.

    Its days begin `zone` minutes before those of UTC. It holds for the points that are admitted from then on.
    """

    kind = "policy"
    number: int = member(integer(1))
    vault: VaultId = member(hexed(16))
    machine: MachineId = member(hexed(16))
    created: int = member(integer())
    zone: int = member(integer(-ZONE_MAX, ZONE_MAX))
    rules: RetentionRules = member(nested(RetentionRules))


class Term(Record):
    """The time `until` which a point is kept: by each rule in `earned` it is the first of a period.

    The time that counts for it is `counted`. A point that was `doubted` leaves the place of the first to
    others (RET-5).
    """

    point: PointId = member(hexed(16))
    sequence: int = member(integer(1, 10**9))
    counted: int = member(integer())
    until: int = member(integer())
    earned: tuple[str, ...] = member(many(choice(*RULES), len(RULES)))
    doubted: bool | None = member(optional(flag()), default=None)


class Terms(Document):
    """Number `number` of the authority's decisions about the points of a machine.

    It says which points were `admitted`, under which `policy` (0: none was there), and which `expired`. All
    terms of a machine add up; no later one takes back an earlier one.
    """

    kind = "terms"
    number: int = member(integer(1))
    vault: VaultId = member(hexed(16))
    machine: MachineId = member(hexed(16))
    role: str = member(choice("authority", "station"))
    created: int = member(integer())
    policy: int = member(integer())
    admitted: tuple[Term, ...] = member(many(nested(Term), TERMS_MAX))
    expired: tuple[PointId, ...] = member(many(hexed(16), EXPIRED_MAX))


class Condemned(Document):
    """The objects that will be deleted, unless by then somebody needs them."""

    kind = "condemned"
    number: int = member(integer(1))
    vault: VaultId = member(hexed(16))
    role: str = member(choice("authority", "station"))
    created: int = member(integer())
    names: tuple[str, ...] = member(many(text(200), CONDEMNED_MAX))


class Sweep(Document):
    """The statement that a sweep deletes the objects of these lists, or has ended; and the deleted amount."""

    kind = "sweep"
    number: int = member(integer(1))
    vault: VaultId = member(hexed(16))
    role: str = member(choice("authority", "station"))
    sweep: str = member(hexed(16))
    state: str = member(choice("begun", "ended"))
    created: int = member(integer())
    lists: tuple[HexDigest, ...] = member(many(hexed(32), CONDEMNED_MAX))
    objects: int = member(integer())
    bytes: int = member(integer())
