"""Any bytes into any decoder give a value or one error of our tree, with a code and a subject; nothing else."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.documents import envelope
from formats.documents.acceptance import DiskAcceptance
from formats.documents.credential import load_certificate
from formats.documents.credential_file import CredentialFile
from formats.errors import CODES, OffseedError
from formats.ids import digest
from formats.keyed.catalog import decode_entries, decode_page
from formats.keyed.slots import open_slot, slot_from_json
from formats.monitor import Tally
from formats.tables import archive, holdings, needs, sections
from formats.tables.index import CONTENT, decode_index
from formats.wire import decode_json
from tests.formats.test_spec import RULES
from tests.vectors.catalog import REPEATED, SEALER
from tests.vectors.documents import LABEL, LEAF, MACHINE_KEY, SET, inventory, samples, signed, signer
from tests.vectors.generate import DATA
from tests.vectors.keyed import PASSPHRASE
from tests.vectors.tables import LENGTHS

Decode = Callable[[bytes], object]


def vector(name: str) -> bytes:
    return (DATA / name).read_bytes()


def read_document(kind: str) -> Decode:
    document = type(samples()[kind])
    key = envelope.raw_public(signer(kind))
    return lambda data: envelope.read(data, "here").verify(document, key)


def read_payload(kind: str) -> Decode:
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
    """A root whose buckets are all the golden one."""
    fetch = {digest(data): data}
    return needs.load(digest(data), lambda wanted: fetch.get(wanted, vector("needs-bucket.bin")), "here")


def read_record(data: bytes) -> object:
    return SEALER.open(CONTENT, SEALER.chunk_id(CONTENT, REPEATED), data, "here")


def read_slot(data: bytes) -> object:
    slot = slot_from_json(decode_json(data, "here"), "here")
    return slot if slot.cost.memory_kib > 20 << 10 or slot.cost.time > 1 else open_slot(slot, PASSPHRASE)


INDEX_END = 48 + sum(LENGTHS)
DECODERS: dict[str, tuple[bytes, Decode]] = {
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
    "certificate": (LEAF, load_certificate),
    "credential file": (vector("credential-file.json"), lambda d: CredentialFile.read(d, "here")),
    "record": (bytes.fromhex(json.loads(vector("records.json"))["records"][3]["record"]), read_record),
    "segment": (vector("segment.bin"), lambda d: decode_entries(d, "here")),
    "page": (vector("page.bin"), lambda d: decode_page(d, "here")),
    "key slot": (json.dumps(json.loads(vector("slot.json"))["slot"]).encode(), read_slot),
}  # fmt: skip


def altered(whole: bytes) -> st.SearchStrategy[bytes]:
    """`whole` with a few bytes exchanged, taken out, put in or taken from elsewhere in it."""
    place = st.integers(0, len(whole))
    piece = st.binary(max_size=8) | st.builds(lambda a, b: whole[min(a, b) : max(a, b)], place, place)

    def splice(data: bytes, edit: tuple[int, int, bytes]) -> bytes:
        at, length, new = edit
        return data[:at] + new + data[at + length :]

    edits = st.lists(st.tuples(place, st.integers(0, 8), piece), min_size=1, max_size=3)

    def apply(found: list[tuple[int, int, bytes]]) -> bytes:
        data = whole
        for edit in found:
            data = splice(data, edit)
        return data

    return edits.map(apply)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@pytest.mark.parametrize("name", DECODERS)
def test_any_bytes_give_a_value_or_one_error(name: str) -> None:
    whole, decode = DECODERS[name]
    decode(whole)

    @settings(deadline=None, max_examples=60)
    @given(
        data=altered(whole) | st.binary(max_size=200) | st.builds(whole.__getitem__, st.slices(len(whole)))
    )
    def check(data: bytes) -> None:
        try:
            decode(data)
        except OffseedError as error:
            assert error.code in CODES or error.code in RULES
            assert error.subject
            assert error.what

    check()
