"""A file of a home is durable before it replaces the earlier one."""

import os
import stat
from pathlib import Path

import pytest

from formats.records import write_private


@pytest.mark.parametrize("before", [None, b"old"], ids=["new", "replaced"])
def test_bytes_are_flushed_before_they_get_their_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bytes | None
) -> None:
    path = tmp_path / "home" / "state.json"
    if before is not None:
        write_private(path, before)
    flushed: list[int] = []
    folders: list[int] = []
    fsync, replace = os.fsync, os.replace

    def flush(handle: int) -> None:
        fsync(handle)
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            folders.append(os.fstat(handle).st_ino)
        elif stat.S_ISREG(os.fstat(handle).st_mode):
            assert os.fstat(handle).st_size == len(b"new one"), "flushed before all was written"
            flushed.append(os.fstat(handle).st_ino)

    def publish(old: Path, new: Path) -> None:
        assert flushed == [os.stat(old).st_ino], "named before it was durable"
        assert (path.read_bytes() if path.exists() else None) == before
        folders.clear()
        replace(old, new)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "replace", publish)
    write_private(path, b"new one")
    assert path.read_bytes() == b"new one"
    assert [file.name for file in path.parent.iterdir()] == ["state.json"]
    assert len(flushed) == 1
    assert folders == [path.parent.stat().st_ino], "the name is durable, too"
