"""The roads by which two attackers destroyed backups: each is closed, in a folder and on Azurite.

On Azurite the attacker has the very rights of a machine. It may create objects and nothing else. Some
attackers have the keys of the registered machine as well. After each attack both sides tell the same of all
points. Two sweeps take nothing of them, the disk in the post comes, and the passphrase alone restores
everything.
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from formats import layout
from formats.documents import envelope
from formats.documents.codec import Document
from formats.documents.damage import ArchiveRow, Replaced, Replacement
from formats.documents.disk import SetDocument
from formats.documents.envelope import raw_public
from formats.documents.job import ImportJob
from formats.documents.manifest import Manifest
from formats.documents.retention import Condemned, Terms
from formats.documents.vault import Descriptor, Membership
from formats.errors import NameHeldByOtherError
from formats.ids import HexDigest, digest, hex_digest
from formats.store.access import Access, Address
from formats.store.address import open_store
from formats.store.contract import Store
from formats.tables import needs
from formats.tables.needs import bitmap
from formats.tables.sections import Section, encode_objects
from seed.home.home import Home
from tests.azurite import Azurite
from tests.hostile import forging
from tests.journeys import trees
from tests.journeys.stage import Stage, a_day_later, backup, below, keep_firsts
from tests.retention import world

assert sys.platform == "linux"

BEYOND = 9_999_999_999
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


class Scene:
    """A machine with a point in the vault that has its term, and a later one on a disk in the post."""

    def __init__(self, stage: Stage, source: Path, access: Callable[[], Access]) -> None:
        self.stage = stage
        self.source = source
        backup(stage, source)
        keep_firsts(stage, days=30)
        stage.run("importer", "prune", "--vault", stage.at)
        (source / "film").write_bytes(trees.incompressible(3 << 20, 7))
        stage.run("seed", "export", "--again", "--to", stage.disk)
        self.identity = Home.open(stage.home).identity
        self.store: Store = open_store(Address(stage.at, access()))

    def close(self) -> None:
        if (close := getattr(self.store, "close", None)) is not None:
            close()

    def names(self, prefix: str = "") -> list[str]:
        return [name for name, _ in self.store.list(prefix)]

    def put(self, name: str, data: bytes) -> None:
        """Put an object, which is all that the attacker can do."""
        try:
            self.store.put_new(name, data)
        except NameHeldByOtherError:
            return

    def sign(self, prefix: str, number: int, document: Document, key: Ed25519PrivateKey = STRANGER) -> None:
        data = envelope.sign(document, key)
        self.put(layout.numbered(prefix, number, hex_digest(data)), data)

    def newest(self, prefix: str, kind: type[Document]) -> Any:
        name = max(self.names(prefix), key=layout.number_of)
        return envelope.read(self.store.get(name), name).peek(kind)

    @property
    def on_the_disk(self) -> list[Path]:
        folder = next((self.stage.disk / "offseed").iterdir())
        return sorted((folder / "archives").glob("*/*"))


def an_empty_revision(scene: Scene) -> None:
    root, _ = needs.encode([])
    scene.put(layout.need_name(digest(root)), root)
    for name in scene.names(layout.manifest_prefix(scene.identity.machine)):
        manifest = envelope.read(scene.store.get(name), name).peek(Manifest)
        lie = replace(manifest, revision=9, needs=HexDigest(hex_digest(root)))
        scene.sign(layout.manifest_prefix(lie.machine), lie.sequence, lie, scene.identity.signing_key)


def a_signed_offer_for_what_is_whole(scene: Scene) -> None:
    for name in scene.names("archives"):
        its_index, made = forging.impostor(scene.store.get(name), name)
        real, data, index = its_index.archive, bytes(made.data), Section.of(made)
        scene.put(layout.archive_name(index.archive.name), data)
        for part in encode_objects([its_index, index]):
            scene.put(layout.index_name(digest(part)), part)
        entry = Replaced(
            archive=ArchiveRow.of(real),
            by=ArchiveRow.of(index.archive),
            held=bitmap(real.records, range(real.records)),
        )
        offer = Replacement(
            vault=scene.identity.vault,
            key_id=scene.identity.master.key_id.hex(),
            role="machine",
            created=0,
            copied=False,
            replaced=(entry,),
        )
        scene.sign(layout.offers_prefix(scene.identity.machine), 1, offer, scene.identity.signing_key)


def a_description_of_another_vault(scene: Scene) -> None:
    """Put the genuine description of another vault of the same operator."""
    stage = scene.stage
    stage.run("importer", "vault", "create", "Other", "--at", stage.folder / "other", "--region", "here")
    for path in (stage.folder / "other").glob("**/descriptor/*"):
        scene.put(str(path.relative_to(stage.folder / "other")), path.read_bytes())


def a_description_with_a_number_beyond_all(scene: Scene) -> None:
    """Put a self-signed description, and revoke everybody by the same key."""
    key = raw_public(STRANGER).hex()
    genuine = scene.newest("descriptor", Descriptor)
    scene.sign("descriptor", BEYOND, replace(genuine, number=BEYOND, authority=key))
    for name in scene.names("machines"):
        member = envelope.read(scene.store.get(name), name).peek(Membership)
        forged = replace(member, number=BEYOND, status="revoked", counted=b"")
        scene.sign(layout.member_prefix(member.machine), BEYOND, forged)


def papers_of_nobody(scene: Scene) -> None:
    """Put junk, and well-formed documents under numbers beyond all.

    They lie at all names of an authority and a machine.
    """
    vault, machine = scene.identity.vault, scene.identity.machine
    disk = world.trial_disk_of(machine)
    scene.sign(
        layout.job_prefix("7" * 32),
        1,
        ImportJob(vault=vault, job="7" * 32, role="authority", started=0, disks=(disk,)),
    )
    names = tuple(scene.names("archives"))
    scene.sign(
        "condemned", BEYOND, Condemned(number=BEYOND, vault=vault, role="authority", created=0, names=names)
    )
    points = tuple(
        envelope.read(scene.store.get(name), name).peek(Manifest).point
        for name in scene.names(layout.manifest_prefix(machine))
    )
    terms = Terms(
        number=BEYOND,
        vault=vault,
        machine=machine,
        role="authority",
        created=0,
        policy=0,
        admitted=(),
        expired=points,
    )
    scene.sign(layout.terms_prefix(machine), BEYOND, terms)
    for row in layout.PREFIXES:
        for shape in row.below.split(" or "):
            below = shape
            for part, value in PARTS.items():
                below = below.replace(part, value.replace("MACHINE", machine))
            if layout.is_name(row.path + below):
                scene.put(row.path + below, b"junk")
                scene.put(layout.copy_name(row.path + below), b"junk") if layout.is_copied(row.path) else None


PARTS = {
    "<dd>/<digest>": f"ab/{'ab' * 32}",
    "-<digest>": f"-{'ab' * 32}",
    "<machine>": "MACHINE",
    "<set>": "3" * 32,
    "<job>": "4" * 32,
    "<key id>": "5" * 32,
    "<number>": str(BEYOND),
    "<sequence>": str(BEYOND),
    "<generation>": str(BEYOND),
    "<step>": str(BEYOND),
    "<disk>": "7",
}


def what_was_genuine_once(scene: Scene) -> None:
    """Put back lists, sweeps and other documents that the authority has deleted since."""
    stage = scene.stage
    kept = {name: scene.store.get(name) for name in scene.names() if not name.startswith("archives/")}
    for number in (1, 2):
        (scene.source / "new").write_bytes(trees.incompressible(300_000, number))
        backup(stage)
        stage.run("importer", "prune", "--vault", stage.at)
        kept |= {name: scene.store.get(name) for name in scene.names() if not name.startswith("archives/")}
    for name, data in kept.items():
        scene.put(name, data)


def one_byte_below_disks(scene: Scene) -> None:
    found = scene.newest(layout.set_prefix(scene.identity.machine), SetDocument)
    prefix = layout.received_prefix(found.machine, found.set, 1)
    scene.put(layout.numbered(prefix, 9, HexDigest("ab" * 32)), b"x")


def junk_for_the_disk_in_the_post(scene: Scene) -> None:
    there = set(scene.names("archives"))
    for path in scene.on_the_disk:
        if (name := f"archives/{path.parent.name}/{path.name}") not in there:
            data = path.read_bytes()
            scene.put(name, data[:-1] + bytes([data[-1] ^ 1]))


def forty_documents_of_a_megabyte_and_a_half(scene: Scene) -> None:
    machine = scene.identity.machine
    member = scene.newest(layout.member_prefix(machine), Membership)
    for number in range(40):
        data = envelope.sign(replace(member, number=BEYOND - number, counted=bytes(600_000)), STRANGER)
        for prefix in (layout.member_prefix(machine), layout.manifest_prefix(machine)):
            scene.put(layout.numbered(prefix, BEYOND - number, hex_digest(data)), data)


ROADS: dict[str, tuple[str, Callable[[Scene], None]]] = {
    "1": ("machine", an_empty_revision),
    "2": ("machine", a_signed_offer_for_what_is_whole),
    "3": ("anybody", a_description_of_another_vault),
    "5": ("anybody", one_byte_below_disks),
    "6": ("anybody", junk_for_the_disk_in_the_post),
    "8": ("anybody", a_description_with_a_number_beyond_all),
    "9, 13": ("anybody", papers_of_nobody),
    "9, replayed": ("anybody", what_was_genuine_once),
    "12": ("anybody", forty_documents_of_a_megabyte_and_a_half),
}


@pytest.fixture(
    params=[
        "folder",
        pytest.param("azurite", marks=[pytest.mark.needs("azurite"), pytest.mark.nightly]),
    ]
)
def scene(request: pytest.FixtureRequest, room: Path) -> Iterator[Scene]:
    source = room / "source"
    source.mkdir()
    for number in range(20):
        (source / f"file {number}").write_bytes(trees.incompressible(20_000, number))
    (source / "large").write_bytes(trees.incompressible(3 << 20, 1))
    access: Callable[[], Access] = Access
    if request.param == "azurite":
        from tests.journeys.containers import ContainerStage

        ContainerStage.server = request.getfixturevalue("azurite")
        assert isinstance(ContainerStage.server, Azurite)
        container = ContainerStage(room / "stage")
        stage: Stage = container

        def access() -> Access:
            return Access(container.grant())
    else:
        stage = Stage(room / "stage")
    stage.open()
    made = Scene(stage, source, access)
    yield made
    made.close()


@pytest.mark.parametrize("road", ROADS)
def test_the_road_is_closed(road: str, scene: Scene, room: Path) -> None:
    stage, attack = scene.stage, ROADS[road][1]
    is_folder = not stage.at.startswith("azblob:")
    before = {program: points(stage, program) for program in ("importer", "seed")}
    took = timed(stage)
    attack(scene)
    if road not in (
        "1",
        "9, replayed",
    ):  # in road 1 a machine may say anything of itself; the other road makes further points
        for program, found in before.items():
            assert points(stage, program) == found, program
        assert timed(stage) < 1.2 * took + 1 + (0 if is_folder else 2)
    needed = set(scene.names("archives")) - (
        {f"archives/{p.parent.name}/{p.name}" for p in scene.on_the_disk}
    )
    for _ in range(3):
        if is_folder:
            a_day_later(stage)
        stage.run("importer", "prune", "--vault", stage.at, code=None)
    if road != "2":  # its impostors are the attacker's own
        assert needed - set(scene.names("archives")) <= {f"archives/ab/{'ab' * 32}"}
    stage.run("importer", "import", stage.disk, "--vault", stage.at, code=None)
    found = points(stage, "importer")
    assert len(found) >= len(before["importer"])
    assert all(complete for _, complete in found)
    (machine,) = stage.run("importer", "status", "--vault", stage.at, "--json", code=None).json
    assert machine["status"] == "active"
    assert all(disk["may_be_erased"] for one in machine["sets"] for disk in one["disks"])
    given = ("--vault", stage.at, "--passphrase-file", stage.secret)
    for point in [point for point, _ in found][-1:] + [point for point, _ in found][:1]:
        target = room / point
        stage.run("seed", "restore", point, *given, "--target", target, SEED_HOME=room / "none", code=None)
        if point == found[-1][0]:
            assert trees.differences(scene.source, below(target, scene.source)) == []
        else:
            assert (below(target, scene.source) / "large").read_bytes() == (
                scene.source / "large"
            ).read_bytes()


def points(stage: Stage, program: str) -> list[tuple[str, bool]]:
    found = stage.run(program, "points", "--vault", stage.at, "--json", code=None).json
    return [(point["point"], point["complete"]) for point in found]


def timed(stage: Stage) -> float:
    """Return the least time of three runs."""
    took = []
    for _ in range(3):
        began = time.monotonic()
        stage.run("importer", "points", "--vault", stage.at, code=None)
        took.append(time.monotonic() - began)
    return min(took)
