"""The choice of a recovery point by the text that a user types."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from formats.documents.manifest import Manifest
from formats.errors import UsageError

T = TypeVar("T")


def choose(found: Sequence[T], manifest: Callable[[T], Manifest], wanted: str, program: str) -> T:
    """Return the point that `wanted` names: `latest`, or the beginning of a point's id.

    Raises UsageError point-unknown.
    """
    if wanted == "latest":
        whole = [p for p in found if manifest(p).point_kind != "partial"]
        if len({manifest(p).key_id for p in whole}) > 1:  # a machine and its replacement share a key id
            names = ", ".join(sorted({manifest(p).machine_name for p in whole}))
            raise UsageError(
                "point-unknown", "points of several machines are here", subject=names,
                hint="name one by --machine",
            )  # fmt: skip
        matches = whole[-1:]
    else:
        matches = [p for p in found if manifest(p).point.startswith(wanted.lower())] if wanted else []
    if len(matches) != 1:
        raise UsageError(
            "point-unknown",
            "several recovery points begin so" if matches else "there is no such recovery point",
            subject=wanted,
            hint=f"see `{program} points`; a point is named by the beginning of its id, or `latest`",
        )
    return matches[0]
