"""Need lists: any list comes back through root and buckets, and every flaw in either has its rule."""

import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.errors import FormatError, IntegrityError
from formats.ids import ArchiveName, Digest, digest
from formats.tables import needs
from formats.tables.holdings import decode_rows
from formats.tables.index import RECORDS_MAX
from formats.tables.needs import (
    BUCKET_ARCHIVES_MAX,
    Buckets,
    Need,
    bitmap,
    decode_bucket,
    decode_root,
    encode,
    load,
)
from tests.effort import examples
from tests.tables.flaws import flips, outcome, patched
from tests.vectors.generate import DATA
from tests.vectors.tables import holding, need

SOME = sorted((need(number) for number in (1, 8, 12)), key=lambda n: n.archive.name)  # 2, 9 and 13 records
ROOT, BUCKETS = encode(SOME)
(BUCKET,) = BUCKETS.values()
ROWS_END = 16 + 3 * 76


def fetcher(objects: Mapping[Digest, bytes]) -> Callable[[Digest], bytes]:
    return objects.__getitem__


def last_bits(needs_: list[Need]) -> int:
    """Return the place in the bucket where the bitmap of nine records ends."""
    at = ROWS_END
    for one in needs_:
        at += len(one.live)
        if one.archive.records == 9:
            return at
    raise AssertionError


def test_the_parts_lie_where_the_text_says() -> None:
    assert ROOT[:16] == b"offsNRT1" + bytes(8)
    assert ROOT[16:] == digest(BUCKET)
    assert BUCKET[:16] == b"offsNBK1" + b"\3" + bytes(7)
    assert BUCKET[ROWS_END:] == b"".join(n.live for n in SOME)
    assert bitmap(10, [0, 9]) == b"\x01\x02"


def test_bits_say_which_records_are_live() -> None:
    one = Need(holding(12), bitmap(13, [0, 7, 8, 12]))
    assert [record for record in range(13) if one.is_live(record)] == [0, 7, 8, 12]
    assert one.live_count() == 4


def test_the_golden_bucket_is_read() -> None:
    found = decode_bucket((DATA / "needs-bucket.bin").read_bytes(), 0, 0, "here")
    assert found[0].archive.records == RECORDS_MAX
    assert found[0].live_count() == 4
    assert found[0].is_live(RECORDS_MAX - 1)
    assert sorted(found[1:], key=lambda n: n.archive.records) == [need(number) for number in range(3)]


def test_the_golden_root_names_several_buckets() -> None:
    data = (DATA / "needs-root.bin").read_bytes()
    root, objects = encode([need(number) for number in range(1500)])
    assert data == root
    assert data[:16] == b"offsNRT1" + b"\1" + bytes(7)
    assert decode_root(data, "here") == list(objects)


ROOT_FLAWS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda d: b"",
    "cut in the head": lambda d: d[:15],
    "only a head": lambda d: d[:16],
    "cut by a byte": lambda d: d[:-1],
    "a stray byte": lambda d: d + b"\0",
    "a stray digest": lambda d: d + bytes(32),
    "another magic": lambda d: patched(d, 0, b"offsNRT2"),
    "bits that ask for more": lambda d: patched(d, 8, b"\1"),
    "too many bits": lambda d: patched(d, 8, b"\x11") + bytes(32 << 17),
    "all bits": lambda d: patched(d, 8, b"\xff"),
    "padding, first byte": lambda d: patched(d, 9, b"\1"),
    "padding, last byte": lambda d: patched(d, 11, b"\x80"),
}


@pytest.mark.parametrize("flaw", ROOT_FLAWS)
def test_every_flaw_of_a_root_is_refused(flaw: str) -> None:
    assert outcome(decode_root, ROOT_FLAWS[flaw](ROOT), "here") == (FormatError, "NEED-1")


def test_the_largest_root_is_read() -> None:
    assert decode_root(b"offsNRT1\x10" + bytes(7) + bytes(32 << 16), "here") == [None] * (1 << 16)


