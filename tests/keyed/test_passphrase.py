"""Passphrases: one normal form, honest refusals, generated ones that pass."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.errors import UsageError
from formats.keyed.passphrase import check, generate, normalise, readings


def refusal(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        check(text)
    assert caught.value.hint
    return caught.value.code


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", b"plain"),
        ("line\n", b"line"),
        ("line\r\n", b"line"),
        ("lines\n\n", b"lines\n"),
        ("lines\r\n\r\n", b"lines\r\n"),
        ("carriage\r", b"carriage\r"),
        (" blanks stay ", b" blanks stay "),
        ("\n", b""),
        ("", b""),
        ("e\u0301", "\u00e9".encode()),
        ("\u212b", "\u00c5".encode()),
        ("\ufb01", "\ufb01".encode()),
        ("\U0001f511", b"\xf0\x9f\x94\x91"),
    ],
)
def test_normal_form(text: str, expected: bytes) -> None:
    assert normalise(text) == expected


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_however_it_was_typed_it_is_the_same(text: str) -> None:
    composed = normalise(unicodedata.normalize("NFC", text))
    assert normalise(unicodedata.normalize("NFD", text)) == composed == normalise(text)
    if not text.endswith(("\n", "\r")):
        assert normalise(text + "\n") == normalise(text + "\r\n") == normalise(text)


def test_text_that_is_no_text_is_refused() -> None:
    with pytest.raises(UsageError):
        normalise("sixteen characters \udcff")


@pytest.mark.parametrize("text", ["", "short", "fifteen charact", "fifteen charact\n", "e\u0301" * 15])
def test_short(text: str) -> None:
    assert refusal(text) == "passphrase-short"


@pytest.mark.parametrize(
    "text",
    [
        "aaaaaaaaaaaaaaaaaaaaaaaa",
        "abababababababababababab",
        "aabbccddaabbccdddaaabbcc",
        "xkcdqvxkcdqvxkcdqvxkcdqv",
        "Tr0mbone!Tr0mbone!",
        "kzqvwpmh kzqvwpmh kzqvwpmh",
        "1234567890123456",
        "9876543210987654321",
        "abcdefghijklmnopqrstuvwxyz",
        "zyxwvutsrqponmlkjihgf",
        "a b c d e f g h i j k l",
        "qwertyuiopasdfghjkl",
        "QWERTZUIOPASDFGHJKL",
        "1qaz2wsx3edc4rfv",
        "!@#$%^&*()!@#$%^&*()",
        "qwertyuiop[]1234567890",
        "password12345678",
        "PasswordPassword1!",
        "passphrase passphrase",
        "correct horse battery staple",
        "CorrectHorseBatteryStaple1!",
        "The quick brown fox jumps over the lazy dog.",
        "to be or not to be, that is the question",
        "letmein letmein letmein",
        "admin backup secret 2025",
        "                        ",
        "-_-_-_-_-_-_-_-_-_-_",
    ],
)
def test_weak(text: str) -> None:
    assert refusal(text) == "passphrase-weak"


@pytest.mark.parametrize(
    "text",
    [
        "plover umbrella gneiss tarpaulin",
        "zw\u00f6lf Boxk\u00e4mpfer jagen Viktor",
        "x7!pQ2@vLm9#tR4&",
        "the rain at 1234 Elm Street smelt of tin",
        "\u96e8\u964d\u308a\u3066\u5730\u56fa\u307e\u308b\u5ead\u306e\u77f3\u3068\u732b\u306e\u9577\u3044\u5f71",
        "my neighbour's password hangs on a nail",
    ],
)
def test_good(text: str) -> None:
    check(text)


def test_generated_ones_pass_and_can_be_read_out() -> None:
    made = {generate() for _ in range(200)}
    assert len(made) == 200
    for text in made:
        check(text)
        groups = text.split("-")
        assert [len(group) for group in groups] == [4] * 7
        assert not set("".join(groups)) - set("0123456789abcdefghjkmnpqrstvwxyz")


@given(text=st.text(max_size=60))
def test_any_text_passes_or_is_refused(text: str) -> None:
    try:
        check(text)
    except UsageError as error:
        assert error.code in {"passphrase-short", "passphrase-weak", "usage"}


def test_long_text_is_judged_quickly() -> None:
    check("".join(chr(0x4E00 + n * 7919 % 20000) for n in range(5000)))
    assert refusal("ab" * 5000) == "passphrase-weak"


@given(st.integers(0, 100), st.booleans(), st.sampled_from(["", " ", "-"]))
def test_a_generated_passphrase_may_be_typed_as_people_type(seed: int, capitals: bool, between: str) -> None:
    generated = generate()
    typed = generated.replace("-", between).replace("0", "0o"[seed % 2]).replace("1", "1il"[seed % 3])
    assert generated in readings(typed.upper() if capitals else typed)


@given(st.text(max_size=40))
def test_any_other_passphrase_is_read_as_it_is(text: str) -> None:
    assert readings(text)[0] == text
    assert len(readings(text)) <= 2
