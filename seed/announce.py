"""The announcement: what lets a vault list, find and compare a point while its disks travel, put there by the agent.

The order is that of every commit: metadata archives, index objects and need lists, the manifest, the set document.
A vault that does not answer is asked once; whichever command reaches it next announces.
"""

import threading
from collections.abc import Callable
from dataclasses import replace

from formats import layout
from formats.documents import envelope
from formats.documents.manifest import Manifest
from formats.documents.revisions import newest
from formats.documents.vault import Descriptor
from formats.errors import MediaError, OffseedError, StoreError
from formats.ids import Digest, digest
from formats.monitor import Monitor
from formats.store.address import open_store
from formats.store.contract import Store
from formats.store.local import LocalStore
from formats.tables import needs
from seed.home import Home, KeptSet
from seed.register import put_request

PATIENCE = 10.0  # seconds a vault is waited for


def announce(
    home: Home, address: str, monitor: Monitor, *, open_: Callable[[str], Store] = open_store
) -> bool:
    """Announce this home's finished set to the vault at `address`, unless that was done. Whether it is announced.

    A vault that cannot be reached, is another one, or refuses, is a notice.
    """
    kept = _pending(home)
    if kept is None:
        return True
    later = "the set is announced by the next command that reaches the vault"
    store = _reach(address, open_)
    if store is None:
        monitor.notice(f"offline: the vault at {address} cannot be reached from here; {later}")
        return False
    try:
        if not _is_ours(home, store, monitor):
            monitor.notice(f"offline: there is no vault {home.identity.vault_name} at {address}; {later}")
            return False
        put_request(store, home.identity)
        _put_all(kept, store)
    except (StoreError, MediaError) as error:
        monitor.notice(
            f"offline: the vault at {address} does not take the announcement ({error.what}); {later}"
        )
        return False
    finally:
        store.close()
    kept.state = replace(kept.state, announced=True)
    kept.save()
    return True


def _pending(home: Home) -> KeptSet | None:
    if home.state.set is None:
        return None
    kept = KeptSet.read(home.set_folder(home.state.set))
    return kept if kept.state.status == "finished" and not kept.state.announced else None


def _reach(address: str, open_: Callable[[str], Store]) -> Store | None:
    """The store at an address, if it answers in time: a file server that is away can take minutes to say so."""
    found: list[Store] = []

    def knock() -> None:
        try:
            store = open_(address)
            store.head("descriptor/x")
            found.append(store)
        except OffseedError:
            pass

    knocking = threading.Thread(target=knock, name="reach", daemon=True)
    knocking.start()
    knocking.join(PATIENCE)
    return found[0] if found else None


def _is_ours(home: Home, store: Store, monitor: Monitor) -> bool:
    found = newest(store, "descriptor", Descriptor, bytes.fromhex(home.identity.authority), monitor)
    return found is not None and found[0].vault == home.identity.vault


def _put_all(kept: KeptSet, store: Store) -> None:
    with LocalStore.open(str(kept.cache), read_only=True) as cache:
        (name,) = [name for name, _ in cache.list("manifests")]
        manifest = envelope.read(cache.get(name), name).peek(Manifest)

        def need(wanted: Digest) -> bytes:
            data = cache.get(layout.need_name(wanted))
            if digest(data) != wanted:
                raise StoreError("object-damaged", "the home's copy of a need list is damaged")
            return data

        root = Digest(bytes.fromhex(manifest.needs))
        needed = {layout.archive_name(n.archive.name) for n in needs.load(root, need, "needs")}
        names = [n for n, _ in cache.list("archives") if n in needed]
        for prefix in ("indexes", "needs", "manifests", "sets"):
            names += [n for n, _ in cache.list(prefix)]
        for name in names:
            store.put_new(name, cache.get(name))
