"""Vectors of signed documents: one of each kind in its envelope, a sealed root, and a credential file.

Ed25519 signs alike every time.
"""

from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from formats import layout
from formats.documents import credential_file, envelope
from formats.documents.codec import Document
from formats.documents.custody import Custody
from formats.documents.damage import ArchiveRow, Replaced, Replacement, Wants
from formats.documents.disk import Abandonment, Inventory, Label, ListedObject, SetDisk, SetDocument, Verified
from formats.documents.envelope import raw_public
from formats.documents.job import ImportJob, JobDisk, Receipt, Validation
from formats.documents.manifest import Manifest, Totals
from formats.documents.register import Register, RegisterEntry
from formats.documents.retention import Condemned, Policy, Sweep, Term, Terms
from formats.documents.vault import Credential, Descriptor, Membership, Request, Slots
from formats.ids import HexDigest, PointId, SetId, VaultId, digest, hex_digest, machine_id
from formats.keyed import chunking
from formats.keyed.keys import MasterKey
from formats.keyed.root import PointRoot, clear_digest, seal_root
from formats.keyed.slots import make_slot, slot_to_json
from formats.rules.retention import USUAL
from formats.tables import needs
from formats.untrusted import Json
from tests.vectors.generate import readable, vector
from tests.vectors.keyed import LOW_COST, MASTER, PASSPHRASE
from tests.vectors.tables import drawn, holding, holdings, need

MACHINE_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
AUTHORITY_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64)))
CREDENTIAL_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(64, 96)))

PUBLIC_KEY = raw_public(MACHINE_KEY)
AUTHORITY = raw_public(AUTHORITY_KEY)
VAULT = VaultId("0123456789abcdef" * 2)
MACHINE = machine_id(PUBLIC_KEY)
SET = SetId("c3" * 16)
DISK = "d1" * 16
POINT = PointId("90" * 16)
KEY_ID = MASTER.key_id.hex()
NOW = 1_740_832_200

LABEL = Label(
    vault=VAULT,
    vault_name="north-hall",
    machine=MACHINE,
    machine_name="files.example",
    public_key=PUBLIC_KEY.hex(),
    set=SET,
    number=1,
    disk=DISK,
    created=NOW,
)
MANIFEST = Manifest(
    vault=VAULT,
    machine=MACHINE,
    machine_name="files.example",
    key_id=KEY_ID,
    point=POINT,
    revision=1,
    sequence=1,
    created=NOW + 100,
    point_kind="seed",
    set=SET,
    totals=Totals(entries=3, files=1, file_bytes=300, archives=3, archive_bytes=3 << 20, lost=0),
    needs=hex_digest(needs.encode([need(number) for number in range(3)])[0]),
    root=b"",
)


def root_of(manifest: Manifest) -> PointRoot:
    return PointRoot(
        public_key=PUBLIC_KEY.hex(),
        authority=AUTHORITY.hex(),
        clear=clear_digest(manifest),
        chunking=chunking.USUAL,
        pages=(drawn("page", 32).hex(),),
    )


def with_root(manifest: Manifest, root: PointRoot | None = None, master: MasterKey = MASTER) -> Manifest:
    """Return the manifest with its root sealed in it, by one nonce for ever."""
    sealed = seal_root(master, root or root_of(manifest), nonce=bytes(range(24)))
    return replace(manifest, root=sealed)


CREDENTIAL = Credential(
    number=7,
    vault=VAULT,
    name="north-hall",
    address="/srv/vault",
    authority=AUTHORITY.hex(),
    public_key=raw_public(CREDENTIAL_KEY).hex(),
    machines=1,
    issued=NOW,
    expires=NOW + 48 * 3600,
)
REQUEST = Request(
    vault=VAULT,
    credential=envelope.sign(CREDENTIAL, AUTHORITY_KEY),
    name="files.example",
    public_key=PUBLIC_KEY.hex(),
    key_id=KEY_ID,
    proof_key=raw_public(MASTER.proof).hex(),
    nonce="4e" * 16,
    created=NOW,
)


