"""The redundancy of a vault, which the first machine fixes."""

from contextlib import suppress
from dataclasses import replace

from formats.errors import VaultError
from formats.monitor import Monitor, damage_told
from importer.vault.machines import REQUEST_MAX, read_request
from importer.vault.vault import Vault, checked_redundancy, members


def set_redundancy(vault: Vault, redundancy: str, monitor: Monitor) -> Vault:
    """Change the redundancy. Raises VaultError redundancy-locked, redundancy-differs.

    It is locked once a machine is registered or asks to be.
    """
    if redundancy == vault.descriptor.redundancy:
        return vault
    if is_registered_with(vault, monitor):
        raise VaultError(
            "redundancy-locked",
            "redundancy cannot change once a machine is registered",
            subject=vault.name,
            hint="create another vault",
        )
    checked_redundancy(vault.store, redundancy)
    descriptor = replace(vault.descriptor, number=vault.descriptor.number + 1, redundancy=redundancy)
    vault.sign("descriptor", descriptor.number, descriptor)
    return Vault(vault.store, descriptor, vault.authority, vault.clock)


def is_registered_with(vault: Vault, monitor: Monitor) -> bool:
    """Return whether any machine is registered, or has asked to be.

    The user of such a machine was told "Registered", and relies on the redundancy.
    """
    if members(vault, monitor):
        return True
    for name in [name for name, size in vault.store.list("requests") if size <= REQUEST_MAX]:
        with damage_told(monitor, name), suppress(VaultError):
            read_request(vault, vault.store.get(name), name)
            return True
    return False
