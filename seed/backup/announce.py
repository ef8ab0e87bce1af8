"""The announcement of a set: with it a vault can list, find and compare a point while the disks travel.

The agent writes the announcement in the order of every commit: metadata archives, index objects and need
lists, then the manifest, then the set document. A command asks a silent vault only once. The next command
that reaches the vault announces.
"""

import threading
from collections.abc import Callable, Iterator

from formats import layout
from formats.documents import envelope
from formats.documents.manifest import Manifest
from formats.documents.vault import Descriptor
from formats.errors import IntegrityError, MediaError, OffseedError, StoreError, VaultError
from formats.ids import Digest, hex_digest
from formats.monitor import Monitor
from formats.store.access import Address
from formats.store.address import open_store
from formats.store.contract import Store
from formats.store.local import LocalStore
from formats.tables import needs
from formats.tables.archive import METADATA_CLASS
from formats.view.copies import put_document
from seed.disks.abandonment import tell_word
from seed.disks.custody import tell
from seed.home.disk_sets import KeptSet, kept_sets
from seed.home.home import Home
from seed.identity.join_request import put_request
from seed.points.machine_keys import check_active

PATIENCE = 10.0  # seconds that a command waits for a vault
LATER = "it is told of its sets by the next command that reaches it"


def announce(
    home: Home,
    address: Address,
    monitor: Monitor,
    *,
    open_: Callable[[Address], Store] = open_store,
    again: bool = False,
) -> bool:
    """Announce this home's finished sets to the vault at `address`. Return whether all sets are announced.

    With `again`, also announce the sets with an announcement that the vault has lost. If the vault cannot be
    reached, is another vault or refuses, that is a notice.
    """
    if not _waiting(home, again) and not _untold(home) and not _unsaid(home):
        return True
    store = _reach(address, open_)
    if isinstance(store, OffseedError):
        why = "" if store.code == "store-missing" else f" ({store.what})"
        monitor.notice(f"offline: the vault at {address} cannot be reached from here{why}; {LATER}")
        return False
    try:
        return announce_to(home, store, monitor, again=again)
    finally:
        store.close()


def announce_to(home: Home, store: Store, monitor: Monitor, *, again: bool = False) -> bool:
    """Announce this home's finished sets to an open vault, as `announce` does."""
    waiting, untold, unsaid = _waiting(home, again), _untold(home), _unsaid(home)
    if not waiting and not untold and not unsaid:
        return True
    try:
        if not is_ours(home, store, monitor):
            monitor.notice(
                f"offline: there is no vault {home.identity.vault_name} at {store.address}; {LATER}"
            )
            return False
        check_active(home.identity, store, monitor)
        put_request(store, home.identity)
        there = {name for name, _ in store.list(layout.set_prefix(home.identity.machine))} if again else set()
        announced = [_announce(kept, store, monitor) for kept in waiting if not _is_announced(kept, there)]
        told = [tell(home, kept, store, monitor) for kept in untold]
        said = [tell_word(home, kept, store, monitor) for kept in unsaid]
        return all((*announced, *told, *said))
    except VaultError as error:
        monitor.notice(f"the set is not announced to the vault: {error.what}")
        return False
    except (StoreError, MediaError) as error:
        monitor.notice(
            f"offline: the vault at {store.address} does not take the announcement ({error.what}); {LATER}"
        )
        return False


def _waiting(home: Home, again: bool) -> list[KeptSet]:
    return [k for k in kept_sets(home) if k.state.status == "finished" and (again or not k.state.announced)]


def _untold(home: Home) -> list[KeptSet]:
    """Return the sets with sent disks that the vault does not know.

    Skip a set that an export may be writing.
    """
    ended = [kept for kept in kept_sets(home) if kept.state.status != "open"]
    return [kept for kept in ended if not all(sent.told for sent in kept.state.sent)]


def _unsaid(home: Home) -> list[KeptSet]:
    """Return the sets that were given up or taken back, if the vault does not know it.

    Skip a set that an export may be writing.
    """
    return [kept for kept in kept_sets(home) if kept.state.unsaid and kept.state.status != "open"]


