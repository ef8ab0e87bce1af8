"""Mutable facts as numbered, signed revisions: the highest that verifies holds (REV-1), the rest is reported."""

from collections.abc import Iterator
from typing import TypeVar

from formats import layout
from formats.documents import envelope
from formats.documents.codec import Document
from formats.errors import FormatError, IntegrityError, NotFoundError
from formats.monitor import Finding, Monitor, damage_told
from formats.store.contract import Store

D = TypeVar("D", bound=Document)


def signed_at(store: Store, name: str) -> envelope.Signed | None:
    """A document that was listed; None where it is gone by now: whoever prunes may be at work.

    Raises FormatError, IntegrityError, StoreError, MediaError.
    """
    try:
        data = store.get(name, length=envelope.SIZE_MAX + 1)
    except NotFoundError:
        return None
    return envelope.read(data, name)


def verified(
    store: Store, prefix: str, kind: type[D], key: bytes, monitor: Monitor
) -> Iterator[tuple[str, D, envelope.Signed]]:
    """All documents below `prefix` that are signed by `key`, by name; what does not verify is passed over as a finding. Raises
    StoreError."""
    for name, _ in store.list(prefix):
        with damage_told(monitor, name):
            if (signed := signed_at(store, name)) is not None:
                yield name, signed.verify(kind, key), signed


def newest(
    store: Store, prefix: str, kind: type[D], key: bytes | None, monitor: Monitor
) -> tuple[D, envelope.Signed] | None:
    """The highest revision below `prefix` signed by `key`; None where there is none.

    Where `key` is None the document itself names it, as `authority` (for the first look at a vault).
    What does not verify is passed over as a finding.
    """
    names = sorted((name for name, _ in store.list(prefix)), key=layout.number_of, reverse=True)
    for name in names:
        try:
            if (signed := signed_at(store, name)) is None:
                continue
            signer = key if key is not None else bytes.fromhex(getattr(signed.peek(kind), "authority"))  # noqa: B009
            document = signed.verify(kind, signer)
        except (FormatError, IntegrityError) as error:
            monitor.finding(Finding(code=error.code, subject=name, detail=error.what))
            continue
        if layout.number_of(name) == getattr(document, "number", layout.number_of(name)):
            return document, signed
        monitor.finding(Finding(code="REV-1", subject=name, detail="the name's number is not the document's"))
    return None
