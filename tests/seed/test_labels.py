"""A label names its disk to a person and a scanner, for any name of its machine, from facts on the disk alone."""

import io
import re
from xml.etree import ElementTree

import pytest
import zxingcpp
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, ImageFont

from formats.errors import UsageError
from formats.ids import MachineId, SetId, fingerprint
from formats.rules.disk_code import DiskCode, code_of, parse_code
from seed.disks.labels import HEIGHT, QR, WIDTH, PrintedLabel, Sender, label, page, qr, slip
from seed.disks.text_fitting import SMALLEST

MACHINE, SET = MachineId("0123456789abcdef" * 2), SetId("fedcba9876543210" * 2)
SENDER = Sender(MACHINE, "web1", "Backups", "/srv/vault", SET, "Example Ltd")
DISKS = [
    PrintedLabel(n, 3, 1000 * n, 10**12, 1_795_000_000, 0 if n == 2 else 1_795_100_000) for n in (1, 2, 3)
]
SVG = "{http://www.w3.org/2000/svg}"

numbers = st.integers(1, 1000)
ids = st.text("0123456789abcdef", min_size=32, max_size=32)


@given(ids, ids, numbers)
def test_a_code_comes_back_however_it_is_typed(machine: str, disk_set: str, number: int) -> None:
    code = code_of(MachineId(machine), SetId(disk_set), number)
    expected = DiskCode(disk_set, number, MachineId(machine))
    for typed in (code, code.lower(), f" {code[:20]} {code[20:]}\n"):
        assert parse_code(typed) == expected
    assert parse_code(f"{disk_set[:8].upper()}/{number}") == DiskCode(disk_set[:8], number)


@pytest.mark.parametrize("at", range(len(code_of(MACHINE, SET, 12))))
def test_a_slip_of_the_fingers_is_noticed(at: int) -> None:
    code = code_of(MACHINE, SET, 12)
    for wrong in (code[:at] + ("0" if code[at] != "0" else "1") + code[at + 1 :], code[:at] + code[at + 1 :]):
        with pytest.raises(UsageError) as caught:
            parse_code(wrong)
        assert caught.value.code == "code-unreadable"


@given(st.text(max_size=200))
def test_any_text_is_a_code_or_refused(text: str) -> None:
    try:
        parse_code(text)
    except UsageError as error:
        assert error.hint


def test_a_scanner_reads_what_the_datacenter_asks_for() -> None:
    for disk in DISKS:
        picture = io.BytesIO()
        qr(SENDER, disk.number).save(picture, kind="png", scale=4)
        (found,) = zxingcpp.read_barcodes(Image.open(picture))
        assert parse_code(found.text) == DiskCode(SET, disk.number, MACHINE)


def texts(svg: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter(f"{SVG}text"))


def test_a_label_says_which_disk_it_is_and_what_to_do() -> None:
    said = " ".join("".join(text.itertext()) for text in texts(label(SENDER, DISKS[1])))
    for words in (
        "Disk 2 of 3",
        "set fedcba98",
        "web1",
        "Backups",
        fingerprint(MACHINE),
        "fedcba98/2",
        "hand it to: Example Ltd",
    ):
        assert words in said
    assert "not closed" not in said
    open_one = PrintedLabel(2, 0, 0, 0, 0, 0)
    said = " ".join("".join(text.itertext()) for text in texts(label(SENDER, open_one)))
    assert "Disk 2" in said
    assert "of 3" not in said
    assert "not closed yet" in said


FONT = ImageFont.load_default(size=100)


def wide(text: ElementTree.Element) -> float:
    """Return the width of a line: the given one, else the width in a font without serifs."""
    if told := text.get("textLength"):
        return float(told)
    letters = FONT.getlength("".join(text.itertext())) / 100
    return letters * float(text.get("font-size", "")) * (1.1 if text.get("font-weight") == "bold" else 1)


def check_places(svg: str) -> str:
    """Return the text of all lines, and check that each has its place.

    Each line lies within the label, beside the QR code and below the line before it.
    """
    root = ElementTree.fromstring(svg)
    assert root.get("viewBox") == f"0 0 {WIDTH} {HEIGHT}"
    own = [text for text in texts(svg) if text.get("text-anchor") is None]
    above = 0.0
    for text in own:
        y, high = float(text.get("y", "")), float(text.get("font-size", ""))
        right = WIDTH - 3 if y - high > QR + 14 else WIDTH - QR - 3
        assert float(text.get("x", "")) + wide(text) < right
        assert y - 0.75 * high > above, "letters stand on letters"
        above = y
        assert high >= SMALLEST
    assert above < HEIGHT - 3
    return "".join("".join(text.itertext()) for text in own)


@given(
    st.text(st.characters(max_codepoint=0x17F, exclude_categories=["C"]), min_size=1, max_size=63),
    st.text(st.characters(max_codepoint=0x17F, exclude_categories=["C"]), max_size=100),
    st.integers(1, 1000),
)
@example("W" * 63, "M" * 100, 1000)
@example("web1.example.com", "", 1)
def test_every_label_is_whole_and_its_text_fits(name: str, contact: str, number: int) -> None:
    sender = Sender(MACHINE, name, name[:50], "/srv/<vault>&", SET, contact)
    said = check_places(label(sender, PrintedLabel(number, 1000, 1, 1, 1, 1)))
    assert f"of {name}for vault {name[:50]}" in said, "nothing is cut"
    assert contact in said
    assert "…" not in said.replace(name, "").replace(contact, "")


@given(st.text(st.characters(exclude_categories=["C"]), max_size=300), st.integers(1, 1000))
def test_whatever_its_name_is_the_pages_are_whole(name: str, number: int) -> None:
    sender = Sender(MACHINE, name, name[:50], "/srv/<vault>&", SET, name)
    ElementTree.fromstring(label(sender, PrintedLabel(number, 1000, 1, 1, 1, 1)))
    for made in (page(sender, DISKS), slip(sender, DISKS)):
        assert "<script" not in re.sub(re.escape(f"{name}"), "", made).lower()


def test_without_a_contact_the_slip_has_a_line_to_write_the_owner_on() -> None:
    nobody = Sender(MACHINE, "web1", "Backups", "/srv/vault", SET)
    assert "Name, telephone:" in slip(nobody, DISKS)
    assert "Name, telephone:" not in slip(SENDER, DISKS)
    assert "slip" not in check_places(label(nobody, DISKS[0])), "a label promises nothing of another paper"


def test_the_slip_lists_every_disk() -> None:
    made = slip(SENDER, DISKS)
    assert made.count("not read back") == 1
    for disk in DISKS:
        assert f"fedcba98/{disk.number}" in made
    assert "importer receive fedcba98/1 --vault /srv/vault" in made
    assert "Packing slip: 3 backup disks" in made
    assert not re.search(r"(?:src|href)=", made), "nothing is fetched from anywhere"


def test_names_are_told_not_obeyed() -> None:
    sender = Sender(MACHINE, "<script>alert(1)</script>", "a&b", "/srv/vault", SET)
    for made in (label(sender, DISKS[0]), page(sender, DISKS), slip(sender, DISKS)):
        assert "<script>" not in made
        assert "a&b" not in made
