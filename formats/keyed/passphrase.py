"""Passphrases: one way from text to bytes, a check against the first guesses of an attacker, and generated ones.

The check is honest, not clever. It refuses short phrases, repetition, rows of keys, and a few phrases that
everybody knows. It cannot tell whether the rest was chosen well. Only a generated passphrase gives certainty.
"""

import secrets
import unicodedata

from formats.errors import UsageError

LENGTH_MIN = 16
_DISTINCT_MIN = 6
_SURPRISES_MIN = 12
_STRETCH_MIN = 4

_ROWS = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop",
    "qwertzuiop",
    "azertyuiop",
    "asdfghjkl",
    "qsdfghjklm",
    "zxcvbnm",
    "yxcvbnm",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "!@#$%^&*()",
)
_KEYBOARD = "\n".join((*_ROWS, *(row[::-1] for row in _ROWS)))

_WELL_KNOWN = (
    "correcthorsebatterystaple",
    "thequickbrownfoxjumpsoverthelazydog",
    "tobeornottobethatisthequestion",
    "maytheforcebewithyou",
    "loremipsumdolorsitamet",
    "allyourbasearebelongtous",
    "twinkletwinklelittlestar",
    "itwasthebestoftimesitwastheworstoftimes",
    "itwasadarkandstormynight",
    "inthebeginninggodcreated",
    "ourfatherwhoartinheaven",
    "onceuponatime",
    "ilikebigbuttsandicannotlie",
    "nevergonnagiveyouup",
    "passphrase",
    "password",
    "passwort",
    "trustno1",
    "changeme",
    "iloveyou",
    "letmein",
    "welcome",
    "opensesame",
    "secret",
    "backup",
    "admin",
)

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: no character looks like another
_GROUPS, _GROUP = 7, 4  # 28 characters of 5 bits


def normalise(text: str) -> bytes:
    """Return the bytes of a passphrase: NFC, without one trailing newline, UTF-8 (SLOT-3).

    Raises UsageError.
    """
    try:
        return unicodedata.normalize("NFC", _without_newline(text)).encode()
    except UnicodeEncodeError:
        raise UsageError(
            "usage", "the passphrase is not valid UTF-8", hint="save the file or set the terminal to UTF-8"
        ) from None


def check(text: str) -> None:
    """Raise UsageError for a passphrase that is short or easily guessed."""
    phrase = normalise(text).decode()
    hint = "take more words that do not belong together, or let --generate-passphrase write one"
    if len(phrase) < LENGTH_MIN:
        raise UsageError(
            "passphrase-short", f"the passphrase has fewer than {LENGTH_MIN} characters", hint=hint
        )
    squeezed = "".join(c for c in phrase.casefold() if not c.isspace() and c not in "-_.,")
    if len(set(squeezed)) < _DISTINCT_MIN or _surprises(squeezed) < _SURPRISES_MIN:
        raise UsageError(
            "passphrase-weak",
            "the passphrase is easily guessed: repetition, rows of keys, or a phrase everybody knows",
            hint=hint,
        )


def generate() -> str:
    """Return a passphrase of 140 random bits, in groups that can be read aloud."""
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP)) for _ in range(_GROUPS))
    return "-".join(groups)


def readings(text: str) -> list[str]:
    """Return the typed text; if it looks like a generated passphrase, also the form in which it was generated.

    That form has groups, lower case, and digits in place of the letters that look like them.
    """
    squeezed = text.casefold().translate(str.maketrans("oil", "011", "- "))
    if len(squeezed) != _GROUPS * _GROUP or set(squeezed) - set(_ALPHABET):
        return [text]
    groups = [squeezed[at : at + _GROUP] for at in range(0, len(squeezed), _GROUP)]
    return list(dict.fromkeys((text, "-".join(groups))))


def _without_newline(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text


def _surprises(text: str) -> int:
    """Return how many things an attacker must guess.

    A known phrase, a row of keys or a repetition counts as one.
    """
    position = count = 0
    while position < len(text):
        position += max(_known(text, position), _stretch(text, position), 1)
        count += 1
    return count


def _known(text: str, start: int) -> int:
    """Return the length of the longest well-known phrase that begins at `start`."""
    return max((len(phrase) for phrase in _WELL_KNOWN if text.startswith(phrase, start)), default=0)


def _stretch(text: str, start: int) -> int:
    """Return the length of the text from `start` on that follows the keyboard, or that occurred before."""
    end = start + _STRETCH_MIN
    while end <= len(text) and (text[start:end] in _KEYBOARD or text[start:end] in text[: end - 1]):
        end += 1
    return end - 1 - start if end > start + _STRETCH_MIN else 0
