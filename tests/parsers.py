"""Every parser of both sides, by name, with bytes that it reads: for tests and for fuzzing."""

import json
import plistlib
from collections.abc import Callable

from formats import layout
from formats.documents import envelope
from formats.documents.codec import Record
from formats.documents.credential_file import CredentialFile
from formats.ids import digest
from formats.keyed.aead import Xaes256Gcm
from formats.keyed.chunk import AAD_PREFIX
from formats.keyed.passphrase import check, readings
from formats.keyed.root import PointRoot
from formats.keyed.segments import decode_entries, decode_page
from formats.keyed.slots import open_slot, slot_from_json
from formats.monitor import Tally
from formats.rules.acceptance import DiskAcceptance, folder_identity
from formats.rules.disk_code import parse_code
from formats.shell.custody_options import parse_moment
from formats.store.access import Access, check_secret, proxy_url
from formats.store.azblob.service import connect, parse_address
from formats.tables import archive, holdings, needs, sections
from formats.tables.index import CONTENT, decode_index
from formats.untrusted import Json, decode_json, encode_json
from seed.cli.notations import parse_size
from seed.disks.drives import linux, macos, windows
from seed.disks.drives.device import parsed
from seed.home.home import HomeState
from seed.home.throttle import parse_days, parse_hours, parse_rate
from seed.source import xattrs
from tests.vectors.catalog import REPEATED, SEALER
from tests.vectors.documents import (
    LABEL,
    MACHINE_KEY,
    MANIFEST,
    SET,
    inventory,
    root_of,
    samples,
    signed,
    signer,
)
from tests.vectors.generate import DATA
from tests.vectors.keyed import MASTER, PASSPHRASE
from tests.vectors.tables import LENGTHS

Parse = Callable[[bytes], object]


def vector(name: str) -> bytes:
    return (DATA / name).read_bytes()


def read_document(kind: str) -> Parse:
    document = type(samples()[kind])
    key = envelope.raw_public(signer(kind))
    return lambda data: envelope.read(data, "here").verify(document, key)


def read_payload(kind: str) -> Parse:
    document = type(samples()[kind])
    return lambda data: document.from_json(decode_json(data, "here"), kind)


def read_inventory(data: bytes) -> object:
    rules = DiskAcceptance(SET, 1, "disk")
    rules.read_label(envelope.sign(LABEL, MACHINE_KEY))
    tally = Tally()
    closed = rules.read_inventories([("inventories/x", data)], tally)
    assert closed is not None or len(tally.findings) == 1
    return closed


def read_label(data: bytes) -> object:
    return DiskAcceptance(SET, 1, "disk").read_label(data)


def read_needs(data: bytes) -> object:
    """Read a root of a need list, with the golden bucket as every bucket."""
    fetch = {digest(data): data}
    return needs.load(digest(data), lambda wanted: fetch.get(wanted, vector("needs-bucket.bin")), "here")


def read_record(data: bytes) -> object:
    return SEALER.open(CONTENT, SEALER.chunk_id(CONTENT, REPEATED), data, "here")


def read_slot(data: bytes) -> object:
    slot = slot_from_json(decode_json(data, "here"), "here")
    return slot if slot.cost.memory_kib > 20 << 10 or slot.cost.time > 1 else open_slot(slot, PASSPHRASE)


def read_inside(data: bytes) -> object:
    """Read the inside of a record's seal, made by somebody with the key."""
    chunk = SEALER.chunk_id(CONTENT, REPEATED)
    sealed = Xaes256Gcm(MASTER.seal).seal(data, AAD_PREFIX + bytes([CONTENT]) + MASTER.key_id + chunk)
    return SEALER.open(CONTENT, chunk, sealed, "here")


def texts(read: Callable[[str], object]) -> Parse:
    return lambda data: read(data.decode("utf-8", "replace"))


def printed(read: Callable[[Json], object]) -> Parse:
    return lambda data: read(parsed(data))


def passphrase(text: str) -> object:
    check(text)
    return readings(text)


def record(kind: type[Record]) -> Parse:
    return lambda data: kind.from_json(decode_json(data, "here"), "here")


