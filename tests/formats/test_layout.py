"""Names: every name that we make has the whole shape of its row, and nothing else is a name."""

import inspect
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats import layout
from formats.errors import FormatError
from formats.ids import HexDigest, MachineId, SetId, digest
from formats.layout import (
    COMPONENT_MAX,
    NAME_MAX,
    PREFIXES,
    check_folder,
    check_name,
    is_folder,
    is_name,
    number_of,
    numbered,
)
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
    numbered(layout.manifest_prefix(MACHINE), 1, HEXED): f"manifests/{MACHINE}/0000000001-{HEXED}",
    numbered(layout.set_prefix(MACHINE), 12, HEXED): f"sets/{MACHINE}/0000000012-{HEXED}",
    numbered(layout.slot_prefix(MACHINE), 1, HEXED): f"slots/{MACHINE}/0000000001-{HEXED}",
    numbered(layout.member_prefix(MACHINE), 1, HEXED): f"machines/{MACHINE}/0000000001-{HEXED}",
    numbered(
        layout.received_prefix(MACHINE, SET, 1000), 0, HEXED
    ): f"disks/{MACHINE}/{SET}-1000/0000000000-{HEXED}",
    numbered(layout.job_prefix("ab" * 16), 1, HEXED): f"jobs/{'ab' * 16}/0000000001-{HEXED}",
    numbered("inventories", 10**9, HEXED): f"inventories/1000000000-{HEXED}",
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