def inventory(generation: int = 1, previous: HexDigest | None = None) -> Inventory:
    table = holdings()
    small = b"a small object"
    return Inventory(
        vault=VAULT,
        machine=MACHINE,
        set=SET,
        number=1,
        disk=DISK,
        label=hex_digest(envelope.sign(LABEL, MACHINE_KEY)),
        generation=generation,
        previous=previous,
        created=NOW + 200,
        archives=20,
        archive_bytes=20 << 20,
        tables=(
            ListedObject(name=layout.holdings_name(digest(table)), size=len(table), digest=hex_digest(table)),
        ),
        objects=(
            ListedObject(name=layout.need_name(digest(small)), size=len(small), digest=hex_digest(small)),
        ),
        others=(
            SetDisk(
                number=2,
                disk="d2" * 16,
                label=HexDigest(drawn("label", 32).hex()),
                generation=1,
                inventory=HexDigest(drawn("inventory", 32).hex()),
            ),
        ),
        verified=Verified(
            objects=24, bytes=21 << 20, records=300, damaged=1, cached=False, finished=NOW + 190
        ),
    )


def samples() -> dict[str, Document]:
    """Return one document of each kind."""
    manifest = with_root(MANIFEST)
    request = envelope.sign(REQUEST, MACHINE_KEY)
    closing = envelope.sign(inventory(), MACHINE_KEY)
    slot = make_slot(PASSPHRASE, MASTER, LOW_COST, salt=bytes(16), nonce=bytes(24))
    disk = JobDisk(machine=MACHINE, set=SET, number=1, generation=1, inventory=hex_digest(closing))
    rows = [ArchiveRow.of(holding(number)) for number in (6, 7)]
    found: list[Document] = [
        LABEL,
        inventory(),
        SetDocument(
            vault=VAULT,
            machine=MACHINE,
            set=SET,
            revision=1,
            point=POINT,
            manifest=hex_digest(envelope.sign(manifest, MACHINE_KEY)),
            created=NOW + 300,
            disks=(
                SetDisk(number=1, disk=DISK, label=inventory().label, generation=1, inventory=disk.inventory),
            ),
        ),
        Abandonment(
            number=1, vault=VAULT, machine=MACHINE, set=SetId("41" * 16), created=NOW + 400, given_up=True
        ),
        manifest,
        Slots(
            number=1, vault=VAULT, machine=MACHINE, key_id=KEY_ID, slots=(slot_to_json(slot),), keep_from=1
        ),
        REQUEST,
        Descriptor(
            number=1,
            vault=VAULT,
            name="north-hall",
            region="eu-north",
            redundancy="geo",
            created=NOW - 100,
            address="/srv/vault",
            authority=AUTHORITY.hex(),
        ),
        CREDENTIAL,
        Membership(
            number=1,
            vault=VAULT,
            machine=MACHINE,
            name="files.example",
            public_key=PUBLIC_KEY.hex(),
            key_id=KEY_ID,
            request=hex_digest(request),
            status="active",
            since=NOW + 10,
            accepted_by="credential",
            slots_from=1,
        ),
        ImportJob(vault=VAULT, job="70" * 16, role="authority", started=NOW + 400, disks=(disk,)),
        Receipt(
            vault=VAULT,
            job="70" * 16,
            role="authority",
            disk=disk,
            finished=NOW + 500,
            whole=True,
            copied=2,
            copied_bytes=2 << 20,
            already=1,
            not_needed=0,
            findings=0,
        ),
        Custody(
            vault=VAULT,
            machine=MACHINE,
            set=SET,
            number=1,
            step=2,
            previous=HexDigest("5a" * 32),
            role="machine",
            event="sent",
            at=NOW + 320,
            noted=NOW + 330,
            generation=1,
            whole=False,
            inventory=hex_digest(closing),
            carrier="Courier Ltd",
            tracking="0034 0434",
        ),
        Validation(
            number=2,
            vault=VAULT,
            role="authority",
            started=NOW + 510,
            finished=NOW + 520,
            objects=1000,
            bytes=64 << 30,
            damaged=1,
            sampled=False,
            after=layout.archive_name(bytes(32)),
        ),
        Wants(
            number=1,
            vault=VAULT,
            key_id=KEY_ID,
            role="authority",
            created=NOW + 600,
            archives=1,
            records=3,
            needs=MANIFEST.needs,
            objects=(layout.need_name(bytes(32)),),
        ),
        Replacement(
            vault=VAULT,
            key_id=KEY_ID,
            role="authority",
            created=NOW + 700,
            copied=True,
            replaced=(Replaced(archive=rows[0], by=rows[1], held=bytes([5])),),
        ),
        Register(
            number=2,
            vault=VAULT,
            subject=MACHINE,
            role="authority",
            created=NOW + 750,
            previous=layout.numbered(layout.register_prefix(MACHINE), 1, MANIFEST.needs),
            forgotten=(layout.numbered(layout.slot_prefix(MACHINE), 1, MANIFEST.needs),),
            entries=(
                RegisterEntry(
                    name=layout.numbered(layout.member_prefix(MACHINE), 1, MANIFEST.needs), key_id=KEY_ID
                ),
                RegisterEntry(
                    name=layout.numbered(layout.manifest_prefix(MACHINE), 2, MANIFEST.needs),
                    point=MANIFEST.point,
                ),
            ),
        ),
        Policy(number=1, vault=VAULT, machine=MACHINE, created=NOW, zone=-90, rules=USUAL),
        Terms(
            number=1,
            vault=VAULT,
            machine=MACHINE,
            role="authority",
            created=NOW + 800,
            policy=1,
            admitted=(
                Term(point=POINT, sequence=1, counted=NOW, until=NOW + 86_400, earned=("every", "daily")),
            ),
            expired=(PointId("91" * 16),),
        ),
        Condemned(
            number=1,
            vault=VAULT,
            role="authority",
            created=NOW + 900,
            names=(layout.archive_name(bytes(32)), layout.need_name(bytes(32))),
        ),
        Sweep(
            number=2,
            vault=VAULT,
            role="authority",
            sweep="71" * 16,
            state="ended",
            created=NOW + 1000,
            lists=(hex_digest(b"list"),),
            objects=2,
            bytes=64 << 20,
        ),
    ]
    return {document.kind: document for document in found}


