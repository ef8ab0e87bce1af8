"""The request of a machine to join a vault, and how it is put there. Nothing here reads a credential."""

from formats.errors import MediaError, NameHeldByOtherError, StoreError
from formats.monitor import Monitor
from formats.store.contract import Store
from formats.view.copies import put_document
from seed.home.home import Identity


def ask_to_join(store: Store, identity: Identity, monitor: Monitor) -> bool:
    """Put the request into the vault. Return False, after a notice, if the vault does not take it."""
    try:
        put_request(store, identity)
    except (StoreError, MediaError) as error:
        monitor.notice(f"the vault does not take the request ({error}); the registration travels on the disk")
        return False
    return True


def put_request(store: Store, identity: Identity) -> list[str]:
    """Put the key slots, the policy and the request into the vault, if they are not there.

    Returns the names under which the vault holds other bytes.
    """
    damaged = []
    for name, data in identity.documents.items():
        if store.head(name) != len(data):
            try:
                put_document(store, name, data)
            except NameHeldByOtherError:
                damaged.append(name)
    return damaged
