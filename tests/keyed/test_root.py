"""The sealed root: it opens under its key alone, and any difference from the manifest's open part is refused."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.documents.manifest import ROOT_MAX, Manifest
from formats.errors import FormatError, IntegrityError, OffseedError
from formats.ids import HexDigest, MachineId, PointId
from formats.keyed.aead import Xaes256Gcm
from formats.keyed.chunking import CHUNK_MAX, USUAL
from formats.keyed.keys import MasterKey
from formats.keyed.root import AAD, PointRoot, clear_digest, open_root, seal_root
from formats.untrusted import Json, encode_json
from tests.tables.flaws import Outcome, flips, outcome
from tests.vectors.documents import MANIFEST, root_of, with_root
from tests.vectors.generate import DATA
from tests.vectors.keyed import MASTER

GOLDEN = json.loads((DATA / "root.json").read_bytes())
WHOLE = with_root(MANIFEST)
BROKEN = (IntegrityError, "seal-broken")
DIFFERS = (IntegrityError, "root-differs")


def opened(manifest: Manifest, master: MasterKey = MASTER) -> PointRoot:
    return open_root(master, manifest, "here")


def sealed(data: bytes) -> Manifest:
    """Return the manifest with other bytes in its seal."""
    return replace(MANIFEST, root=Xaes256Gcm(MASTER.seal).seal(data, AAD + MASTER.key_id))


def test_the_golden_root_opens() -> None:
    manifest = Manifest.from_json(GOLDEN["manifest"], "manifest")
    assert manifest == WHOLE
    assert manifest.root.hex() == GOLDEN["sealed"]
    root = opened(manifest)
    assert root.to_json() == GOLDEN["root"]
    assert root == root_of(MANIFEST)


def test_the_clear_part_is_all_but_the_root() -> None:
    assert clear_digest(WHOLE) == clear_digest(MANIFEST) == GOLDEN["root"]["clear"]
    read = Manifest.from_json({**WHOLE.to_json(), "later": 1}, "manifest")
    assert clear_digest(read) != clear_digest(WHOLE)


EDITS: dict[str, dict[str, Any]] = {
    "point": {"point": PointId("91" * 16)},
    "revision": {"revision": 2},
    "machine": {"machine": MachineId("00" * 16)},
    "machine_name": {"machine_name": "other"},
    "vault": {"vault": "00" * 16},
    "key_id": {"key_id": "00" * 16},
    "sequence": {"sequence": 2},
    "previous": {"previous": HexDigest("00" * 32)},
    "created": {"created": 1},
    "point_kind": {"point_kind": "partial"},
    "set": {"set": None},
    "totals": {"totals": replace(MANIFEST.totals, files=2)},
    "needs": {"needs": HexDigest("00" * 32)},
    "an unknown member": {"extra": {"later": 1}},
}


@pytest.mark.parametrize("name", EDITS)
def test_every_edit_of_the_open_part_is_noticed(name: str) -> None:
    """Notice an edit even by a signer with the machine's key, or a thief of it: the root differs."""
    assert outcome(opened, replace(WHOLE, **EDITS[name])) == DIFFERS


def test_every_member_of_the_manifest_was_edited_above() -> None:
    assert MANIFEST.to_json().keys() | {"previous"} == EDITS.keys() - {"an unknown member"} | {"root"}


def test_the_machine_is_that_of_the_key() -> None:
    """Refuse the manifest even if the digest of the open part is right: each of the two rules is enough."""
    edited = replace(WHOLE, machine=MachineId("00" * 16))
    root = replace(root_of(WHOLE), clear=clear_digest(edited))
    assert outcome(opened, with_root(edited, root)) == DIFFERS


def test_a_root_of_another_manifest_is_refused() -> None:
    other = with_root(replace(MANIFEST, sequence=2))
    assert outcome(opened, replace(WHOLE, root=other.root)) == DIFFERS
    assert opened(other).clear == clear_digest(other)


def test_another_key_opens_nothing() -> None:
    assert outcome(opened, WHOLE, MasterKey(bytes(32))) == BROKEN
    assert outcome(opened, with_root(MANIFEST, master=MasterKey(bytes(32)))) == BROKEN


def test_every_flipped_bit_cut_and_tail_of_the_seal_is_noticed() -> None:
    for _, data in flips(WHOLE.root):
        assert outcome(opened, replace(WHOLE, root=data)) == BROKEN
    for data in (b"", WHOLE.root[:39], WHOLE.root[:-1], WHOLE.root[1:], WHOLE.root + b"\0"):
        assert outcome(opened, replace(WHOLE, root=data)) == BROKEN


def with_member(name: str, value: Json) -> bytes:
    return encode_json({**root_of(MANIFEST).to_json(), name: value})


INSIDE: dict[str, tuple[bytes, Outcome]] = {
    "nothing": (b"", (FormatError, "DOC-1")),
    "no JSON": (b"root", (FormatError, "DOC-1")),
    "a list": (b"[]", (FormatError, "DOC-2")),
    "no members": (b"{}", (FormatError, "DOC-2")),
    "a page that is no id": (with_member("pages", ["00"]), (FormatError, "DOC-2")),
    "too many pages": (with_member("pages", ["00" * 32] * 601), (FormatError, "DOC-2")),
    "a critical member": (with_member("critical", ["later"]), (FormatError, "DOC-4")),
    "another digest": (with_member("clear", "00" * 32), DIFFERS),
}


BAD_CHUNKING = [
    {"min_size": (4 << 10) - 1},
    {"max_size": CHUNK_MAX + 1},
    {"min_size": 1 << 20},
    {"mean_size": 4 << 20},
    {"bundle_size": (4 << 20) + 1},
    {"bundle_size": 4095, "small_file_max": 0},
    {"small_file_max": (1 << 20) + 1},
]


@pytest.mark.parametrize("members", BAD_CHUNKING)
def test_parameters_out_of_bounds_are_refused(members: dict[str, int]) -> None:
    chunking: Json = {**USUAL.to_json(), **members}
    assert outcome(opened, sealed(with_member("chunking", chunking))) == (FormatError, "ROOT-4")


@pytest.mark.parametrize("flaw", INSIDE)
def test_every_flaw_inside_the_seal_has_its_rule(flaw: str) -> None:
    data, expected = INSIDE[flaw]
    assert outcome(opened, sealed(data)) == expected


def test_the_largest_root_fits_into_a_manifest() -> None:
    pages = tuple(f"{number:064x}" for number in range(600))
    root = seal_root(MASTER, replace(root_of(MANIFEST), pages=pages))
    assert len(root) <= ROOT_MAX
    assert opened(replace(WHOLE, root=root)).pages == pages


def test_roots_are_sealed_differently_each_time() -> None:
    assert seal_root(MASTER, root_of(MANIFEST)) != seal_root(MASTER, root_of(MANIFEST))


@given(data=st.binary(max_size=200) | st.text('{}[]":,pages0', max_size=60).map(str.encode))
def test_any_bytes_inside_the_seal_give_an_error_of_ours(data: bytes) -> None:
    try:
        opened(sealed(data))
    except OffseedError as error:
        assert error.code in ("DOC-1", "DOC-2", "DOC-4", "root-differs")
    else:
        raise AssertionError
