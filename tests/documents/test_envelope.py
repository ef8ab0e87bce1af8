"""DSSE envelopes: the signed bytes are read under their own type, and no signature replaces another."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st

from formats.documents import envelope
from formats.documents.codec import Document
from formats.documents.disk import Inventory, Label
from formats.documents.envelope import SIZE_MAX, Envelope, Signature, key_name, pae, raw_public
from formats.documents.vault import Request
from formats.errors import FormatError, IntegrityError, OffseedError
from formats.ids import hex_digest
from formats.untrusted import DOCUMENT_SIZE_MAX, Json, encode_json
from tests.tables.flaws import Outcome, flips, outcome
from tests.vectors.documents import (
    AUTHORITY_KEY,
    CREDENTIAL_KEY,
    LABEL,
    MACHINE_KEY,
    PUBLIC_KEY,
    REQUEST,
    samples,
    signed,
    signer,
)
from tests.vectors.generate import DATA
from tests.vectors.keyed import MASTER

GOLDEN = json.loads((DATA / "documents.json").read_bytes())
SAMPLES = samples()
DATA_OF_LABEL = envelope.sign(LABEL, MACHINE_KEY)
OTHER_KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
WRONG = (IntegrityError, "signature-wrong")
NOT_JSON = (FormatError, "DOC-1")
MISFORMED = (FormatError, "DOC-2")
OTHER_KIND = (FormatError, "ENV-2")


def verified(data: bytes, kind: type[Document] = Label, *keys: bytes) -> Document:
    return envelope.read(data, "here").verify(kind, *(keys or (PUBLIC_KEY,)))


def parts(data: bytes = DATA_OF_LABEL) -> Envelope:
    return envelope.read(data, "here").envelope


def packed(some: Envelope) -> bytes:
    return encode_json(some.to_json())


@pytest.mark.parametrize("kind", GOLDEN)
def test_the_golden_documents_verify(kind: str) -> None:
    golden = GOLDEN[kind]
    read = envelope.read(golden["envelope"].encode(), kind)
    document = read.verify(type(SAMPLES[kind]), *map(bytes.fromhex, golden["signed by"]))
    assert document == SAMPLES[kind]
    assert document.to_json() == golden["document"]
    assert read.digest == golden["digest"] == hex_digest(read.data)


@pytest.mark.parametrize("kind", SAMPLES)
def test_no_kind_passes_for_another(kind: str) -> None:
    data = signed(SAMPLES[kind])
    for other, document in SAMPLES.items():
        if other != kind:
            assert outcome(verified, data, type(document), raw_public(signer(kind))) == OTHER_KIND


def test_the_encoding_is_that_of_dsse() -> None:
    """Encode the example of the DSSE protocol page, and count lengths in bytes, not characters."""
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert pae("é", b"") == "DSSEv1 2 é 0 ".encode()


def test_an_envelope_is_written_in_the_one_encoding() -> None:
    payload = base64.b64encode(encode_json(LABEL.to_json())).decode()
    message = pae("application/vnd.offseed.label.v1+json", encode_json(LABEL.to_json()))
    expected: Json = {
        "payload": payload,
        "payloadType": "application/vnd.offseed.label.v1+json",
        "signatures": [{"keyid": LABEL.machine, "sig": base64.b64encode(MACHINE_KEY.sign(message)).decode()}],
    }
    assert encode_json(expected) == DATA_OF_LABEL


def with_payload(change: Callable[[bytes], bytes], *, sign: bool = False) -> bytes:
    """Return the label's envelope around another payload; with `sign` the machine signs it anew."""
    some = replace(parts(), payload=change(parts().payload))
    if sign:
        tag = MACHINE_KEY.sign(pae(some.payloadType, some.payload))
        some = replace(some, signatures=(Signature(keyid=LABEL.machine, sig=tag),))
    return packed(some)


def with_signatures(*found: Signature) -> bytes:
    return packed(replace(parts(), signatures=found))


GOOD = parts().signatures[0]
BROKEN = replace(GOOD, sig=bytes(64))
STRANGER = Signature(keyid=key_name(raw_public(OTHER_KEY)), sig=OTHER_KEY.sign(b""))
AS_INVENTORY = MACHINE_KEY.sign(pae(Inventory.payload_type(), parts().payload))


