"""The time for which this machine wants its recovery points kept: a signed policy.

The datacenter applies the policy without keys.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from formats.documents import envelope
from formats.documents.manifest import Manifest
from formats.documents.retention import LENGTH_MAX, MONTH_DAYS, WEEKDAYS, YEARS_MAX, Policy, RetentionRules
from formats.errors import UsageError
from formats.rules.retention import USUAL, Claim, RetentionTerms, admit
from seed.home.home import Home

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@dataclass(frozen=True)
class PlannedTerm:
    """The end of a point's time, and the rules that give it.

    The time is `admitted`, or the one that the point would get now. The `last` complete point of a machine is
    kept in any case. `until` is None if a point is not complete, or is doubted: then no time can be told.
    """

    manifest: Manifest
    until: int | None
    earned: tuple[str, ...]
    admitted: bool
    last: bool


def policy_of(home: Home) -> Policy | None:
    """Return the policy that was set last; None if the usual one holds."""
    signed = home.identity.policy
    return envelope.read(signed, "policy").peek(Policy) if signed is not None else None


def rules_of(home: Home) -> RetentionRules:
    policy = policy_of(home)
    return policy.rules if policy is not None else USUAL


def set_policy(home: Home, rules: RetentionRules) -> Policy:
    """Sign the next policy; the caller has locked the home. Raises HomeError, UsageError.

    The days of the policy begin as they do here and now.
    """
    if not any((rules.every, rules.daily, rules.weekly, rules.monthly, rules.yearly)):
        raise UsageError(
            "retention-unreadable", "by this policy no point but the last would be kept",
            hint="one rule at least must keep something, as --daily 180",
        )  # fmt: skip
    before, identity, now = policy_of(home), home.identity, int(home.clock.now())
    policy = Policy(
        number=before.number + 1 if before is not None else 1,
        vault=identity.vault,
        machine=identity.machine,
        created=now,
        zone=time.localtime(now).tm_gmtoff // 60,
        rules=rules,
    )
    home.save_policy(envelope.sign(policy, identity.signing_key))
    return policy


def parse_rules(
    before: RetentionRules,
    every: str | None,
    daily: str | None,
    weekly: str | None,
    monthly: str | None,
    yearly: str | None,
) -> RetentionRules:
    """Return `before` with the given changes: a number, and behind an @ the day or month.

    Examples are 104@sun, 60@first-sun or 60@15, 10@mar. Raises UsageError retention-unreadable.
    """
    rules = before
    if every is not None:
        rules = replace(rules, every=_number(every, LENGTH_MAX, "a number of days"))
    if daily is not None:
        rules = replace(rules, daily=_number(daily, LENGTH_MAX, "a number of days"))
    if weekly is not None:
        count, _, day = weekly.lower().partition("@")
        length = _number(count, LENGTH_MAX, "a number of weeks")
        rules = replace(rules, weekly=length, weekday=_one_of(day, WEEKDAYS, rules.weekday, weekly))
    if monthly is not None:
        count, _, day = monthly.lower().partition("@")
        if day and day not in MONTH_DAYS:
            raise _unreadable("this is no day of a month", monthly, "write 1 to 28, last, or as first-sun")
        length = _number(count, LENGTH_MAX, "a number of months")
        rules = replace(rules, monthly=length, month_day=day or rules.month_day)
    if yearly is not None:
        count, _, month = yearly.lower().partition("@")
        name = _one_of(month, MONTHS, MONTHS[rules.month - 1], yearly)
        length = _number(count, YEARS_MAX, "a number of years")
        rules = replace(rules, yearly=length, month=MONTHS.index(name) + 1)
    return rules


def calendar(
    home: Home, kept: RetentionTerms, found: Sequence[tuple[Manifest, bool]], now: int
) -> list[PlannedTerm]:
    """Return until when each point is kept, and why.

    `found` are the points by sequence, each with whether it is complete.
    """
    policy = policy_of(home)
    rules, zone = (policy.rules, policy.zone) if policy is not None else (USUAL, 0)
    whole = [m for m, complete in found if complete and m.point_kind != "partial"]
    claims = [
        Claim(m.point, m.sequence, m.created, bool(m.doubted)) for m in whole if m.point not in kept.terms
    ]
    terms = kept.terms | {t.point: t for t in admit(rules, zone, kept.terms.values(), claims, now)}
    last = max((m.sequence for m in whole if not m.doubted), default=0)
    planned = []
    for manifest, _ in found:
        term = terms.get(manifest.point)
        admitted, is_last = manifest.point in kept.terms, manifest.sequence == last
        until, earned = (term.until, term.earned) if term is not None else (None, ())
        planned.append(PlannedTerm(manifest, until, earned, admitted, is_last))
    return planned


def _number(text: str, most: int, what: str) -> int:
    if not re.fullmatch(r"\d{1,5}", text) or int(text) > most:
        raise _unreadable(f"this is not {what}", text, f"write a number of at most {most:,}; 0 for none")
    return int(text)


def _one_of(text: str, names: Sequence[str], otherwise: str, given: str) -> str:
    if text and text not in names:
        raise _unreadable("cannot read the text behind the @", given, f"write one of {', '.join(names)}")
    return text or otherwise


def _unreadable(what: str, text: str, hint: str) -> UsageError:
    return UsageError("retention-unreadable", what, subject=text, hint=hint)