SAS = b"sv=2026-01-01&sp=rcl&se=2026-11-30T00:00:00Z&sr=c&sig=AAAA"
INDEX_END = 48 + sum(LENGTHS)
PARSERS: dict[str, tuple[bytes, Parse]] = {
    "index": (vector("index.bin"), lambda d: decode_index(d, 48, INDEX_END, "here")),
    "archive": (vector("archive.bin"), lambda d: archive.parse(d, "here")),
    "archive, as a view": (vector("archive.bin"), lambda d: archive.parse(memoryview(d), "here")),
    "footer": (vector("archive.bin")[-48:], lambda d: archive.parse_footer(d, 1 << 20, "here")),
    "index object": (vector("index-object.bin"), lambda d: sections.decode_object(d, "here")),
    "rows of its sections": (
        vector("index-object.bin"),
        lambda d: [section.rows("here") for section in sections.decode_object(d, "here")],
    ),
    "journal": (vector("index-object.bin")[8:], lambda d: sections.scan(memoryview(d), "here")),
    "table of archives": (vector("holdings.bin"), lambda d: holdings.decode_table(d, "here")),
    "root of a need list": (vector("needs-root.bin"), lambda d: needs.decode_root(d, "here")),
    "bucket of a need list": (vector("needs-bucket.bin"), lambda d: needs.decode_bucket(d, 0, 0, "here")),
    "need list": (b"offsNRT1" + bytes(8) + digest(vector("needs-bucket.bin")), read_needs),
    "JSON": (envelope.sign(LABEL, MACHINE_KEY), lambda d: decode_json(d, "here")),
    "envelope": (envelope.sign(LABEL, MACHINE_KEY), lambda d: envelope.read(d, "here")),
    "label": (envelope.sign(LABEL, MACHINE_KEY), read_label),
    "inventory": (envelope.sign(inventory(), MACHINE_KEY), read_inventory),
    **{f"{kind}, signed": (signed(document), read_document(kind)) for kind, document in samples().items()},
    **{
        f"{kind}, payload": (json.dumps(document.to_json()).encode(), read_payload(kind))
        for kind, document in samples().items()
    },
    "credential file": (vector("credential-file.json"), lambda d: CredentialFile.read(d, "here")),
    "record": (bytes.fromhex(json.loads(vector("records.json"))["records"][3]["record"]), read_record),
    "segment": (vector("segment.bin"), lambda d: decode_entries(d, "here")),
    "page": (vector("page.bin"), lambda d: decode_page(d, "here")),
    "inside of a record": (b"\0" + len(REPEATED).to_bytes(4, "little") + REPEATED, read_inside),
    "inside of a root": (encode_json(root_of(MANIFEST).to_json()), record(PointRoot)),
    "state of a home": (b"{}", record(HomeState)),
    "extended attributes": (xattrs.pack([(b"user.a", b"abc")]), xattrs.unpack),
    "name of an object": (b"archives/ab/" + b"ab" * 32, texts(layout.check_name)),
    "what lsblk prints": (b'{"blockdevices":[{"name":"a","path":"/dev/a","size":1,"fstype":"ext4"}]}', printed(linux.listed)),
    "what smartctl prints": (b'{"smart_status":{"passed":true}}', printed(linux.health)),
    "what PowerShell prints": (b'{"mounted":"E:","size":1,"bus":"USB"}', printed(windows.listed)),
    "what diskutil prints": (plistlib.dumps({"DeviceNode": "/dev/a", "TotalSize": 1}), macos.described),
    "key slot": (json.dumps(json.loads(vector("slot.json"))["slot"]).encode(), read_slot),
}  # fmt: skip

# Text that people type: its errors do not always repeat it.
TYPED: dict[str, tuple[bytes, Parse]] = {
    "name of a folder": (b"ab" * 16 + b"-1", texts(folder_identity)),
    "passphrase": (PASSPHRASE.encode(), texts(passphrase)),
    "address of a container": (b"azblob://account/container", texts(parse_address)),
    "access to an account": (SAS, texts(lambda t: connect("azblob://account/container", Access(t or "x")))),
    "access file": (SAS, texts(lambda t: check_secret(t, "here"))),
    "proxy": (b"http://user:word@host:3128", texts(lambda t: proxy_url(t, None, None))),
    "rate": (b"512kbit", texts(parse_rate)),
    "code of a label": (b"5f0c1a2b/2", texts(parse_code)),
    "date": (b"2026-11-28T14:30", texts(parse_moment)),
    "size": (b"1.5TiB", texts(parse_size)),
    "hours": (b"09:00-18:00", texts(parse_hours)),
    "days": (b"mon-fri", texts(parse_days)),
}  # fmt: skip
