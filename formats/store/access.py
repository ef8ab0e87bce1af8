"""The access to a store that asks for one: a secret, a proxy, a speed limit, and the time for repeated requests.

A secret is a form that Azure's own tools accept: a connection string, an account's key, or a shared access
signature (SAS) as a token or as the container's URL. The program never prints one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlsplit, urlunsplit

from formats.errors import UsageError
from formats.store.contract import Limiter

PATIENCE = 120.0  # seconds for which requests to a service that has answered before are repeated

SHARED_ACCESS = "SharedAccessSignature="
_FORMS = "give a connection string, the account's key, or a shared access signature, on one line"


@dataclass(frozen=True)
class Access:
    """The access that a command brings.

    `proxy` is a URL, with user and password if the proxy asks for them.
    """

    secret: str = field(default="", repr=False)
    proxy: str = field(default="", repr=False)
    limiter: Limiter | None = None
    patience: float = PATIENCE


class Address(NamedTuple):
    """The place of a store, as a user writes it, and the access to it."""

    text: str
    access: Access = Access()

    @property
    def is_service(self) -> bool:
        """Whether this program itself reaches the store over a network."""
        return self.text.lower().startswith("azblob:")

    def __str__(self) -> str:
        return self.text


class SasToken(NamedTuple):
    """The statements of a SAS: its rights (None: those of a stored policy), and its time."""

    rights: str | None
    begins: datetime | None
    ends: datetime | None


def signature_of(secret: str) -> SasToken | None:
    """Return the SAS in a secret, None if it has none."""
    token = secret.partition(SHARED_ACCESS)[2].partition(";")[0] if SHARED_ACCESS in secret else secret
    said = {key: values[0] for key, values in parse_qs(token.rpartition("?")[2]).items()}
    if "sig" not in said:
        return None
    return SasToken(said.get("sp"), _instant(said.get("st")), _instant(said.get("se")))


def access_in(environment: Mapping[str, str]) -> Access:
    """Return the access in the environment, under the names that Azure's own tools read."""
    names = ("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN")
    secret = next((environment[name] for name in names if environment.get(name)), "")
    try:
        patience = float(environment.get("OFFSEED_PATIENCE", PATIENCE))
    except ValueError:
        patience = PATIENCE
    return Access(secret, patience=patience)


def check_secret(text: str, where: str) -> str:
    """Return the one line of an access file. Raises UsageError access-unreadable."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) != 1 or not (
        SHARED_ACCESS in lines[0]
        or signature_of(lines[0]) is not None
        or "AccountName=" in lines[0]
        or re.fullmatch(r"[A-Za-z0-9+/]{40,}={0,2}", lines[0])
    ):
        raise UsageError(
            "access-unreadable", "this is no access to a storage account", subject=where, hint=_FORMS
        )
    return lines[0]


def proxy_url(url: str, user: str | None, password: str | None) -> str:
    """Return a proxy's URL, with user and password in it. Raises UsageError proxy-unreadable."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or port is None
        or parts.path not in ("", "/")
    ):
        raise UsageError(
            "proxy-unreadable", "this is no proxy", subject=without_password(url),
            hint="write http://host:port",
        )  # fmt: skip
    name = user if user is not None else unquote(parts.username or "")
    secret = password if password is not None else unquote(parts.password or "")
    who = f"{quote(name, safe='')}:{quote(secret, safe='')}@" if name else ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{who}{host}:{port}"


def without_password(url: str) -> str:
    """Return a proxy's URL without user and password, so that it may be shown."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in url else url


def _instant(text: str | None) -> datetime | None:
    """Return a SAS's time, given in any of the forms of ISO 8601 that Azure accepts."""
    try:
        moment = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return moment if moment is None or moment.tzinfo is not None else moment.replace(tzinfo=UTC)
