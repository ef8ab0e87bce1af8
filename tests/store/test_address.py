"""The way from an address to a store, or to an error that says how to type it."""

import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from formats.errors import StoreError, UsageError
from formats.store.address import open_store
from tests.store.contract import ARCHIVE, DATA


@pytest.mark.parametrize("name", ["vault", "with space", "50% #1?x", "é", "a+b:c"])
@pytest.mark.parametrize("form", ["{path}", "file://{quoted}", "file://localhost{quoted}", "FILE://{quoted}"])
@pytest.mark.skipif(sys.platform == "win32", reason="paths of other systems")
def test_paths_and_urls_name_the_same_folder(tmp_path: Path, name: str, form: str) -> None:
    path = tmp_path / name
    address = form.format(path=path, quoted=quote(str(path)))
    with pytest.raises(StoreError) as caught:
        open_store(address)
    assert caught.value.code == "store-missing"
    store = open_store(address, create=True)
    store.put_new(ARCHIVE, DATA)
    store.close()
    assert (path / ARCHIVE).read_bytes() == DATA
    assert store.address == str(path)


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_a_url_may_name_a_folder_that_is_not_utf8(tmp_path: Path) -> None:
    open_store(f"file://{tmp_path}/%ff%fe", create=True).close()
    assert [path.name for path in tmp_path.iterdir()] == ["\udcff\udcfe"]


def test_a_relative_path_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    open_store("c:vault", create=True).close()


@pytest.mark.parametrize(
    "address",
    [
        "",
        "azblob://account",
        "azblob://account/Container",
        "s3://bucket",
        "http://localhost/x",
        "file://",
        "file://otherhost/x",
        "file:///a%00b",
        "a\0b",
    ],
)
def test_other_addresses_are_refused_with_a_hint(address: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_store(address, create=True)
    assert (caught.value.code, caught.value.subject) == ("store-unknown", address)
    assert caught.value.hint
