"""What is left out of a backup: patterns, cache folders, kernel file systems."""

import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

KERNEL_FILE_SYSTEMS = frozenset(
    [
        "autofs",
        "binfmt_misc",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "debugfs",
        "devpts",
        "devtmpfs",
        "efivarfs",
        "fusectl",
        "hugetlbfs",
        "mqueue",
        "nsfs",
        "proc",
        "pstore",
        "rpc_pipefs",
        "securityfs",
        "selinuxfs",
        "sysfs",
        "tracefs",
    ]
)
CACHE_TAG = "CACHEDIR.TAG"
CACHE_TAG_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"  # https://bford.info/cachedir/


class Patterns:
    """Globs that leave out files and folders, for `--exclude`.

    A pattern without '/' matches any name; one that begins with '/' matches a whole path; any other matches the
    end of a path. `*` and `?` stop at '/', `**` does not. What is matched is left out with all below it.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        parts = [self._translate(p.rstrip("/")) for p in patterns if p.strip("/")]
        self._regex = re.compile("|".join(parts), re.DOTALL) if parts else None

    def match(self, path: bytes) -> bool:
        """Whether the absolute `path` is left out."""
        return self._regex is not None and self._regex.fullmatch(os.fsdecode(path)) is not None

    @staticmethod
    def _translate(pattern: str) -> str:
        body, at = "", 0
        while at < len(pattern):
            c = pattern[at]
            if pattern.startswith("**", at):
                body, at = body + ".*", at + 2
                continue
            if c == "[" and (end := pattern.find("]", at + 2)) > 0:
                inside = pattern[at + 1 : end].replace("\\", "\\\\")
                body, at = body + "[" + ("^" + inside[1:] if inside[0] in "!^" else inside) + "]", end + 1
                continue
            body += "[^/]*" if c == "*" else "[^/]" if c == "?" else re.escape(c)
            at += 1
        return body if pattern.startswith("/") else f".*/{body}"


@dataclass(frozen=True)
class Rules:
    """All that decides what of the named paths is read. `pruned` are (device, inode) of folders left out."""

    excludes: Patterns = field(default_factory=lambda: Patterns(()))
    one_file_system: bool = False
    exclude_caches: bool = False
    pruned: frozenset[tuple[int, int]] = frozenset()


def kernel_devices() -> dict[int, str]:
    """Device numbers of mounted kernel file systems, and their types. Empty where /proc does not tell."""
    found: dict[int, str] = {}
    if sys.platform == "win32":
        return found
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                left, _, right = line.partition(" - ")
                major, _, minor = left.split()[2].partition(":")
                if (kind := right.split()[0]) in KERNEL_FILE_SYSTEMS:
                    found[os.makedev(int(major), int(minor))] = kind
    except (OSError, IndexError, ValueError):
        return {}
    return found


def outermost(paths: Sequence[bytes]) -> list[bytes]:
    """Absolute `paths` sorted by components, without those that lie inside another."""
    kept: list[bytes] = []
    for path in sorted(set(paths), key=lambda p: p.replace(b"/", b"\0")):
        if not kept or not (path + b"/").startswith(kept[-1].rstrip(b"/") + b"/"):
            kept.append(path)
    return kept
