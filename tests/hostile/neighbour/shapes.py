"""All objects that anybody can put into a vault, derived from the table of names.

Each row of the table has each shape, under each id. The neighbour may create objects, and may neither replace
nor delete any. It has read all that the vault ever had. It knows another vault of the same operator, and it
has the keys of the captured machine.
"""

import os
import pkgutil
import random
import re
import secrets
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

from formats import documents, layout
from formats.documents import envelope
from formats.documents.codec import Document
from formats.documents.damage import ArchiveRow, Replaced, Replacement
from formats.documents.manifest import Manifest
from formats.documents.retention import RetentionRules
from formats.documents.vault import SLOTS_NONE
from formats.errors import FormatError
from formats.ids import HexDigest, digest, hex_digest
from formats.layout import PREFIXES, Prefix
from formats.tables import needs
from formats.tables.sections import Section, encode_objects

if sys.platform == "linux":
    from tests.hostile.forging import impostor
    from tests.hostile.neighbour.scene import CAPTURED, HEALTHY, Scene

assert sys.platform == "linux"

# Rows with objects that are no documents: other documents describe them.
PLAIN = frozenset({"archives/", "indexes/", "needs/", "holdings/", "parity/"})
# Rows of a disk: a vault has no objects there.
OF_DISKS = frozenset({"label", "inventories/"})
GROUPS = ("strangers", "obstacles", "damage", "lies")
BEYOND = 9_999_999_999
NOBODY = "0123456789abcdef" * 2
JUNK = 3000
HUGE = 1_500_000


@dataclass(frozen=True)
class Plant:
    """One thing to put into the vault: its name, its shape, and the machine that it pretends to belong to."""

    name: str
    shape: str
    group: str
    put: Callable[[Path], object]
    concerns: str | None = None

    def plant(self, vault: Path) -> bool:
        """Put the thing into the vault, and return whether its place was free and below folders."""
        place = vault / self.name
        if os.path.lexists(place):
            return False
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            return False
        if any(
            folder.is_symlink()
            for folder in place.relative_to(vault).parents
            if (vault / folder).is_symlink()
        ):
            return False
        self.put(place)
        return True


@dataclass(frozen=True)
class Row:
    """One shape of a name below a prefix, as `manifests/<machine>/<sequence>-<digest>`."""

    prefix: Prefix
    below: str

    def __str__(self) -> str:
        return f"{self.prefix.path}{self.below}"

    @property
    def is_plain(self) -> bool:
        """Whether neither a document nor the copy of one lies here."""
        return self.prefix.path in PLAIN | OF_DISKS


def rows() -> list[Row]:
    return [Row(prefix, below) for prefix in PREFIXES for below in prefix.below.split(" or ")]


