"""Exports that an operator gives up unfinished, or takes back. The vault is told of both (SWEEP-5)."""

from dataclasses import replace

from formats import layout
from formats.documents import envelope
from formats.documents.disk import TAKEN_BACK_DAYS, Abandonment, SetDocument
from formats.errors import OffseedError, UsageError
from formats.ids import SetId, hex_digest
from formats.monitor import Monitor, Tally
from formats.rules.acceptance import folder_identity
from formats.store.contract import Store
from seed.home.disk_sets import KeptSet, current_set, kept_sets
from seed.home.home import Home
from seed.points.machine_keys import membership


def abandon(home: Home, kept: KeptSet) -> None:
    """Give up a set that is not finished. `tell_word` tells the vault. The caller has locked the home."""
    kept.change(status="abandoned", unsaid=kept.state.written, given_up_at=int(home.clock.now()))


def take_back(home: Home, kept: KeptSet) -> None:
    """Continue a set that was given up. The caller has locked the home. Raises UsageError."""
    state = kept.state
    if state.status != "abandoned":
        raise UsageError(
            "usage", "this set was not given up", subject=f"set {state.set[:8]}", hint="`seed status` shows the sets"
        )  # fmt: skip
    if home.clock.now() - state.given_up_at > TAKEN_BACK_DAYS * 86_400:
        raise UsageError(
            "usage", "this set was given up more than 30 days ago, and the datacenter keeps nothing for it",
            subject=f"set {state.set[:8]}", hint="begin a new one by `seed export --again`",
        )  # fmt: skip
    current = current_set(home)
    if current is not None and current.state.status == "open" and current.state.written:
        raise UsageError(
            "items-differ", "another export was begun and is not finished", subject=f"set {current.state.set[:8]}",
            hint="finish it by the same `seed export`, or give it up by `seed set abandon`",
        )  # fmt: skip
    kept.change(status="open", unsaid=state.written)
    home.save_state(replace(home.state, set=state.set))


def unfinished(home: Home, wanted: str | None) -> KeptSet | None:
    """Return the set to give up: the current set, or the set with an id that begins with `wanted`.

    Return None if this home knows no such set. Raises UsageError if the set is finished, or was given up
    before.
    """
    matches = [k for k in kept_sets(home) if wanted is not None and k.state.set.startswith(wanted.lower())]
    if wanted is not None and len(matches) != 1:
        return None
    kept = matches[0] if matches else current_set(home)
    if kept is None or kept.state.status != "open":
        raise UsageError(
            "usage", "no export is unfinished" if wanted is None else "this export is not unfinished",
            hint="see `seed status` for the sets; a finished one stays good",
        )  # fmt: skip
    return kept


def find_lost(home: Home, wanted: str, vault: Store) -> SetId:
    """Return the unfinished set with an id that begins with `wanted`, if this home does not know it.

    The set belongs to this machine, or to a machine that this one replaced. Raises UsageError set-unknown,
    StoreError.
    """
    found = set()
    for machine in (home.identity.machine, *home.identity.replaced):
        for prefix in (f"disks/{machine}", f"custody/{machine}"):
            folders = {name.split("/")[2] for name, _ in vault.list(prefix)}
            found |= {identity[0] for identity in map(folder_identity, folders) if identity is not None}
        member = membership(home.identity, machine, vault, Tally())
        key = home.identity.public_key if member is None else bytes.fromhex(member.public_key)
        look = home.identity.view(vault).look(layout.set_prefix(machine), SetDocument, key, Tally())
        found -= {fact.document.set for fact in look.facts}
    matches = [disk_set for disk_set in found if wanted and disk_set.startswith(wanted.lower())]
    if len(matches) != 1:
        raise UsageError(
            "set-unknown",
            "several disk sets begin so"
            if matches
            else "neither this home nor the vault knows such a set that is not finished",
            subject=wanted,
            hint="see `importer status` at the datacenter for the sets; name one by the beginning of its id",
        )
    return matches[0]


def say(home: Home, disk_set: SetId, vault: Store, monitor: Monitor, *, given_up: bool) -> None:
    """Make the vault know whether a set was given up. Raises StoreError."""
    identity = home.identity
    prefix = layout.abandonment_prefix(identity.machine, disk_set)
    found = identity.view(vault).newest(prefix, Abandonment, identity.public_key, monitor)
    if given_up == (found is not None and found.given_up):
        return
    document = Abandonment(
        number=found.number + 1 if found is not None else 1,
        vault=identity.vault,
        machine=identity.machine,
        set=disk_set,
        created=int(home.clock.now()),
        given_up=given_up,
    )
    data = envelope.sign(document, identity.signing_key)
    vault.put_new(layout.numbered(prefix, document.number, hex_digest(data)), data)


def tell_word(home: Home, kept: KeptSet, vault: Store, monitor: Monitor) -> bool:
    """Tell the vault whether a set was given up. Return whether the vault knows it; a failure is a notice."""
    state = kept.state
    try:
        say(home, state.set, vault, monitor, given_up=state.status == "abandoned")
    except OffseedError as error:
        monitor.notice(
            f"the vault cannot be told that set {state.set[:8]} was given up, or is not: {error.what}"
        )
        return False
    kept.change(unsaid=False)
    return True
