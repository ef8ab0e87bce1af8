"""Names: every name we make is valid, lies under its prefix, and nothing that could hurt a file system is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats import layout
from formats.errors import FormatError
from formats.ids import HexDigest, MachineId, SetId, digest
from formats.layout import COMPONENT_MAX, NAME_MAX, PREFIXES, check_name, number_of, numbered
from tests.tables.flaws import outcome

MACHINE = MachineId("5a" * 16)
SET = SetId("c3" * 16)
DIGEST = digest(b"")
HEXED = HexDigest(DIGEST.hex())

MADE = {
    layout.archive_name(DIGEST): f"archives/{HEXED[:2]}/{HEXED}",
    layout.index_name(DIGEST): f"indexes/{HEXED[:2]}/{HEXED}",
    layout.holdings_name(DIGEST): f"holdings/{HEXED[:2]}/{HEXED}",
    layout.need_name(DIGEST): f"needs/{HEXED[:2]}/{HEXED}",
    numbered(layout.manifest_prefix(MACHINE), 1, HEXED): f"manifests/{MACHINE}/0000000001-{HEXED[:32]}",
    numbered(layout.set_prefix(MACHINE), 12, HEXED): f"sets/{MACHINE}/0000000012-{HEXED[:32]}",
    numbered(layout.slot_prefix(MACHINE), 1, HEXED): f"slots/{MACHINE}/0000000001-{HEXED[:32]}",
    numbered(layout.member_prefix(MACHINE), 1, HEXED): f"machines/{MACHINE}/0000000001-{HEXED[:32]}",
    numbered(
        layout.received_prefix(MACHINE, SET, 1000), 0, HEXED
    ): f"disks/{MACHINE}/{SET}-1000/0000000000-{HEXED[:32]}",
    numbered(layout.job_prefix("ab" * 16), 1, HEXED): f"jobs/{'ab' * 16}/0000000001-{HEXED[:32]}",
    numbered("inventories", 10**9, HEXED): f"inventories/1000000000-{HEXED[:32]}",
}


@pytest.mark.parametrize("name", MADE)
def test_every_name_we_make_is_valid_and_as_the_text_says(name: str) -> None:
    assert check_name(name) == name == MADE[name]


def test_a_folder_on_a_disk_is_named_by_set_and_number() -> None:
    assert layout.disk_folder(SET, 7) == f"{SET}-7"


BAD = {
    "nothing": "",
    "a slash": "/",
    "an absolute name": "/archives/ab",
    "a slash at the end": "archives/",
    "two slashes": "archives//ab",
    "a dot": "archives/./ab",
    "two dots": "archives/../label",
    "a hidden file": "archives/.ab",
    "a dash first": "archives/-ab",
    "a dot at the end": "archives/ab.",
    "dots at the end": "archives/ab...",
    "a dot at a folder's end": "archives/ab./cd",
    "a capital": "archives/Ab",
    "a space": "archives/a b",
    "a space at the end": "archives/ab ",
    "an underscore": "archives/a_b",
    "a backslash": "archives/a\\b",
    "a colon": "archives/a:b",
    "a NUL": "archives/a\0",
    "a newline at the end": "archives/ab\n",
    "a letter that is not ASCII": "archives/ä",
    "a digit that is not ASCII": "archives/\u0661",
    "a ligature": "archives/\ufb01",
    "a component too long": "archives/" + "a" * (COMPONENT_MAX + 1),
    "a name too long": "archives/" + "a/" * 96,
}


@pytest.mark.parametrize("flaw", BAD)
def test_every_bad_name_is_refused(flaw: str) -> None:
    with pytest.raises(FormatError) as caught:
        check_name(BAD[flaw])
    assert caught.value.code == "NAME-1"
    assert len(caught.value.subject) <= NAME_MAX


@pytest.mark.parametrize(
    "name", ["archive/ab", "tmp/ab", "x", "archives", "labels", "label/x", "label-1", "labelled"]
)
def test_a_name_under_no_prefix_is_refused(name: str) -> None:
    assert outcome(check_name, name) == (FormatError, "NAME-2")


def test_the_longest_names_are_taken() -> None:
    longest = "a" * COMPONENT_MAX
    assert check_name(f"archives/{longest}")
    exactly = f"archives/{longest}/{longest}/" + "b" * (NAME_MAX - 2 * COMPONENT_MAX - 11)
    assert len(check_name(exactly)) == NAME_MAX
    assert outcome(check_name, exactly + "b") == (FormatError, "NAME-1")


def test_no_prefix_hides_another() -> None:
    for one in PREFIXES:
        for other in PREFIXES:
            assert one is other or not one.path.startswith(other.path)


@pytest.mark.parametrize("prefix", PREFIXES, ids=lambda p: p.path)
def test_every_prefix_takes_names(prefix: layout.Prefix) -> None:
    name = prefix.path + "ab" if prefix.path.endswith("/") else prefix.path
    assert check_name(name) == name


@given(number=st.integers(0, 10**10 - 1))
def test_numbers_come_back_and_sort_as_names_do(number: int) -> None:
    name = numbered("sets/x", number, HEXED)
    assert number_of(name) == number
    assert (name < numbered("sets/x", 5000, HEXED)) == (number < 5000)


@pytest.mark.parametrize(
    "name",
    ["label", "sets/x/1-ab", "sets/x/00000000001-ab", "sets/x/-000000001-ab", "sets/x/000000000x-ab", ""],
)
def test_a_name_without_a_number_has_none(name: str) -> None:
    assert number_of(name) == -1


@given(name=st.text(max_size=30) | st.text("abels/.-A\0\n", max_size=30).map("archives/".__add__))
def test_any_text_is_a_name_or_refused(name: str) -> None:
    try:
        assert check_name(name) == name
    except FormatError as error:
        assert error.code in ("NAME-1", "NAME-2")
    else:
        assert name.isascii()
        assert name == name.lower()
        assert not any(part.startswith(".") or part.endswith(".") or not part for part in name.split("/"))