def test_no_name_is_longer_than_names_may_be() -> None:
    longest = numbered(layout.received_prefix(MACHINE, SET, 9999), 10**10 - 1, HEXED)
    assert len(check_name(longest)) < NAME_MAX
    assert max(map(len, longest.split("/"))) < COMPONENT_MAX
    assert outcome(check_name, longest + "/a" * ((NAME_MAX - len(longest)) // 2 + 1)) == (
        FormatError,
        "NAME-1",
    )


def test_no_prefix_hides_another() -> None:
    for one in PREFIXES:
        for other in PREFIXES:
            assert one is other or not one.path.startswith(other.path)


IDS = st.binary(min_size=16, max_size=16).map(bytes.hex)
DIGESTS = st.binary(min_size=32, max_size=32)
NUMBERS = st.integers(0, 10**10 - 1)
DISKS = st.integers(1, 9999)


def of_machine(prefix: Callable[[MachineId], str]) -> st.SearchStrategy[str]:
    return under(IDS.map(MachineId).map(prefix))


def of_disk(prefix: Callable[[MachineId, SetId, int], str]) -> st.SearchStrategy[str]:
    return st.builds(prefix, IDS.map(MachineId), IDS.map(SetId), DISKS)


def under(prefixes: st.SearchStrategy[str], number: int | None = None) -> st.SearchStrategy[str]:
    numbers = NUMBERS if number is None else st.just(number)
    return st.builds(numbered, prefixes, numbers, DIGESTS.map(bytes.hex).map(HexDigest))


# The names that our functions make, for each row of the table.
MAKERS = {
    "archives/": DIGESTS.map(layout.archive_name),
    "indexes/": DIGESTS.map(layout.index_name),
    "needs/": DIGESTS.map(layout.need_name),
    "manifests/": of_machine(layout.manifest_prefix),
    "sets/": of_machine(layout.set_prefix),
    "abandonments/": under(st.builds(layout.abandonment_prefix, IDS.map(MachineId), IDS.map(SetId))),
    "slots/": of_machine(layout.slot_prefix),
    "requests/": under(st.just("requests"), 1),
    "label": st.just("label"),
    "holdings/": DIGESTS.map(layout.holdings_name),
    "inventories/": under(st.just("inventories")),
    "descriptor/": under(st.just("descriptor")),
    "credentials/": under(st.just("credentials")),
    "machines/": of_machine(layout.member_prefix),
    "disks/": under(of_disk(layout.received_prefix)),
    "shipments/": under(st.builds(layout.shipment_prefix, IDS.map(SetId), DISKS))
    | under(st.builds(layout.shipment_prefix, IDS.map(SetId)), 1),
    "custody/": st.builds(layout.custody_name, of_disk(layout.custody_prefix), NUMBERS),
    "jobs/": under(IDS.map(layout.job_prefix)),
    "validations/": under(st.just("validations")),
    "wants/": under(IDS.map(layout.wants_prefix)),
    "replacements/": under(st.just(layout.REPLACEMENTS)) | of_machine(layout.offers_prefix),
    "policies/": of_machine(layout.policy_prefix),
    "terms/": of_machine(layout.terms_prefix),
    "condemned/": under(st.just(layout.CONDEMNED)),
    "sweeps/": under(st.just(layout.SWEEPS)),
    "registers/": of_machine(layout.register_prefix) | under(st.just(layout.register_prefix("vault"))),
    "copies/": st.one_of(
        of_machine(layout.member_prefix),
        of_machine(layout.terms_prefix),
        of_machine(layout.manifest_prefix),
        of_machine(layout.slot_prefix),
        of_machine(layout.register_prefix),
        under(st.just("descriptor")),
        under(st.just("registers/vault")),
    ).map(layout.copy_name),
    "parity/": DIGESTS.map(lambda found: layout.archive_name(found).replace("archives", "parity")),
}
BELOW = {row.path: row.below for row in PREFIXES}
ROWS = pytest.mark.parametrize("path", MAKERS)


def test_each_row_has_names_that_we_make_and_each_name_function_is_tried() -> None:
    assert list(MAKERS) == [row.path for row in PREFIXES]
    functions = [
        name
        for name, function in inspect.getmembers(layout, inspect.isfunction)
        if function.__module__ == layout.__name__ and name.endswith(("_name", "_prefix"))
    ]
    tried = inspect.getsource(inspect.getmodule(of_machine) or layout)
    assert [name for name in functions if not re.search(rf"layout\.{name}\b", tried)] == [
        "check_name",
        "is_name",
    ]


@ROWS
@given(data=st.data())
def test_every_name_that_we_make_has_the_shape_of_its_row(path: str, data: st.DataObject) -> None:
    name = data.draw(MAKERS[path])
    assert check_name(name) == name
    assert layout.row_of(name).path == path
    folder = name
    while folder := folder.rpartition("/")[0]:
        assert check_folder(folder) == folder
        assert not is_name(folder)
    assert not is_folder(name)


def neighbours(name: str) -> dict[str, str]:
    """Return names that differ from `name` as little as a file system or an attacker can make them."""
    found = {
        "a digit less": name[:-1],
        "a digit more": f"{name}0",
        "a further component": f"{name}/0",
        "a slash at the end": f"{name}/",
        "an empty component": f"/{name}",
        "a component before it": f"archives/{name}",
        "a newline at the end": f"{name}\n",
        "an end as of a copy": f"{name}.tmp",
        "another letter": f"{name[:-1]}g",
        "a digit that is not ASCII": f"{name[:-1]}\u0661",
        "upper case": name.upper(),
        "its folder alone": name.rpartition("/")[0],
    }
    for place, part in enumerate(parts := name.split("/")):
        for what, other in (("less", part[1:]), ("more", f"0{part}")):
            found[f"a digit {what} in component {place}"] = "/".join(
                [*parts[:place], other, *parts[place + 1 :]]
            )
    for place, letter in enumerate(name):
        if letter == "-":
            found[f"another mark than the dash at {place}"] = f"{name[:place]}.{name[place + 1 :]}"
    return found


@ROWS
@given(data=st.data())
def test_what_differs_a_little_from_a_name_is_none(path: str, data: st.DataObject) -> None:
    name = data.draw(MAKERS[path])
    for flaw, other in neighbours(name).items():
        assert not is_name(other), flaw
        assert outcome(check_name, other)[1] in ("NAME-1", "NAME-2")


@given(name=st.one_of([maker for row, maker in MAKERS.items() if "<dd>" in BELOW[row]]))
def test_a_name_in_the_wrong_folder_of_the_fan_is_none(name: str) -> None:
    prefix, fan, digest_ = name.split("/")
    wrong = f"{(int(fan, 16) + 1) % 256:02x}"
    assert not is_name(f"{prefix}/{wrong}/{digest_}")
    assert is_folder(f"{prefix}/{wrong}")


@pytest.mark.parametrize(
    "name", ["disks/abc", "archives/x", "manifests/a/b", "jobs/a", "custody/a/b/c", "parity/x"]
)
def test_junk_below_a_prefix_is_no_name(name: str) -> None:
    assert outcome(check_name, name) == (FormatError, "NAME-2")


@pytest.mark.parametrize(
    "path", ["", "tmp", "label", "archives/a", "archives/AB", "archives/ab/cd", "set-aside", "jobs/a"]
)
def test_what_is_no_folder_of_ours_is_refused(path: str) -> None:
    assert not is_folder(path)
    assert outcome(check_folder, path)[0] is FormatError


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
