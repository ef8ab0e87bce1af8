"""The command `seed retention`: how long recovery points are kept."""

from typing import TYPE_CHECKING, Annotated

import typer

from formats.shell.command_groups import group
from formats.shell.console import Console, command
from formats.untrusted import Json
from formats.words import moment
from seed.cli.app import app, open_home, vault_of

if TYPE_CHECKING:
    from formats.store.contract import Store
    from seed.home.home import Home
    from seed.identity.retention_policy import PlannedTerm

WORDS = {
    "every": "as every point",
    "daily": "first of its day",
    "weekly": "first of its week",
    "monthly": "first of its month",
    "yearly": "first of its year",
}

retention_app = group(
    app,
    "retention",
    "Show and set how long points are kept.",
    "seed retention set --daily 180 --weekly 104@sun --monthly 60@first-sun --yearly 10@mar",
)


@command(retention_app, "set")
def retention_set(
    console: Console,
    every: Annotated[
        str | None, typer.Option("--every", metavar="DAYS", help="Keep every point for so many days.")
    ] = None,
    daily: Annotated[
        str | None, typer.Option("--daily", metavar="DAYS", help="Keep the first point of each day.")
    ] = None,
    weekly: Annotated[
        str | None,
        typer.Option(
            "--weekly", metavar="WEEKS[@DAY]", help="Keep the first of each week, from this weekday on."
        ),
    ] = None,
    monthly: Annotated[
        str | None,
        typer.Option(
            "--monthly",
            metavar="MONTHS[@DAY]",
            help="Keep the first of each month, from this day on, as 15, last or first-sun.",
        ),
    ] = None,
    yearly: Annotated[
        str | None,
        typer.Option(
            "--yearly",
            metavar="YEARS[@MONTH]",
            help="Keep the first of each year, from this month on, as mar.",
        ),
    ] = None,
) -> None:
    """Set how long recovery points are kept.

    A rule that is not given stays as it was; 0 switches a rule off. The datacenter applies the rules, by
    `importer prune`, to points that it admits from then on. Points that it admitted before are never kept
    shorter.

    Example: seed retention set --daily 180 --weekly 104@sun --monthly 60@first-sun --yearly 10@mar
    """
    from formats.errors import UsageError
    from seed.identity.join_request import put_request
    from seed.identity.retention_policy import parse_rules, rules_of, set_policy

    given = (every, daily, weekly, monthly, yearly)
    if all(value is None for value in given):
        raise UsageError("usage", "nothing to set was given", hint="as --daily 180; see --help")
    home = open_home()
    with home.locked():
        set_policy(home, parse_rules(rules_of(home), *given))
        _, store = vault_of(console, home, None)
        if store is None:
            console.notice(
                "the vault cannot be reached; it hears of the policy by the next backup, or the next disk"
            )
        else:
            try:
                put_request(store, home.identity)
            finally:
                store.close()
    _show_policy(home, console)
    console.result(_policy_json(home))


@command(retention_app, "show")
def retention_show(console: Console) -> None:
    """Show the retention policy and its effect.

    If the vault is reached, show until when each point is kept, and why.

    Example: seed retention show
    """
    home = open_home()
    _show_policy(home, console)
    _, store = vault_of(console, home, None)
    rows: list[Json] = []
    if store is None:
        console.notice("the vault cannot be reached; until when its points are kept is not shown")
    else:
        try:
            rows = [_show_planned(planned, console) for planned in _planned(home, store, console)]
        finally:
            store.close()
    console.result({**_policy_json(home), "points": rows})


def _planned(home: "Home", store: "Store", console: Console) -> "list[PlannedTerm]":
    from formats.monitor import Tally
    from formats.rules.retention import read_kept
    from seed.identity.retention_policy import calendar
    from seed.points.completeness import standings
    from seed.points.layered_store import LayeredStore
    from seed.points.machine_keys import own_machines
    from seed.points.points import points

    union = LayeredStore([store])
    machine = home.identity.machine
    found = points(union, own_machines(home.identity, [store], Tally()), console)
    own = [
        (p.manifest, s.complete) for p, s in standings(union, found, found) if p.manifest.machine == machine
    ]
    return calendar(home, read_kept(home.identity.view(store), machine, console), own, int(home.clock.now()))


def _show_policy(home: "Home", console: Console) -> None:
    from formats.rules.retention import shown
    from seed.identity.retention_policy import policy_of, rules_of

    policy = policy_of(home)
    console.say(
        f"Retention: {f'policy {policy.number}, set {moment(policy.created)}' if policy else 'the usual policy'}"
    )
    for line in shown(rules_of(home)):
        console.say(f"  {line}")
    console.say("  and the last complete point in any case")


def _policy_json(home: "Home") -> dict[str, Json]:
    from seed.identity.retention_policy import policy_of, rules_of

    policy = policy_of(home)
    return {"policy": policy.number if policy is not None else 0, "rules": rules_of(home).to_json()}


def _show_planned(planned: "PlannedTerm", console: Console) -> dict[str, Json]:
    manifest = planned.manifest
    if planned.until is None:
        told = (
            "kept until a complete one follows"
            if manifest.point_kind == "partial"
            else "kept while it is doubted"
            if manifest.doubted
            else "kept: not complete yet"
        )
    else:
        why = ", ".join(WORDS[rule] for rule in planned.earned) or "the first of nothing"
        told = f"{'kept' if planned.admitted else 'will be kept'} until {moment(planned.until)}: {why}"
    console.say(
        f"{manifest.point[:8]}  {moment(manifest.created)}  {told}{'; the last one' if planned.last else ''}"
    )
    return {
        "point": manifest.point,
        "created": manifest.created,
        "until": planned.until,
        "earned": [*planned.earned],
        "admitted": planned.admitted,
        "doubted": bool(manifest.doubted),
        "last": planned.last,
    }
