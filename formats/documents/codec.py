"""Documents as frozen dataclasses: each member declares once how it is read, bounded and written.

`extra` keeps the members that a reader does not know, so reading and writing again changes nothing (DOC-3).
The reader must know the members that `critical` lists (DOC-4).
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from itertools import pairwise
from threading import RLock
from typing import Any, ClassVar, Self, dataclass_transform

from formats.untrusted import INTEGER_LIMIT, Json, refuse

Reader = Callable[[Json, str], Any]
Writer = Callable[[Any], Json]


@dataclass(frozen=True)
class Codec:
    """The way to read (`read(json, where)`, raising FormatError DOC-2) and write one member."""

    read: Reader
    write: Writer


def _identity(value: Any) -> Json:
    return value  # type: ignore[no-any-return]


def member(codec: Codec, **options: Any) -> Any:
    """Return a dataclass field that `codec` reads and writes; with `default=` it may be absent."""
    return field(metadata={"codec": codec}, **options)


def text(most: int = 200, pattern: str | None = None) -> Codec:
    """Return the codec for a string of at most `most` characters without control characters.

    With `pattern`, the whole string must match it.
    """

    def read(value: Json, where: str) -> str:
        if not isinstance(value, str) or len(value) > most or not value.isprintable():
            refuse("DOC-2", f"not a printable text of at most {most} characters", where)
        if pattern is not None and not re.fullmatch(pattern, value):
            refuse("DOC-2", "the text has not the form it must have", where)
        return value

    return Codec(read, _identity)


def hexed(size: int) -> Codec:
    """Return the codec for `size` bytes as lower-case hex, kept as text."""

    def read(value: Json, where: str) -> str:
        if not isinstance(value, str) or not re.fullmatch(f"[0-9a-f]{{{2 * size}}}", value):
            refuse("DOC-2", f"not {2 * size} lower-case hex digits", where)
        return value

    return Codec(read, _identity)


def blob(most: int) -> Codec:
    """Return the codec for at most `most` bytes, in base64."""

    def read(value: Json, where: str) -> bytes:
        if not isinstance(value, str) or len(value) > most * 2 + 4:
            refuse("DOC-2", f"not base64 of at most {most} bytes", where)
        try:
            data = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            refuse("DOC-2", "not base64", where)
        if len(data) > most or base64.b64encode(data).decode() != value:
            refuse("DOC-2", f"not canonical base64 of at most {most} bytes", where)
        return data

    return Codec(read, lambda data: base64.b64encode(data).decode())


def integer(least: int = 0, most: int = INTEGER_LIMIT - 1) -> Codec:
    def read(value: Json, where: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            refuse("DOC-2", f"not an integer between {least} and {most}", where)
        return value

    return Codec(read, _identity)


def flag() -> Codec:
    def read(value: Json, where: str) -> bool:
        if not isinstance(value, bool):
            refuse("DOC-2", "neither true nor false", where)
        return value

    return Codec(read, _identity)


def choice(*allowed: str) -> Codec:
    def read(value: Json, where: str) -> str:
        if not isinstance(value, str) or value not in allowed:
            refuse("DOC-2", f"none of {', '.join(allowed)}", where)
        return value

    return Codec(read, _identity)


def many(inner: Codec, most: int, rising: str | None = None) -> Codec:
    """Return the codec for a list of at most `most` items, kept as a tuple.

    With `rising`, the items are in the order of this member, none twice.
    """

    def read(value: Json, where: str) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) > most:
            refuse("DOC-2", f"not a list of at most {most}", where)
        items = tuple(inner.read(item, f"{where}[{i}]") for i, item in enumerate(value))
        if rising is not None and any(getattr(a, rising) >= getattr(b, rising) for a, b in pairwise(items)):
            refuse("DOC-2", f"not in the order of `{rising}`", where)
        return items

    return Codec(read, lambda items: [inner.write(item) for item in items])


def optional(inner: Codec) -> Codec:
    """Return the codec for `inner` or null; a null member is left out when written."""

    def read(value: Json, where: str) -> Any:
        return None if value is None else inner.read(value, where)

    return Codec(read, lambda value: None if value is None else inner.write(value))


def nested(kind: "type[Record]") -> Codec:
    return Codec(kind.from_json, lambda record: record.to_json())


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(member, field))
class _CompiledLate(type):
    """The class of records.

    A record class becomes a dataclass with its first record or the first call for its members. To compile all
    forty took a fifth of every start, and a command uses only a few of them.
    """

    _lock: ClassVar = RLock()
    _compiled: ClassVar[set[type]] = set()

    def __call__(cls, *given: Any, **values: Any) -> Any:
        cls.compile()
        return super().__call__(*given, **values)

    def compile(cls) -> None:
        """Make the class and its bases dataclasses, unless they are dataclasses already."""
        if cls in _CompiledLate._compiled:
            return
        with _CompiledLate._lock:
            for kind in reversed(cls.__mro__):
                if isinstance(kind, _CompiledLate) and kind not in _CompiledLate._compiled:
                    _frozen(kind)
                    _CompiledLate._compiled.add(kind)


_frozen: Callable[[type], type] = dataclass(frozen=True, kw_only=True)


class Record(metaclass=_CompiledLate):
    """A JSON object with declared members, frozen, made by keyword. `extra` holds the unknown members."""

    extra: Mapping[str, Json] = field(default_factory=dict)

    @classmethod
    def members(cls) -> tuple[Field[Any], ...]:
        """Return the declared members, and `extra`."""
        cls.compile()
        return fields(cls)

    @classmethod
    def from_json(cls, value: Json, where: str) -> Self:
        """Read a record. Raises FormatError that names the member, as `where.member[2].inner`."""
        if not isinstance(value, dict):
            refuse("DOC-2", "not a JSON object", where)
        known: dict[str, Any] = {}
        names = set()
        for f in cls.members():
            if "codec" not in f.metadata:
                continue
            names.add(f.name)
            if f.name in value:
                known[f.name] = f.metadata["codec"].read(value[f.name], f"{where}.{f.name}")
            elif f.default is MISSING and f.default_factory is MISSING:
                refuse("DOC-2", "a member is missing", f"{where}.{f.name}")
        extra = {name: member for name, member in value.items() if name not in names}
        critical = extra.get("critical", [])
        if not isinstance(critical, list) or not all(isinstance(c, str) and c in names for c in critical):
            refuse("DOC-4", "the document needs a newer reader", f"{where}.critical")
        return cls(extra=extra, **known)

    def to_json(self) -> dict[str, Json]:
        written: dict[str, Json] = dict(self.extra)
        for f in self.members():
            if "codec" in f.metadata:
                value = f.metadata["codec"].write(getattr(self, f.name))
                if value is not None:
                    written[f.name] = value
        return written


class Document(Record):
    """A record that stands alone, signed, under its own payload type."""

    kind: ClassVar[str]
    signers: ClassVar[int] = 1

    @classmethod
    def payload_type(cls) -> str:
        return f"application/vnd.offseed.{cls.kind}.v1+json"