BUCKET_FLAWS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda d: b"", "NEED-2"),
    "cut in the head": (lambda d: d[:15], "NEED-2"),
    "another magic": (lambda d: patched(d, 0, b"offsNBK2"), "NEED-2"),
    "no archives": (lambda d: patched(d, 8, bytes(4)), "NEED-2"),
    "too many archives": (lambda d: patched(d, 8, struct.pack("<I", 1024)), "NEED-2"),
    "very many archives": (lambda d: patched(d, 8, b"\xff" * 4), "NEED-2"),
    "more archives than bytes": (lambda d: patched(d, 8, b"\5"), "NEED-2"),
    "one archive less": (lambda d: patched(d, 8, b"\2"), "NEED-4"),
    "cut in the rows": (lambda d: d[: ROWS_END - 1], "NEED-2"),
    "a stray byte": (lambda d: d + b"\0", "NEED-2"),
    "without bitmaps": (lambda d: d[:ROWS_END], "NEED-4"),
    "cut by a byte": (lambda d: d[:-1], "NEED-4"),
    "a bit beyond the last record": (lambda d: patched(d, last_bits(SOME) - 1, b"\2"), "NEED-4"),
    "the highest bit": (lambda d: patched(d, last_bits(SOME) - 1, b"\x80"), "NEED-4"),
    "rows exchanged": (lambda d: d[:16] + d[92:168] + d[16:92] + d[168:], "HOLD-1"),
    "a row twice": (lambda d: d[:16] + d[16:92] + d[16:92] + d[168:], "HOLD-1"),
    "a class of the future": (lambda d: patched(d, 16 + 72, b"\3"), "HOLD-2"),
    "no records": (lambda d: patched(d, 16 + 68, bytes(4)), "HOLD-2"),
    "row padding": (lambda d: patched(d, ROWS_END - 1, b"\1"), "HOLD-2"),
}


@pytest.mark.parametrize("flaw", BUCKET_FLAWS)
def test_every_flaw_of_a_bucket_is_refused_by_its_rule(flaw: str) -> None:
    change, anchor = BUCKET_FLAWS[flaw]
    assert outcome(decode_bucket, change(BUCKET), 0, 0, "here") == (FormatError, anchor)


def test_an_archive_in_the_wrong_bucket_is_refused() -> None:
    one = replace(SOME[0], archive=replace(SOME[0].archive, name=ArchiveName(b"\x60" + bytes(31))))
    _, objects = encode([one])
    (data,) = objects.values()
    for bits, right in ((0, 0), (1, 0), (2, 1), (3, 3), (16, 0x6000)):
        assert decode_bucket(data, right, bits, "here") == [one]
        for wrong in {0, 1, (1 << bits) - 1} - {right}:
            assert outcome(decode_bucket, data, wrong, bits, "here") == (
                FormatError,
                "NEED-3",
            )


def test_a_bucket_under_two_numbers_is_refused() -> None:
    """Refuse a root that names one good bucket everywhere: archives would be counted twice."""
    root = b"offsNRT1\1" + bytes(7) + digest(BUCKET) * 2
    objects = {digest(root): root, digest(BUCKET): BUCKET}
    assert outcome(load, digest(root), fetcher(objects), "here") == (FormatError, "NEED-3")


def test_every_flipped_bit_changes_what_is_read_or_is_refused() -> None:
    """Notice each flipped bit, except in the salts, which carry no data."""
    for _, data in flips(BUCKET):
        if data[12:16] != BUCKET[12:16]:
            assert decode_bucket(data, 0, 0, "here") == SOME
            continue
        try:
            assert decode_bucket(data, 0, 0, "here") != SOME
        except FormatError as error:
            assert error.code in ("NEED-2", "NEED-4", "HOLD-1", "HOLD-2")
    for _, data in flips(ROOT):
        if data[12:16] != ROOT[12:16]:
            assert decode_root(data, "here") == [digest(BUCKET)]
            continue
        try:
            assert decode_root(data, "here") != [digest(BUCKET)]
        except FormatError as error:
            assert error.code == "NEED-1"


def test_objects_that_are_to_be_avoided_are_told_apart_by_their_salt() -> None:
    avoided: set[bytes] = set()
    for _ in range(3):
        root, buckets = encode(SOME, avoided.__contains__)
        assert avoided.isdisjoint({digest(root), *buckets})
        assert load(digest(root), fetcher({digest(root): root, **buckets}), "here") == SOME
        avoided |= {digest(root), *buckets}


def numbered(count: int, spread: int = 1) -> list[Need]:
    """Return `count` archives with names that begin with ascending numbers, `spread` apart."""
    first = need(1)
    return [
        replace(
            first,
            archive=replace(first.archive, name=ArchiveName((n * spread).to_bytes(4, "big") + bytes(28))),
        )
        for n in range(count)
    ]