def _announce(kept: KeptSet, store: Store, monitor: Monitor) -> bool:
    try:
        objects = dict(_objects(kept))
    except (OffseedError, ValueError) as error:
        monitor.notice(
            f"set {kept.state.set[:8]} cannot be announced, for the home's copy of its catalog is damaged ({error}); "
            "its disks bring it to the vault"
        )
        return False
    for name, data in objects.items():
        put_document(store, name, data)
    kept.change(announced=True)
    return True


def _is_announced(kept: KeptSet, there: set[str]) -> bool:
    """Return whether the vault lists the set's document."""
    found = hex_digest((kept.folder / "set").read_bytes())
    return kept.state.announced and any(layout.is_name_of(name, found) for name in there)


def reach(home: Home, address: Address, monitor: Monitor) -> Store:
    """Return this machine's vault, for a run that needs it. Raises StoreError, VaultError vault-foreign."""
    store = _reach(address, open_store)
    if isinstance(store, OffseedError):
        raise store
    if not is_ours(home, store, monitor):
        raise VaultError(
            "vault-foreign", f"there is no vault {home.identity.vault_name} at this address", subject=str(address),
            hint="give its address by --vault",
        )  # fmt: skip
    return store


def reach_if_any(home: Home, address: Address, monitor: Monitor) -> Store | None:
    """Return this machine's vault if it answers and is the right one.

    If a storage service refuses access, the reason is a notice.
    """
    store = _reach(address, open_store)
    if isinstance(store, OffseedError):
        if store.code not in ("store-missing", "store-unreachable"):
            monitor.notice(f"the vault at {address} cannot be used: {store.what}; {store.hint}")
        return None
    return store if is_ours(home, store, monitor) else None


def _reach(address: Address, open_: Callable[[Address], Store]) -> Store | OffseedError:
    """Return the store at an address if it answers in time.

    A missing file server can take minutes to report an error.
    """
    found: list[Store | OffseedError] = []

    def knock() -> None:
        try:
            store = open_(address)
            store.head("label")
            found.append(store)
        except OffseedError as error:
            found.append(error if address.is_service else _away(address))  # a path may be mounted later

    knocking = threading.Thread(target=knock, name="reach", daemon=True)
    knocking.start()
    knocking.join(PATIENCE)
    return found[0] if found else _away(address)


def _away(address: Address) -> StoreError:
    return StoreError(
        "store-missing", "the vault cannot be reached from here", subject=str(address),
        hint="is it mounted, and the network there? Another address is given by --vault",
    )  # fmt: skip


def is_ours(home: Home, store: Store, monitor: Monitor) -> bool:
    identity = home.identity
    return identity.view(store).newest("descriptor", Descriptor, identity.authority_key, monitor) is not None


def _objects(kept: KeptSet) -> Iterator[tuple[str, bytes]]:
    """Yield the objects that the vault gets, in their order, each checked against its name.

    Raises OffseedError, ValueError.
    """
    with LocalStore.open(str(kept.cache), read_only=True) as cache:

        def whole(name: str) -> bytes:
            data = cache.get(name)
            if not layout.is_name_of(name, hex_digest(data)):
                raise IntegrityError("object-damaged", "an object is damaged", subject=name)
            return data

        (name,) = [name for name, _ in cache.list("manifests")]
        manifest = envelope.read(whole(name), name).peek(Manifest)
        root = Digest(bytes.fromhex(manifest.needs))
        for need in needs.load(root, lambda d: whole(layout.need_name(d)), "needs"):
            catalog = layout.archive_name(need.archive.name)
            if need.archive.archive_class == METADATA_CLASS and not (
                kept.state.resends and cache.head(catalog) is None  # an archive of an earlier point
            ):
                yield catalog, whole(catalog)
        for prefix in ("indexes", "needs", "manifests", "sets"):
            for other, _ in cache.list(prefix):
                yield other, whole(other)
