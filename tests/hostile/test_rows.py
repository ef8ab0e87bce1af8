"""Rows that are sealed with the right key and that no file has: a captured machine may seal any row."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from formats.errors import FormatError, OffseedError
from formats.keyed.catalog import BLOCK_DEVICE, FILE, FOLDER, SYMLINK, TYPES, CatalogEntry
from formats.keyed.segments import decode_entries, encode_entries
from formats.monitor import Tally
from seed.restore.tree.system import TreeWriter
from seed.source.xattrs import pack
from tests.hostile import test_vaults
from tests.journeys.stage import Copy, Stage

assert sys.platform == "linux"

LIES = {
    "a mode of 16 bits": "mode=1 << 15",
    "a NUL in an attribute's name": "xattrs=b'\\x08\\0user.a\\0b\\x01\\0\\0\\0v'",
    "the second part of a file without the first": "part=1",
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("of", ["", ":SOURCE"], ids=["all", "a folder"])
def test_a_row_that_no_file_has_is_refused_by_name(
    copy_of: Copy, opened: Stage, room: Path, lie: str, of: str
) -> None:
    """Refuse the row by name, without an internal fault, and leave out no file in silence."""
    stage = copy_of(opened)
    source = room / "source"
    source.mkdir()
    (source / "planted").write_text("planted")
    test_vaults.sealed(stage, source, f"e._replace({LIES[lie]}) if e.path.endswith(b'/planted') else e")
    point = "latest" + of.replace("SOURCE", str(source))
    result = stage.run(
        "seed", "restore", point, "--vault", stage.at, "--target", room / "back", "--json", code=1
    )
    assert result.json["error"]["code"] in ("CAT-4", "CAT-5")
    stage.run("seed", "ls", point, "--vault", stage.at, code=1)


EXTREMES: dict[str, Sequence[object]] = {
    **{column: [0, 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 2, (1 << 32) - 1] for column in ("uid", "gid", "links", "part")},
    "mode": [0, 0o7777, 0o10000, 1 << 15, (1 << 16) - 1],
    **{column: [-(1 << 63), -(1 << 31) - 1, -1, 1 << 31, 1 << 33, 253402300800, (1 << 63) - 1] for column in ("mtime", "ctime")},
    **{column: [0, 1, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1] for column in ("rdev", "device", "inode", "size")},
    "user": ["", "\0", "\n", "\x1b[2J", "a" * 70_000],
    "target": [b"", b"\0", b"\n", b"\xff", b"a" * 5000],
    "path": [b"a" * 256, (b"a" * 200 + b"/") * 30 + b"a", b"\n", b"\xff"],
    "xattrs": [
        pack([(name, value)])
        for name in (b"", b"a", b"user.", b"user.a", b"user.\0", b"\xff", b"user." + b"a" * 300, b"security.capability", b"system.posix_acl_access")
        for value in (b"", b"\0" * 20, b"\xff" * 100_000)
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", TYPES.values())
@pytest.mark.parametrize("column", EXTREMES)
def test_whatever_a_row_says_to_write_it_is_a_refusal_or_an_error_of_the_system(
    tmp_path: Path, column: str, kind: str
) -> None:
    type_ = next(number for number, name in TYPES.items() if name == kind)
    for number, value in enumerate(EXTREMES[column]):
        row = CatalogEntry(
            b"a", type_, 0o600, os.geteuid(), os.getegid(), target=b"t" if type_ == SYMLINK else b""
        )
        row = row._replace(**{column: value})  # type: ignore[arg-type]
        try:
            (entry,) = decode_entries(encode_entries([row]), "here")
        except FormatError as error:
            assert error.code == "CAT-5"
            continue
        target = tmp_path / str(number)
        try:
            tree = TreeWriter(str(target), Tally(), overwrite=False)
            tree.judge(entry, entry.path)
            if entry.type == FOLDER:
                tree.make_folder(entry.path)
                tree.finish_folder(entry, entry.path)
            elif entry.type == FILE:
                new = tree.open_file(entry.path)
                tree.set_size(new, entry.size)
                tree.finish_file(entry, entry.path, new)
                tree.publish(new, entry.path, None)
            elif entry.type != BLOCK_DEVICE or column != "rdev":
                tree.make_other(entry, entry.path)
        except (OSError, OffseedError):
            pass
        finally:
            tree.close()
