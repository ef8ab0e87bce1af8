"""Retention, applied without keys: complete points get a term, and points expire after it (RET-1 to RET-5).

The term is the time until which a point is kept. The documents about a point are signed and stay. They are
the tombstone of a point that an old disk may bring again.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from formats import layout
from formats.documents.manifest import Manifest
from formats.documents.retention import EXPIRED_MAX, TERMS_MAX, Policy, Term, Terms
from formats.documents.vault import Membership
from formats.ids import HexDigest, MachineId, PointId
from formats.monitor import Monitor, Tally
from formats.rules.retention import USUAL, Claim, admit, expiring
from formats.store.contract import Guarded
from importer.vault.content_check import ContentCheck
from importer.vault.points import History, by_name, stocks
from importer.vault.vault import Vault


@dataclass(frozen=True)
class RetentionDecision:
    """The decisions about a machine's points.

    `policy` is the number of its policy, 0 if the usual one holds. `number` is that of the last document
    before.
    """

    member: Membership
    policy: int
    number: int
    admitted: tuple[tuple[Manifest, Term], ...]
    expired: tuple[Manifest, ...]


def decide(
    vault: Vault,
    known: Mapping[MachineId, Membership],
    wanted: Callable[[Membership], bool],
    now: int,
    monitor: Monitor,
) -> list[RetentionDecision]:
    """Return the decisions that are due now about the points of the `wanted` machines. Raises StoreError."""
    there = stocks(vault, Tally())
    found = []
    for member in filter(wanted, by_name(known)):
        history = History(vault, member, known, Tally())
        whole, partial = dict[str, Manifest](), list[Manifest]()
        claims, contents = [], ContentCheck(history, there[member.key_id], monitor)
        # A point that was whole once does not become partial by a later revision: a machine's word shortens nothing.
        once = {m.point for m, _ in history.all if m.point_kind != "partial"} | history.kept.terms.keys()
        for point in history.points(there[member.key_id]):
            manifest = point.manifest
            if manifest.point_kind == "partial" and manifest.point not in once:
                partial.append(manifest)
            elif point.standing.complete and (
                manifest.point in history.kept.terms or contents.are_whole(history.needed(point.signed) or ())
            ):
                whole[manifest.point] = manifest
                if manifest.point not in history.kept.terms:
                    created = _created(vault, manifest, point.signed.digest)
                    claim = Claim(manifest.point, manifest.sequence, created, bool(manifest.doubted))
                    claims.append(claim)
        policy, known_policy = policy_of(vault, member, monitor)
        rules, zone = (policy.rules, policy.zone) if policy else (USUAL, 0)
        terms = admit(rules, zone, history.kept.terms.values(), claims, now) if known_policy else []
        history.kept.terms |= {term.point: term for term in terms}
        doubted = {manifest.point for manifest in whole.values() if manifest.doubted}
        ended = set(expiring(history.kept, _numbered(whole.values()), _numbered(partial), now, doubted))
        if not history.kept.whole:  # a term that is lost may have been a longer one
            ended.clear()
        decided = RetentionDecision(
            member,
            policy.number if policy else 0,
            history.kept.number,
            tuple((whole[term.point], term) for term in terms),
            tuple(m for m in (*whole.values(), *partial) if m.point in ended),
        )
        found.append(decided)
    return found


def policy_of(vault: Vault, member: Membership, monitor: Monitor) -> tuple[Policy | None, bool]:
    """Return the policy that a machine asks for, and whether it is known.

    It is unknown if the last one is lost. The policy is None if the usual one holds: the machine set none, or
    its key may be in other hands.
    """
    if member.status != "active":
        return None, True
    look = vault.view.look(
        layout.policy_prefix(member.machine), Policy, bytes.fromhex(member.public_key), monitor
    )
    found = look.holding
    return found if found is not None and found.machine == member.machine else None, look.hidden is None


def publish(vault: Vault, decided: Iterable[RetentionDecision]) -> None:
    """Sign the decisions, in documents of bounded size."""
    for item in decided:
        machine = item.member.machine
        prefix = layout.terms_prefix(machine)
        number = item.number
        terms = [term for _, term in item.admitted]
        expired = [manifest.point for manifest in item.expired]
        document = Terms(
            number=1,
            vault=vault.id,
            machine=machine,
            role="authority",
            created=vault.now(),
            policy=item.policy,
            admitted=(),
            expired=(),
        )
        while terms or expired:
            number += 1
            part = replace(
                document,
                number=number,
                admitted=tuple(terms[:TERMS_MAX]),
                expired=tuple(expired[:EXPIRED_MAX]),
            )
            vault.sign(prefix, number, part)
            terms, expired = terms[TERMS_MAX:], expired[EXPIRED_MAX:]


def _created(vault: Vault, manifest: Manifest, found: HexDigest) -> int:
    """Return the time at which a point was made.

    A vault that checks its writers tells the time at which it took the manifest.
    """
    if isinstance(vault.store, Guarded):
        name = layout.numbered(layout.manifest_prefix(manifest.machine), manifest.sequence, found)
        if (told := vault.store.written(name)) is not None:
            return int(told.timestamp())
    return manifest.created


def _numbered(found: Iterable[Manifest]) -> list[tuple[PointId, int]]:
    return [(manifest.point, manifest.sequence) for manifest in found]