BY_AUTHORITY = {
    "descriptor",
    "credential",
    "membership",
    "job",
    "receipt",
    "validation",
    "wants",
    "replacement",
    "terms",
    "condemned",
    "sweep",
}


def signer(kind: str) -> Ed25519PrivateKey:
    return AUTHORITY_KEY if kind in BY_AUTHORITY else MACHINE_KEY


def signed(document: Document) -> bytes:
    """Return the envelope of a sample. Three keys sign a request."""
    further = (CREDENTIAL_KEY, MASTER.proof) if document is REQUEST else ()
    return envelope.sign(document, signer(document.kind), *further)


@vector("documents.json")
def documents() -> bytes:
    """Return for every kind the document, the bytes of its envelope, their digest, and the signing keys."""
    listed: dict[str, Json] = {}
    for kind, document in samples().items():
        data = signed(document)
        keys: list[Json] = [raw_public(signer(kind)).hex()]
        if kind == "registration-request":
            keys += [raw_public(CREDENTIAL_KEY).hex(), raw_public(MASTER.proof).hex()]
        listed[kind] = {
            "document": document.to_json(),
            "envelope": data.decode(),
            "digest": hex_digest(data),
            "signed by": keys,
        }
    return readable(listed)


@vector("root.json")
def root() -> bytes:
    """Return the sealed root of the manifest above, and its content."""
    manifest = with_root(MANIFEST)
    return readable(
        {
            "master": MASTER.raw.hex(),
            "root": root_of(MANIFEST).to_json(),
            "sealed": manifest.root.hex(),
            "manifest": manifest.to_json(),
        }
    )


@vector("credential-file.json")
def credential_file_() -> bytes:
    """Return the exact bytes of a credential file."""
    return credential_file.write(signed(CREDENTIAL), CREDENTIAL_KEY)