class Shapes:
    """The things that can be planted into one scene.

    They are the same each time, except for signatures and random ids.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.chance = random.Random(0)
        self.machines = {name: scene.identities[name].machine for name in scene.identities}
        self.key_ids = {name: i.master.key_id.hex() for name, i in scene.identities.items()}
        self.templates: dict[str, list[Document]] = {}
        for module in pkgutil.iter_modules(documents.__path__):
            import_module(f"{documents.__name__}.{module.name}")
        kinds = {kind.payload_type(): kind for kind in _documents(Document)}
        for name, data in scene.history.items():
            prefix = name.split("/")[0]
            if f"{prefix}/" not in PLAIN and prefix != layout.COPIES:
                signed = envelope.read(data, name)
                self.templates.setdefault(prefix, []).append(signed.peek(kinds[signed.envelope.payloadType]))

    def all(self, row: Row) -> Iterator[Plant]:
        """Yield everything that this row's names allow."""
        yield from self._strangers(row)
        yield from self._obstacles(row)
        if row.prefix.path not in OF_DISKS:
            yield from self._damage(row)
            yield from self._lies(row)

    def _owners(self, below: str) -> Iterator[tuple[str | None, dict[str, str]]]:
        """Yield an owner with the ids of its names: a healthy machine, the captured one, nobody."""
        if not re.search("<(machine|set|job|key id)>", below):
            yield None, {}
            return
        for who in (HEALTHY[0], CAPTURED, None):
            machine = self.machines[who] if who else NOBODY
            disk_set = self._set(machine) if who else NOBODY
            ids = {
                "machine": machine,
                "set": disk_set,
                "job": NOBODY,
                "key id": self.key_ids[who] if who else NOBODY,
            }
            yield who, ids

    def _set(self, machine: str) -> str:
        """Return a set of the machine that is in the post."""
        names = [n for n in self.scene.history if n.startswith(f"custody/{machine}/")]
        return names[0].split("/")[2].partition("-")[0] if names else NOBODY

    def _name(self, row: Row, ids: dict[str, str], number: int, digest: str) -> str:
        name = row.below.replace("<dd>/<digest>", f"{digest[:2]}/{digest}").replace("<digest>", digest)
        for part, made in ids.items():
            name = name.replace(f"<{part}>", made)
        name = name.replace("<disk>", "1")
        name = re.sub("<(number|sequence|generation|step)>", f"{number:010d}", name)
        return layout.check_name(row.prefix.path + name)

    def _fitting(self, row: Row, ids: dict[str, str], number: int, data: bytes) -> str:
        return self._name(row, ids, number, hex_digest(data))

    def _top(self, row: Row) -> str:
        """Return the prefix of the documents, or of their copies, that lie here."""
        return (row.below if row.prefix.path == "copies/" else row.prefix.path).split("/")[0]

    def _genuine(self, row: Row, of: dict[str, bytes]) -> Iterator[bytes]:
        top = f"{self._top(row)}/"
        found = sorted(name for name in of if name.startswith(top))
        yield from (of[name] for name in found[:1] + found[-1:])

    def junk(self, row: Row, data: bytes) -> Iterator[Plant]:
        """Yield these bytes under each id, under a name that they fit."""
        for who, ids in self._owners(row.below):
            yield Plant(self._fitting(row, ids, 2, data), "junk", "strangers", _writing(data), who)

    def _strangers(self, row: Row) -> Iterator[Plant]:
        """Yield things that nothing vouches for: the bytes fit the name, are none, or are too many."""

        def made(shape: str, data: bytes, number: int = BEYOND) -> Iterator[Plant]:
            for who, ids in self._owners(row.below):
                name = self._fitting(row, ids, number, data)
                yield Plant(name, shape, "strangers", _writing(data), who)

        junk = self.chance.randbytes(JUNK)
        yield from made("one byte", b"\0")
        yield from made("junk of the right size", junk, 2)
        yield from made("a number beyond all", junk[1:])
        yield from made("a huge one", b'{"payload":"' + b"A" * HUGE + b'"}')
        yield from made("a deep one", b"[" * 100_000)
        for data in self._genuine(row, self.scene.history):
            yield from made("another's genuine document", data)
            yield from made("an old genuine one", data, 1)
        for data in self._genuine(row, self.scene.elsewhere):
            yield from made("a genuine one of another vault", data, 1)
        yield from self._replayed(row)
        size = row.prefix.size_max + 1
        for who, ids in self._owners(row.below):
            name = self._name(row, ids, 3, secrets.token_hex(32))
            yield Plant(name, "nothing", "strangers", Path.touch, who)
            name = self._name(row, ids, 4, secrets.token_hex(32))
            yield Plant(name, "larger than any", "strangers", lambda path: _sparse(path, size), who)

    def _replayed(self, row: Row) -> Iterator[Plant]:
        """Yield old objects of the vault, and objects of another vault, each under its own name."""
        for known, shape in (
            (self.scene.history, "an old genuine one"),
            (self.scene.elsewhere, "of another vault"),
        ):
            for name, data in known.items():
                if name not in self.scene.beginning and name.startswith(row.prefix.path):
                    yield Plant(name, shape, "strangers", _writing(data))

    def _obstacles(self, row: Row) -> Iterator[Plant]:
        """Yield things that are no files, in the place of an object and of each folder above it."""
        for who, ids in self._owners(row.below):
            for kind, put in KINDS.items():
                parts = self._name(row, ids, 5, secrets.token_hex(32)).split("/")
                for depth in range(1, len(parts) + 1):
                    name = "/".join(parts[:depth])
                    if kind != "folder" or layout.is_name(name):
                        yield Plant(name, kind, "obstacles", put, who)

    def _damage(self, row: Row) -> Iterator[Plant]:
        """Yield things that may once have been documents: the bytes are not those of the name."""
        if row.prefix.path == "archives/":
            for path in (self.scene.folder / "web1/disk 1").rglob("archives/*/*"):
                junk = self.chance.randbytes(path.stat().st_size)
                name = layout.archive_name(bytes.fromhex(path.name))
                yield Plant(name, "an archive in the post", "damage", _writing(junk))
        for data in self._genuine(row, self.scene.history):
            flipped = bytearray(data)
            flipped[len(flipped) // 2] ^= 1
            for (who, ids), number in product(self._owners(row.below), (2, BEYOND)):
                if row.prefix.path == "manifests/" and number > 10**9:
                    continue
                name = self._fitting(row, ids, number, data)
                put = bytes(flipped)
                yield Plant(name, "an imitation of damage", "damage", _writing(put), who)

    def _lies(self, row: Row) -> Iterator[Plant]:
        """Yield documents that the captured machine signs, about itself and others.

        It signs in its own name, and in that of the authority.
        """
        key = self.scene.identities[CAPTURED]
        for template in self._lying(row):
            for (who, ids), number in product(self._owners(row.below), _numbers(template)):
                document = self._told(template, who, ids, number)
                keys = [key.signing_key, key.signing_key, key.master.proof][: template.signers]
                data = envelope.sign(document, *keys)
                name = self._fitting(row, ids, number, data)
                yield Plant(
                    name,
                    f"a signed lie ({template.kind})",
                    "lies",
                    _writing(data),
                    who,
                )
        if str(row).startswith("replacements/<machine>"):
            yield from self._impostors()
        if row.prefix.path == "needs/":
            root, _ = needs.encode([])
            yield Plant(
                layout.need_name(bytes.fromhex(hex_digest(root))),
                "an empty need list",
                "lies",
                _writing(root),
            )

    def _impostors(self) -> Iterator[Plant]:
        """Yield an offer for each archive of one healthy machine.

        It is an archive that claims to hold all that the healthy one holds, and holds nothing. Its index and
        the document of the offer follow.
        """
        identity, healthy = self.scene.identities[CAPTURED], self.scene.owned[HEALTHY[0]]
        for name in sorted(each for each in healthy if each.startswith("archives/")):
            described, made = impostor(self.scene.history[name], name, identity.master.key_id)
            old = described.archive
            rows = ArchiveRow.of(old), ArchiveRow.of(Section.of(made).archive)
            document = Replacement(
                vault=identity.vault, key_id=self.key_ids[HEALTHY[0]], role="machine", created=1, copied=False,
                replaced=(Replaced(archive=rows[0], by=rows[1], held=needs.all_of(old).live),),
            )  # fmt: skip
            data = envelope.sign(document, identity.signing_key)
            offer = layout.numbered(layout.offers_prefix(identity.machine), 8, hex_digest(data))
            (index,) = encode_objects([Section.of(made)])
            for planted, content in (
                (layout.archive_name(made.name), bytes(made.data)),
                (layout.index_name(digest(index)), index),
                (offer, data),
            ):
                yield Plant(planted, "an offer of an impostor", "lies", _writing(content), CAPTURED)

    def _lying(self, row: Row) -> Iterator[Document]:
        """Yield the newest document of each kind in this row: the captured machine's, or else anybody's."""
        if f"{self._top(row)}/" in PLAIN:
            return
        known = self.templates[self._top(row)]
        own = [d for d in known if getattr(d, "machine", None) == self.machines[CAPTURED]] or known
        yield from {document.kind: document for document in own}.values()

    def _told(self, template: Document, who: str | None, ids: dict[str, str], number: int) -> Document:
        """Return a document with these ids and this number, as the machine would claim it.

        It needs nothing and keeps nothing.
        """
        empty = HexDigest(hex_digest(needs.encode([])[0]))
        wanted: dict[str, Any] = {
            "machine": ids.get("machine"), "key_id": ids.get("key id"), "set": ids.get("set"),
            "number": number, "sequence": number, "generation": number, "step": number,
            "revision": 9, "needs": empty, "keep_from": SLOTS_NONE, "given_up": True, "status": "revoked", "counted": b"",
            "public_key": self.scene.identities[CAPTURED].public_key.hex(), "subject": ids.get("machine", "vault"),
            "rules": NOTHING_KEPT, "expired": (), "previous": None,
        }  # fmt: skip
        has = {field.name: getattr(template, field.name) for field in fields(template)}
        changes = {
            k: v
            for k, v in wanted.items()
            if k in has and v is not None and (k != "set" or has[k] is not None)
        }
        if isinstance(template, Manifest) and who not in (None, CAPTURED):
            changes["key_id"] = self.key_ids[who]
        for change in (changes, {k: v for k, v in changes.items() if k not in ("generation", "step")}):
            document = replace(template, **change)
            try:
                type(template).from_json(document.to_json(), "")
            except FormatError:
                continue
            return document
        return replace(
            template, **{k: v for k, v in changes.items() if k in ("machine", "key_id", "number", "needs")}
        )


NOTHING_KEPT = RetentionRules(
    every=0, daily=0, weekly=0, weekday="mon", monthly=0, month_day="1", yearly=0, month=1
)

KINDS: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "link": lambda path: path.symlink_to("/proc/self/status"),
    "folder": Path.mkdir,
}


def _numbers(template: Document) -> tuple[int, ...]:
    """Return a number that may come next, and one beyond all that the document's kind can have."""
    largest = {"manifest": 10**9, "inventory": 1_000_000, "custody": 1000}.get(template.kind, BEYOND)
    return 7, largest


def _documents(kind: type[Document]) -> Iterator[type[Document]]:
    for below in kind.__subclasses__():
        yield below
        yield from _documents(below)


def _writing(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def _sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)
