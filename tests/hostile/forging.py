"""An attacker that writes anything on a disk, with the key of the disk's machine or with a key of its own."""

import os
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from formats import layout
from formats.documents import envelope
from formats.documents.codec import Document
from formats.documents.disk import Inventory, Label, ListedObject, SetDocument
from formats.documents.manifest import Manifest
from formats.ids import ArchiveName, KeyId, hex_digest
from formats.tables.archive import Archive, ArchiveBuilder, parse
from formats.tables.holdings import Holding, decode_table, encode_tables
from formats.tables.index import record_digest
from formats.tables.sections import Section
from seed.home.home import Home
from tests.journeys.stage import Stage

assert sys.platform == "linux"

GIGABYTES = 8 << 30


class Forger:
    """The attacker's work in the only folder of a stage's disk.

    The machine's key signs the documents, or the `key` that the caller gives.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.folder = stage.seeded
        self.identity = Home.open(stage.home).identity
        self.own = Ed25519PrivateKey.generate()

    @property
    def label(self) -> Label:
        return envelope.read((self.folder / "label").read_bytes(), "label").peek(Label)

    @property
    def inventory(self) -> Inventory:
        newest = max(self.stage.objects("inventories"), key=lambda path: path.name)
        return envelope.read(newest.read_bytes(), "inventory").peek(Inventory)

    @property
    def manifest(self) -> Manifest:
        return envelope.read(self.stage.objects("manifests")[0].read_bytes(), "manifest").peek(Manifest)

    @property
    def set_document(self) -> SetDocument:
        return envelope.read(self.stage.objects("sets")[0].read_bytes(), "set").peek(SetDocument)

    @property
    def archives(self) -> list[Path]:
        return self.stage.objects("archives")

    def signed(self, document: Document, key: Ed25519PrivateKey | None = None) -> bytes:
        return envelope.sign(document, key or self.identity.signing_key)

    def write(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def relabel(self, key: Ed25519PrivateKey | None = None, **changes: object) -> None:
        self.write("label", self.signed(replace(self.label, **changes), key))  # type: ignore[arg-type]

    def close(self, key: Ed25519PrivateKey | None = None, *, beside: bool = False, **changes: object) -> None:
        """Put another inventory in place of the existing ones, or `beside` them."""
        inventory = replace(self.inventory, **changes)  # type: ignore[arg-type]
        if not beside:
            shutil.rmtree(self.folder / "inventories")
        data = self.signed(inventory, key)
        self.write(layout.numbered("inventories", inventory.generation, hex_digest(data)), data)

    def list_object(self, name: str, data: bytes, *, size: int | None = None) -> None:
        """Let the inventory list one more object."""
        held = ListedObject(name=name, size=len(data) if size is None else size, digest=hex_digest(data))
        self.close(objects=(*self.inventory.objects, held))

    def list_table(self, name: str, data: bytes, *, size: int | None = None) -> None:
        """Let the inventory list one more table of archives."""
        held = ListedObject(name=name, size=len(data) if size is None else size, digest=hex_digest(data))
        self.close(tables=(*self.inventory.tables, held))

    @property
    def holdings(self) -> list[Holding]:
        found = []
        for table in self.inventory.tables:
            found += decode_table((self.folder / table.name).read_bytes(), table.name)
        return found

    def hold(self, holdings: list[Holding]) -> None:
        """Put an inventory of these archives."""
        tables = []
        for data in encode_tables(sorted(holdings, key=lambda h: h.name)):
            name = layout.holdings_name(bytes.fromhex(hex_digest(data)))
            self.write(name, data)
            tables.append(ListedObject(name=name, size=len(data), digest=hex_digest(data)))
        size = sum(h.size for h in holdings)
        self.close(tables=tuple(tables), archives=len(holdings), archive_bytes=size)

    def remanifest(self, **changes: object) -> None:
        """Replace the only manifest by another one, and remove the set documents, so that none names it."""
        (path,) = self.stage.objects("manifests")
        manifest = replace(self.manifest, **changes)  # type: ignore[arg-type]
        self.drop("manifests", "sets")
        data = self.signed(manifest)
        name = layout.numbered(
            path.parent.relative_to(self.folder).as_posix(), manifest.sequence, hex_digest(data)
        )
        self.write(name, data)
        self.list_object(name, data)

    def drop(self, *prefixes: str) -> None:
        """Remove the objects below these prefixes from the disk and from the inventory."""
        for prefix in prefixes:
            shutil.rmtree(self.folder / prefix, ignore_errors=True)
        self.close(objects=tuple(o for o in self.inventory.objects if o.name.split("/")[0] not in prefixes))

    def in_place_of(self, path: Path, make: Callable[[Path], object]) -> None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
        make(path)


def impostor(data: bytes, name: str, key_id: KeyId | None = None) -> tuple[Section, Archive]:
    """Return an archive's index, and another archive that claims to hold the same chunks, and holds nothing.

    The head of the impostor has the `key_id`, or that of the archive if the caller gives none.
    """
    parsed = parse(data, name)
    digest = ArchiveName(bytes.fromhex(name.rpartition("/")[2]))
    real = Holding(digest, parsed.index_digest, len(data), len(parsed.rows), parsed.archive_class)
    builder = ArchiveBuilder(bytearray(1 << 20), parsed.archive_class, key_id or parsed.key_id)
    for row in parsed.rows:
        builder.add(row.kind, row.chunk, b"nothing", record_digest(b"nothing"))
    return Section(real, parsed.index), builder.finish()


def sparse(path: Path) -> None:
    """Write a file of eight gigabytes that takes no room on the disk."""
    with open(path, "wb") as file:
        file.truncate(GIGABYTES)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        here = os.open(path.parent, os.O_RDONLY)
        try:
            made.bind(f"/proc/self/fd/{here}/{path.name}")
        finally:
            os.close(here)
