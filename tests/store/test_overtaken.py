"""A writer that is overtaken: another object gets the name after the writer looked, and before it publishes.

Threads that race meet this moment only now and then. Here the other writer always comes in it.
"""

import sys
from io import FileIO
from pathlib import Path

import pytest

from formats.errors import NameHeldByOtherError
from formats.store.local import LocalStore, SystemRoot

if sys.platform == "win32":
    pytest.skip("the folders of Windows are another module's", allow_module_level=True)

NAMES = ("label", "sets/" + "1" * 32 + "/0000000001-" + "2" * 64)
OURS = b"the object"


@pytest.mark.parametrize("exclusive", [True, False], ids=["exclusive rename", "none"])
@pytest.mark.parametrize("other", [b"another one", OURS], ids=["another", "equal"])
@pytest.mark.parametrize("name", NAMES, ids=["named", "addressed"])
def test_who_is_overtaken_replaces_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, other: bytes, exclusive: bool
) -> None:
    slow, quick = LocalStore.open(str(tmp_path)), LocalStore.open(str(tmp_path))
    flush, came = SystemRoot.flush, list[bool]()

    def overtake(root: SystemRoot, file: FileIO) -> None:
        flush(root, file)
        if not came:
            came.append(True)
            assert quick.put_new(name, other)

    if not exclusive:
        monkeypatch.setattr("formats.store.posix._renameat2", lambda: None)
    monkeypatch.setattr(SystemRoot, "flush", overtake)
    if other == OURS:
        assert slow.put_new(name, OURS) is False
    else:
        with pytest.raises(NameHeldByOtherError):
            slow.put_new(name, OURS)
    assert came, "nobody came between"
    assert quick.get(name) == other
    assert list((tmp_path / "tmp").iterdir()) == []
    assert [found for found, _ in quick.list("")] == [name]
