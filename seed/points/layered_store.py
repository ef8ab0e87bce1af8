"""Several stores read as one."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from formats import layout
from formats.documents import envelope
from formats.documents.damage import Replacement
from formats.errors import (
    IntegrityError,
    MediaError,
    NotFoundError,
    OffseedError,
    StoreError,
)
from formats.ids import digest, hex_digest, machine_id
from formats.keyed.root import PointRoot
from formats.monitor import Tally
from formats.rules.replacements import Stock, replacements
from formats.store.contract import Store
from seed.home.home import Home


class LayeredStore:
    """Several stores read as one; an object comes from the first store that gives it whole.

    Callers that write must pass `signers`, the trusted replacement keys, by the prefixes below which their
    replacements lie. Callers that only read follow the replacements of the keys that a point names inside its
    seal: any other signer could name archives without end.
    """

    def __init__(
        self,
        stores: Sequence[Store],
        signers: Mapping[str, bytes] | None = None,
        condemned: Collection[str] = (),
    ) -> None:
        self.stores = stores
        self.condemned = condemned
        self._signers = signers
        self._replacements: dict[tuple[str, bytes], dict[str, Replacement]] = {}

    def get(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """Return the bytes of an object from the first store that gives them.

        Raises NotFoundError if no store has it, else the error of the last store that failed.
        """
        failure: OffseedError = NotFoundError(name, ", ".join(s.address for s in self.stores))
        for store in self.stores:
            try:
                return store.get(name, start, length)
            except NotFoundError:
                continue
            except (StoreError, MediaError) as error:
                failure = error
        raise failure

    def get_document(self, name: str) -> bytes:
        """Return a document from the first store that has it whole. Its name ends in its digest.

        Raises IntegrityError, NotFoundError, StoreError, MediaError.
        """
        return self._whole(
            name, lambda data: layout.is_name_of(name, hex_digest(data)), length=envelope.SIZE_MAX + 1
        )

    def get_checked(self, name: str, expected: bytes) -> bytes:
        """Return the object of that digest, from the first store with all of it. Raises as `get_document`."""
        return self._whole(name, lambda data: digest(data) == expected)

    def _whole(self, name: str, is_whole: Callable[[bytes], bool], length: int | None = None) -> bytes:
        failure: OffseedError = NotFoundError(name, ", ".join(s.address for s in self.stores))
        for store in self.stores:
            try:
                data = store.get(name, length=length)
            except (StoreError, MediaError) as error:
                failure = failure if isinstance(error, NotFoundError) else error
                continue
            if is_whole(data):
                return data
            failure = IntegrityError(
                "object-damaged", "an object is damaged", subject=f"{store.address}/{name}",
                hint="read from another disk, or from the vault",
            )  # fmt: skip
        raise failure

    def replacements(self, root: PointRoot | None = None) -> list[Replacement]:
        """Return the replacements by the signers; without signers, those by the keys in the `root` of a point."""
        found: list[Replacement] = []
        for prefix, key in (self._signers if self._signers is not None else _named_in(root)).items():
            if (prefix, key) not in self._replacements or self._signers is not None:
                known = self._replacements.setdefault((prefix, key), {})
                for store in self.stores:
                    known.update(replacements(store, prefix, key, Tally(), known=known))
            found += self._replacements[prefix, key].values()
        return found

    def stock(self, key_id: str, root: PointRoot | None = None) -> Stock:
        """Return the archives at hand that are not condemned, and the replacements under that key.

        Without signers, the keys in the `root` of a point count.
        """
        there = {archive for store in self.stores for archive in store.list("archives")}
        found = Stock({(name, size) for name, size in there if name not in self.condemned})
        for document in self.replacements(root):
            if document.key_id == key_id:
                found.add(document.replaced, copied=document.copied)
        return found

    def list(self, prefix: str) -> Iterator[str]:
        seen: set[str] = set()
        for store in self.stores:
            for name, _ in store.list(prefix):
                if name not in seen:
                    seen.add(name)
                    yield name


def _named_in(root: PointRoot | None) -> dict[str, bytes]:
    """Return the keys that may sign replacements for the archives of a point, by the prefixes of these."""
    if root is None:
        return {}
    public_key = bytes.fromhex(root.public_key)
    return {
        layout.REPLACEMENTS: bytes.fromhex(root.authority),
        layout.offers_prefix(machine_id(public_key)): public_key,
    }


def believed(home: Home) -> dict[str, bytes]:
    """Return the keys of the replacements that this machine builds upon, by the prefixes of these.

    They are the authority's key and its own. A replacement by anybody else might name an archive that only
    claims to hold records. These would then not be sent.
    """
    identity = home.identity
    return {
        layout.REPLACEMENTS: identity.authority_key,
        layout.offers_prefix(identity.machine): identity.public_key,
    }
