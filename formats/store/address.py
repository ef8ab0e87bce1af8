"""The way from an address that a user types to the store at it."""

import os
import re
import sys
from urllib.parse import unquote, unquote_to_bytes

from formats.errors import UsageError
from formats.store.access import Access, Address
from formats.store.contract import Store
from formats.store.local import LocalStore

# A scheme has two letters or more: one letter and a colon is a drive on Windows.
_URL = re.compile(r"([a-z][a-z0-9+.-]+)://(.*)\Z", re.IGNORECASE | re.DOTALL)


def open_store(address: Address | str, *, create: bool = False) -> Store:
    """Open the store at a path, a `file://` or an `azblob://` URL.

    With `create` its folder or container is made if it is missing. Raises UsageError("store-unknown") for any
    other address, and the errors of `LocalStore.open` and `AzureStore.open`.
    """
    text, access = (address, Access()) if isinstance(address, str) else address
    url = _URL.match(text)
    if url is None:
        return LocalStore.open(_path(text, text), create=create, limiter=access.limiter)
    scheme, rest = url[1].lower(), url[2]
    if scheme == "file":
        path = _path(_path_of_url(rest, text), text)
        return LocalStore.open(path, create=create, limiter=access.limiter)
    if scheme == "azblob":
        from formats.store.azblob.store import AzureStore  # the SDK takes a third of a second

        return AzureStore.open(text, access, create=create)
    raise _unknown(text, f"stores of kind {scheme}:// are not known", "give a path, file:///… or azblob://…")


def _path_of_url(rest: str, address: str) -> str:
    """Return the path after `file://`: `/a%20b` or `localhost/a`; `?` and `#` are parts of names."""
    host, slash, path = rest.partition("/")
    if host.lower() not in ("", "localhost") or not slash:
        raise _unknown(address, "the URL names another host or no absolute path", "write file:///path")
    if sys.platform == "win32":
        return unquote(path)  # C:/folder
    return os.fsdecode(b"/" + unquote_to_bytes(path))


def _path(path: str, address: str) -> str:
    if not path or "\0" in path:
        raise _unknown(address, "not the path of a folder", "give a path or file:///…")
    return path


def _unknown(address: str, what: str, hint: str) -> UsageError:
    return UsageError("store-unknown", what, subject=address, hint=hint)
