"""Passphrases: one way from text to bytes, a check for what a guesser tries first, and generated ones.

The check is honest, not clever. It refuses what is short, what repeats, what follows the keyboard, and a few
phrases everybody knows; it cannot tell whether the rest was chosen well. Who wants certainty generates one.
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

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: nothing to be mistaken for another
_GROUPS, _GROUP = 7, 4  # 28 characters of 5 bits


def normalise(text: str) -> bytes:
    """The bytes of a passphrase: NFC, without one trailing newline, UTF-8 (SLOT-4). Raises UsageError."""
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
    """A passphrase of 140 random bits, in groups that can be read to someone."""
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP)) for _ in range(_GROUPS))
    return "-".join(groups)


def readings(text: str) -> list[str]:
    """What was typed; and, where it can be read as a generated one, that one as it was generated: in groups, in lower case,
    letters that are taken for digits as these."""
    squeezed = text.casefold().translate(str.maketrans("oil", "011", "- "))
    if len(squeezed) != _GROUPS * _GROUP or set(squeezed) - set(_ALPHABET):
        return [text]
    groups = [squeezed[at : at + _GROUP] for at in range(0, len(squeezed), _GROUP)]
    return list(dict.fromkeys((text, "-".join(groups))))


def _without_newline(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text


def _surprises(text: str) -> int:
    """How many things a guesser must come by, if a known phrase, a row of keys or a repetition is but one."""
    position = count = 0
    while position < len(text):
        position += max(_known(text, position), _stretch(text, position), 1)
        count += 1
    return count


def _known(text: str, start: int) -> int:
    """The length of the longest well-known phrase that begins at `start`."""
    return max((len(phrase) for phrase in _WELL_KNOWN if text.startswith(phrase, start)), default=0)


def _stretch(text: str, start: int) -> int:
    """The length of what follows the keyboard from `start` on, or stood in the text before."""
    end = start + _STRETCH_MIN
    while end <= len(text) and (text[start:end] in _KEYBOARD or text[start:end] in text[: end - 1]):
        end += 1
    return end - 1 - start if end > start + _STRETCH_MIN else 0