def member(name: str, value: Json) -> bytes:
    return encode_json({**parts().to_json(), name: value})


FLAWS: dict[str, tuple[bytes, Outcome]] = {
    "nothing": (b"", NOT_JSON),
    "a list": (b"[]", MISFORMED),
    "too large": (b" " * (SIZE_MAX - len(DATA_OF_LABEL) + 1) + DATA_OF_LABEL, NOT_JSON),
    "a tail": (DATA_OF_LABEL + b"\0", NOT_JSON),
    "cut": (DATA_OF_LABEL[:-1], NOT_JSON),
    "two in one": (DATA_OF_LABEL * 2, NOT_JSON),
    "a member twice": (b'{"payload":"",' + DATA_OF_LABEL[1:], NOT_JSON),
    "no payload": (encode_json({n: v for n, v in parts().to_json().items() if n != "payload"}), MISFORMED),
    "a payload that is no base64": (member("payload", "{}"), MISFORMED),
    "a payload in other base64": (member("payload", "AB=="), MISFORMED),
    "a payload too large": (member("payload", base64.b64encode(bytes(DOCUMENT_SIZE_MAX + 1)).decode()), MISFORMED),
    "no type": (encode_json({n: v for n, v in parts().to_json().items() if n != "payloadType"}), MISFORMED),
    "another type": (member("payloadType", Inventory.payload_type()), OTHER_KIND),
    "a type in capitals": (member("payloadType", Label.payload_type().upper()), OTHER_KIND),
    "a type of another version": (member("payloadType", Label.payload_type().replace("v1", "v2")), OTHER_KIND),
    "no signature": (with_signatures(), WRONG),
    "five signatures": (with_signatures(*[GOOD] * 5), MISFORMED),
    "a broken signature": (with_signatures(BROKEN), WRONG),
    "a signature cut": (with_signatures(replace(GOOD, sig=GOOD.sig[:-1])), WRONG),
    "an empty signature": (with_signatures(replace(GOOD, sig=b"")), WRONG),
    "a signature too long": (with_signatures(replace(GOOD, sig=bytes(129))), MISFORMED),
    "a good signature under another key's name": (with_signatures(replace(GOOD, keyid=STRANGER.keyid)), WRONG),
    "a stranger's signature": (envelope.sign(LABEL, OTHER_KEY), WRONG),
    "a stranger's under the machine's name": (with_signatures(replace(STRANGER, keyid=GOOD.keyid)), WRONG),
    "the authority's signature": (envelope.sign(LABEL, AUTHORITY_KEY), WRONG),
    "a signature for another kind": (with_signatures(replace(GOOD, sig=AS_INVENTORY)), WRONG),
    "a signature over the bare payload": (with_signatures(replace(GOOD, sig=MACHINE_KEY.sign(parts().payload))), WRONG),
    "a keyid in capitals": (with_signatures(replace(GOOD, keyid=GOOD.keyid.upper())), MISFORMED),
    "an edited payload": (with_payload(lambda p: p.replace(b"north-hall", b"south-hall")), WRONG),
    "a payload with white space": (with_payload(lambda p: p + b" "), WRONG),
    "no JSON, signed": (with_payload(lambda p: b"hello", sign=True), NOT_JSON),
    "no label, signed": (with_payload(lambda p: b"{}", sign=True), MISFORMED),
    "a float, signed": (with_payload(lambda p: p.replace(b'"number":1', b'"number":1.0'), sign=True), NOT_JSON),
    "a critical member, signed": (
        with_payload(lambda p: p[:-1] + b',"critical":["later"]}', sign=True),
        (FormatError, "DOC-4"),
    ),
    "a critical member of the envelope": (member("critical", ["later"]), (FormatError, "DOC-4")),
}  # fmt: skip


@pytest.mark.parametrize("flaw", FLAWS)
def test_every_flaw_is_refused_by_its_rule(flaw: str) -> None:
    data, expected = FLAWS[flaw]
    assert outcome(verified, data) == expected


