"""The rules that leave files out of a backup: patterns, cache folders, kernel file systems."""

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

from formats.errors import UsageError
from seed.source.quiet_open import open_quietly

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
_TAG_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class Patterns:
    """Globs that leave out files and folders, for `--exclude`.

    A pattern without '/' matches any name. A pattern that begins with '/' matches a whole path. Any other
    pattern matches the end of a path. `*` and `?` stop at '/', `**` does not. A matching entry is left out
    with everything below it. `unmet` reports no `further` globs. Raises UsageError for a text that is no
    glob, as `[z-a]` or `a/../b`.
    """

    def __init__(self, patterns: Iterable[str], further: Iterable[str] = ()) -> None:
        self.globs = tuple(p for p in patterns if self._cleaned(p).strip("/"))
        every = [self._cleaned(p) for p in (*self.globs, *further)]
        parts = [f"({self._checked(p)})" for p in every]
        self._regex = re.compile("|".join(parts), re.DOTALL) if parts else None
        # The last name alone rules out most paths, at a fraction of the cost.
        self._last = re.compile("|".join(self._translate_last(p) for p in every), re.DOTALL)
        self._met: set[int | None] = set()  # by their places in the expression, from 1 on

    def __bool__(self) -> bool:
        return self._regex is not None

    def match(self, path: bytes) -> bool:
        """Return whether the patterns leave out the absolute `path`."""
        if self._regex is None or not self._last.fullmatch(os.fsdecode(path[path.rfind(b"/") + 1 :])):
            return False
        found = self._regex.fullmatch(os.fsdecode(path))
        if found is None:
            return False
        self._met.add(found.lastindex)
        return True

    def unmet(self) -> list[str]:
        """Return the globs that have left out nothing so far, or only paths that another glob left out."""
        return [glob for at, glob in enumerate(self.globs, 1) if at not in self._met]

    @staticmethod
    def _cleaned(pattern: str) -> str:
        """Return a pattern without empty names and `.`, as the paths are."""
        parts = [part for part in pattern.split("/") if part not in ("", ".")]
        return "/" * pattern.startswith("/") + "/".join(parts)

    @classmethod
    def _translate_last(cls, pattern: str) -> str:
        """Return an expression that matches the last name of each matching path."""
        last = pattern.rpartition("/")[2]
        return ".*" if "**" in last or "[" in pattern else cls._translate("/" + last)[1:]

    @classmethod
    def _checked(cls, pattern: str) -> str:
        if ".." in pattern.split("/"):
            raise UsageError(
                "usage", "a glob cannot go back by '..'", subject=pattern, hint="write the path without it"
            )
        translated = cls._translate(pattern)
        try:
            re.compile(translated)
        except re.error as error:
            raise UsageError(
                "usage", "not a glob", subject=pattern, hint="a set is written as [a-z] or [!abc]"
            ) from error
        return translated

    @staticmethod
    def _translate(pattern: str) -> str:
        body, at = "", 0
        while at < len(pattern):
            c = pattern[at]
            if pattern.startswith("**", at):
                body, at = body + ".*", at + 2
                continue
            if c == "[" and (end := pattern.find("]", at + 2)) > 0:
                inside = pattern[at + 1 : end].replace("\\", "\\\\").replace("[", "\\[")
                body, at = body + "[" + ("^" + inside[1:] if inside[0] in "!^" else inside) + "]", end + 1
                continue
            body += "[^/]*" if c == "*" else "[^/]" if c == "?" else re.escape(c)
            at += 1
        return body if pattern.startswith("/") else f".*/{body}"


@dataclass(frozen=True)
class SourceRules:
    """The rules that decide which parts of the named paths are read.

    `pruned` holds the (device, inode) of folders left out. `notes` holds notices that the walk gives the user
    beforehand.
    """

    excludes: Patterns = field(default_factory=lambda: Patterns(()))
    one_file_system: bool = False
    exclude_caches: bool = False
    pruned: Set[tuple[int, int]] = frozenset()
    notes: Sequence[str] = ()

    def barrier(self, folder: tuple[int, int], above: int, kernel: Mapping[int, str]) -> str:
        """Return why the content of a folder (device, inode) is left out; an empty text if it is not.

        `above` is the device of the parent folder. `kernel` is the result of `kernel_devices`.
        """
        if folder in self.pruned:
            return "this program's own"
        if kind := kernel.get(folder[0]):
            return f"kernel file system {kind}"
        return "another file system" if self.one_file_system and folder[0] != above else ""


def kernel_devices() -> dict[int, str]:
    """Return the devices of mounted kernel file systems with their types; none if /proc lists no mounts."""
    return {device: kind for device, kind in mounted_kinds().items() if kind in KERNEL_FILE_SYSTEMS}


def mounted_kinds() -> dict[int, str]:
    """Return the devices of all mounted file systems with their types; none if /proc lists no mounts."""
    found: dict[int, str] = {}
    if sys.platform == "win32":
        return found
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                left, _, right = line.partition(" - ")
                major, _, minor = left.split()[2].partition(":")
                found[os.makedev(int(major), int(minor))] = right.split()[0]
    except (OSError, IndexError, ValueError):
        return {}
    return found


def tags_a_cache(path: str | bytes, folder: int | None = None) -> bool:
    """Return whether the file `path` marks the folder that it lies in as a cache.

    `path` is relative to the open `folder` if one is given.
    """
    flags = os.O_RDONLY
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC"):
        flags |= getattr(os, name, 0)
    try:
        handle = open_quietly(path, flags, folder)
    except OSError:
        return False
    try:
        return os.read(handle, len(CACHE_TAG_SIGNATURE)) == CACHE_TAG_SIGNATURE
    except OSError:
        return False
    finally:
        os.close(handle)


def outermost(paths: Sequence[bytes]) -> list[bytes]:
    """Return the absolute `paths` sorted by components, without those that lie inside another."""
    kept: list[bytes] = []
    for path in sorted(set(paths), key=lambda p: p.replace(b"/", b"\0")):
        if not kept or not (path + b"/").startswith(kept[-1].rstrip(b"/") + b"/"):
            kept.append(path)
    return kept
