"""The rules for a commit message, for git's hook: `python -m tests.commit_message FILE`.

A message that passes has a subject in the imperative, a blank line, and a body that can say why.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

SUBJECT_MAX = 72
LINE_MAX = 100

# First words in "ed" or "ing" that are imperatives.
IMPERATIVES = frozenset(
    [
        "bring",
        "embed",
        "exceed",
        "feed",
        "need",
        "ping",
        "proceed",
        "seed",
        "shed",
        "speed",
        "spring",
        "string",
        "succeed",
    ]
)
WRITTEN_BY_GIT = ("Merge ", 'Revert "', "fixup! ", "squash! ", "amend! ")
_SCISSORS = re.compile(r"^# -+ >8 -+$.*", re.MULTILINE | re.DOTALL)
_TRAILER = re.compile(r"[A-Z][A-Za-z-]*-by: ")


def problems(message: str) -> Iterator[str]:
    """Yield each rule that `message` breaks, as an order to its author."""
    text = _SCISSORS.sub("", message)
    lines = [line.rstrip() for line in text.splitlines() if not line.startswith("#")]
    while lines and not lines[0]:
        del lines[0]
    if not lines:
        yield "write a message"
        return
    subject, *rest = lines
    if subject.startswith(WRITTEN_BY_GIT):
        return
    yield from _subject_problems(subject)
    if rest and rest[0]:
        yield "leave the second line blank"
    if not any(line and not _TRAILER.match(line) for line in rest):
        yield "add a body that says why"
    for line in rest:
        if len(line) > LINE_MAX and " " in line.strip():  # an address cannot be broken
            yield f"break the line after at most {LINE_MAX} characters: {line[:40]}…"


def _subject_problems(subject: str) -> Iterator[str]:
    word = subject.split()[0]
    if len(subject) > SUBJECT_MAX:
        yield f"shorten the subject to {SUBJECT_MAX} characters: it has {len(subject)}"
    if subject.endswith("."):
        yield "end the subject without a period"
    if not word[0].isupper():
        yield f"begin the subject with a capital letter: {word}"
    if word.lower().endswith(("ed", "ing")) and word.lower() not in IMPERATIVES:
        yield f"begin the subject with an imperative, such as Add or Fix: {word}"


def main() -> int:
    """Print the faults of the message in the file that the command line names; return the exit code."""
    if len(sys.argv) != 2:
        print("usage: python -m tests.commit_message FILE", file=sys.stderr)
        return 2
    found = list(problems(Path(sys.argv[1]).read_text("utf-8")))
    if found:
        print("cannot commit: the message breaks a rule", *found, sep="\n  ", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