@pytest.mark.parametrize(
    ("count", "bits"), [(0, 0), (1, 0), (1023, 0), (1024, 1), (2046, 1), (2047, 2), (5000, 3)]
)
def test_bits_are_the_fewest_that_keep_the_buckets_small(count: int, bits: int) -> None:
    listed = numbered(count, spread=(1 << 32) // max(count, 1) + 1)
    root, objects = encode(listed[::-1])
    assert root[8] == bits
    assert load(digest(root), fetcher({digest(root): root, **objects}), "here") == listed


def test_names_that_crowd_together_leave_empty_buckets() -> None:
    listed = numbered(BUCKET_ARCHIVES_MAX + 1, spread=1 << 15)  # all below 2^25
    root, objects = encode(listed)
    digests = decode_root(root, "here")
    assert root[8] == 8
    assert [d is None for d in digests] == [False, False] + [True] * 254
    assert load(digest(root), fetcher({digest(root): root, **objects}), "here") == listed


def test_points_share_the_buckets_in_which_nothing_changed() -> None:
    before = [need(number) for number in range(4000)]
    _, old = encode(before)
    _, new = encode([*before, need(4000)])
    assert len(old) == len(new) == 4 or len(old) == len(new) == 8
    assert len(old.keys() & new.keys()) == len(old) - 1


def test_a_bucket_that_points_share_is_read_and_kept_once() -> None:
    """Read such a bucket once: otherwise a small vault of many points would fill the reader's memory."""
    before = [need(number) for number in range(4000)]
    roots: list[bytes] = []
    objects: dict[Digest, bytes] = {}
    for listed in (before, [*before, need(4000)]):
        root, buckets = encode(listed)
        roots.append(root)
        objects |= {digest(root): root, **buckets}
    fetched: list[Digest] = []

    def fetch(wanted: Digest) -> bytes:
        fetched.append(wanted)
        return objects[wanted]

    known: Buckets = {}
    first, second = (load(digest(root), fetch, "here", known) for root in roots)
    assert (len(first), len(second)) == (4000, 4001)
    assert sorted(fetched) == sorted({digest(r) for r in roots} | set(objects))
    assert len({id(n) for n in (*first, *second)}) < 5000


def test_what_fetch_refuses_is_refused() -> None:
    def fetch(wanted: Digest) -> bytes:
        raise IntegrityError("object-damaged", "damaged", subject=wanted.hex())

    assert outcome(load, digest(ROOT), fetch, "here") == (IntegrityError, "object-damaged")


@settings(max_examples=examples(60))
@given(data=st.data(), numbers=st.sets(st.integers(0, 5000), max_size=20))
def test_what_was_written_comes_back(data: st.DataObject, numbers: set[int]) -> None:
    written = []
    for number in numbers:
        archive = holding(number)
        live = data.draw(st.sets(st.integers(0, archive.records - 1)))
        written.append(Need(archive, bitmap(archive.records, sorted(live))))
        assert written[-1].live_count() == len(live)
    root, objects = encode(written)
    found = load(digest(root), fetcher({digest(root): root, **objects}), "here")
    assert found == sorted(written, key=lambda n: n.archive.name)
    assert needs.encode(found) == (root, objects)


def test_the_rows_of_many_lists_are_read_once_a_bucket() -> None:
    """Read shared buckets once; a damaged list still counts by its other buckets."""
    lists = [[need(number) for number in range(1 + one, 1500 + one)] for one in range(3)]
    encoded = [encode(found) for found in lists]
    objects = {found: data for _, buckets in encoded for found, data in buckets.items()}
    objects |= {digest(root): root for root, _ in encoded}
    fetched: list[Digest] = []

    def fetch(wanted: Digest) -> bytes:
        fetched.append(wanted)
        return objects[wanted]

    rows, known = set[bytes](), set[Digest]()
    for root, _ in encoded:
        needs.add_rows(digest(root), fetch, "needs", rows, known)
    expected = {one.archive for found in lists for one in found}
    assert decode_rows(b"".join(sorted(rows)), "needs") == sorted(expected, key=lambda one: one.name)
    assert len(fetched) == len({*fetched}) == len(objects)


@given(st.binary(max_size=200))
def test_rows_of_any_bytes_are_whole_or_refused(data: bytes) -> None:
    rows = set[bytes]()
    for bucket in (data, BUCKET[:8] + data, BUCKET[: len(data)]):
        objects = {digest(ROOT): ROOT, digest(BUCKET): bucket}
        with suppress(FormatError):
            needs.add_rows(digest(ROOT), fetcher(objects), "needs", rows, set())
    assert {len(row) for row in rows} <= {76}
