"""The records and objects of this machine that the vault lacks, as the vault's authority says."""

from pathlib import Path

from formats import layout
from formats.documents import envelope
from formats.documents.damage import Wants
from formats.errors import MediaError, OffseedError, StoreError, UsageError, VaultError, is_damage
from formats.ids import Digest
from formats.monitor import Monitor
from formats.store.contract import Store
from formats.tables import needs
from formats.tables.needs import Need
from seed.home.home import Home
from seed.points.layered_store import LayeredStore, believed


def newest_wants(home: Home, vault: Store, monitor: Monitor) -> Wants | None:
    """Return the newest want list of the authority for this machine.

    Return None if the vault lacked nothing.
    """
    prefix = layout.wants_prefix(home.identity.master.key_id.hex())
    return home.identity.view(vault).newest(prefix, Wants, home.identity.authority_key, monitor)


def read_wants(home: Home, path: Path) -> Wants:
    """Return a want list that came as a file.

    Raises UsageError path-not-found, FormatError, IntegrityError, VaultError.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(
            "path-not-found", f"the want list cannot be read ({error.strerror})", subject=str(path),
            hint="name the file that the datacenter sent",
        ) from error  # fmt: skip
    identity = home.identity
    wants = envelope.read(data, str(path)).verify(Wants, identity.authority_key)
    if (wants.vault, wants.key_id) != (identity.vault, identity.master.key_id.hex()):
        raise VaultError(
            "vault-foreign", "this want list is for another machine or vault", subject=str(path),
            hint="it names a key that is not this machine's",
        )  # fmt: skip
    return wants


def wanted_records(wants: Wants | None, union: LayeredStore) -> list[Need]:
    """Return the archives of a want list. The wanted records are live in each.

    Raises VaultError wants-damaged, StoreError, MediaError.
    """
    if wants is None or wants.needs is None:
        return []
    root = Digest(bytes.fromhex(wants.needs))
    try:
        return needs.load(root, lambda d: union.get_checked(layout.need_name(d), d), "want list")
    except OffseedError as error:
        if not is_damage(error):
            raise
        raise VaultError(
            "wants-damaged", f"cannot read the vault's list of lost data ({error.what})", subject=error.subject,
            hint="the datacenter's next `importer points` or `validate` puts it again; then run this again",
        ) from error  # fmt: skip


def still_wanted(home: Home, vault: Store, monitor: Monitor) -> int:
    """Return the number of records and small objects that the vault wants and has not got."""
    wants = newest_wants(home, vault, monitor)
    if wants is None or (wants.needs is None and not wants.objects):
        return 0
    union = LayeredStore([vault], believed(home))
    there = union.stock(wants.key_id)
    try:
        short = [rest for need in wanted_records(wants, union) if (rest := there.lacking(need)) is not None]
    except (VaultError, StoreError, MediaError):
        return wants.records  # by the list's own number
    return sum(need.live_count() for need in short) + sum(vault.head(name) is None for name in wants.objects)