LIKE_GOOD: dict[str, bytes] = {
    "the signature twice": with_signatures(GOOD, GOOD),
    "four times": with_signatures(*[GOOD] * 4),
    "a broken one first": with_signatures(BROKEN, GOOD),
    "a broken one last": with_signatures(GOOD, BROKEN),
    "a stranger's beside it": with_signatures(STRANGER, GOOD),
    "an unknown member": member("later", {"x": 1}),
    "white space": DATA_OF_LABEL.replace(b",", b" ,\n"),
}


@pytest.mark.parametrize("case", LIKE_GOOD)
def test_nobody_without_a_key_makes_another_digest_of_a_document(case: str) -> None:
    """Refuse every change outside the signed bytes, too: readers tell documents apart by their digests."""
    assert outcome(verified, LIKE_GOOD[case]) in ((FormatError, "ENV-1"), (IntegrityError, "signature-wrong"))


def test_a_payload_is_what_its_signer_made_it() -> None:
    assert verified(with_payload(lambda p: p.replace(b",", b", "), sign=True)) == LABEL


def test_what_was_signed_may_hold_members_of_the_future() -> None:
    data = with_payload(lambda p: p[:-1] + b',"later":[1]}', sign=True)
    label = verified(data)
    assert label.extra == {"later": [1]}
    assert envelope.sign(label, MACHINE_KEY) != DATA_OF_LABEL
    assert verified(envelope.sign(label, MACHINE_KEY)) == label


def test_a_look_before_verification_keeps_to_the_kind() -> None:
    read = envelope.read(FLAWS["a broken signature"][0], "here")
    assert read.peek(Label) == LABEL
    assert outcome(read.peek, Inventory) == OTHER_KIND


def test_every_key_that_must_sign_must_have_signed() -> None:
    data = signed(REQUEST)
    credential, proof = raw_public(CREDENTIAL_KEY), raw_public(MASTER.proof)
    assert verified(data, Request, PUBLIC_KEY, credential, proof) == REQUEST
    some = parts(data)
    for rest in some.signatures:
        only = packed(replace(some, signatures=(rest,)))
        assert outcome(verified, only, Request, PUBLIC_KEY, credential) == WRONG
    turned = envelope.sign(REQUEST, MASTER.proof, CREDENTIAL_KEY, MACHINE_KEY)
    assert verified(turned, Request, PUBLIC_KEY, credential, proof) == REQUEST
    assert outcome(verified, data, Request, PUBLIC_KEY, credential, raw_public(OTHER_KEY)) == WRONG


@pytest.mark.parametrize(
    "key", [b"", bytes(31), bytes(33), bytes(65), b"\4" + bytes(64), b"\2" + bytes(32), bytes(32)]
)
def test_a_key_that_is_none_verifies_nothing(key: bytes) -> None:
    for sig in (bytes(64), b"", GOOD.sig):
        data = with_signatures(Signature(keyid=key_name(key), sig=sig))
        if key == bytes(32) and sig == bytes(64):
            continue  # a key of small order: a machine that names it as its own signs for itself alone
        assert outcome(verified, data, Label, key) == WRONG


def test_every_flipped_bit_is_noticed() -> None:
    for at, data in flips(DATA_OF_LABEL):
        assert outcome(verified, data) in (NOT_JSON, MISFORMED, OTHER_KIND, WRONG), at


@given(data=st.data(), kind=st.sampled_from(sorted(SAMPLES)))
def test_any_alteration_is_read_as_it_was_or_refused(data: st.DataObject, kind: str) -> None:
    whole = signed(SAMPLES[kind])
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 40)))
    new = data.draw(
        st.binary(max_size=40) | st.sampled_from([whole[:start], whole[end:], b"{}", b'""', b"[]"])
    )
    try:
        document = verified(whole[:start] + new + whole[end:], type(SAMPLES[kind]), raw_public(signer(kind)))
    except OffseedError as error:
        assert (type(error), error.code) in (
            NOT_JSON, MISFORMED, OTHER_KIND, WRONG, (FormatError, "DOC-4"), (FormatError, "ENV-1"),
        )  # fmt: skip
    else:
        assert document == SAMPLES[kind]
