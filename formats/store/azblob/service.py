"""The service behind the SDK: credentials, the proxy, repeated requests, and the speed of transfers."""

import base64
import io
import logging
import random
import re
import time
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from azure.core.exceptions import ServiceRequestError, ServiceResponseError
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import BlobServiceClient, ContainerClient, ExponentialRetry, LocationMode

from formats.errors import StoreError, UsageError
from formats.store.access import SHARED_ACCESS, Access, signature_of
from formats.store.contract import Limiter

FIRST_PATIENCE = 8.0  # seconds for a service that has never answered: its name may be mistyped
WAIT_MAX = 20.0  # seconds between two attempts
KEY_MIN = 32  # bytes of an account's key; Azure's have 64
SINGLE_MAX = 256 << 20  # bytes in one request; an object has at most 128 MiB, and one request puts it
CONNECT, READ = 20, 60  # seconds
BLOCK = 256 << 10  # bytes of an answer that are read at a time
PACE = 16 << 10  # bytes that a limiter is asked for at a time

logging.getLogger("azure").addHandler(logging.NullHandler())  # our errors tell the user enough

_ADDRESS = re.compile(r"azblob://([^/]*)/([^/]*)/?\Z", re.IGNORECASE)
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}\Z")
_CONTAINER = re.compile(r"(?=.{3,63}\Z)[a-z0-9]+(?:-[a-z0-9]+)*\Z")
_AGAIN = (408, 429, 500, 502, 503, 504)
_FOR_GOOD = ("407 Proxy", "CERTIFICATE_VERIFY_FAILED")


class ContainerPlace(NamedTuple):
    account: str
    container: str


def parse_address(address: str) -> ContainerPlace:
    """Return account and container of an address. Raises UsageError store-unknown."""
    match = _ADDRESS.match(address)
    if match is None:
        raise _unknown(address, "this is no address of a container", "write azblob://ACCOUNT/CONTAINER")
    account, container = match[1], match[2]
    if not _ACCOUNT.match(account):
        raise _unknown(
            address,
            "no storage account has such a name",
            "an account's name has 3 to 24 small letters and digits",
        )
    if not _CONTAINER.match(container):
        raise _unknown(
            address,
            "no container has such a name",
            "a container's name has 3 to 63 small letters, digits and single hyphens between them; no capitals",
        )
    return ContainerPlace(account, container)


def connect(address: str, access: Access) -> ContainerClient:
    """Return a client for the container; nothing is sent yet.

    Raises UsageError, StoreError access-missing.
    """
    place = parse_address(address)
    settings: dict[str, Any] = {
        "transport": Transport(
            access.limiter, connection_timeout=CONNECT, read_timeout=READ, connection_data_block_size=BLOCK
        ),
        "retry_policy": Retries(access.patience),
        "max_single_put_size": SINGLE_MAX,
        "max_single_get_size": SINGLE_MAX,
    }
    if access.proxy:
        settings["proxies"] = {"http": access.proxy, "https": access.proxy}
    try:
        endpoint, credential = _who(place, address, access.secret)
        client = BlobServiceClient(endpoint, credential, **settings)
    except ValueError as error:
        raise UsageError(
            "access-unreadable", "this is no access to a storage account", subject=address,
            hint="give a connection string, the account's key, or a shared access signature",
        ) from error  # fmt: skip
    return client.get_container_client(place.container)


def _who(place: ContainerPlace, address: str, secret: str) -> tuple[str, Any]:
    """Return the account's URL, and the SDK's form of the credential.

    Raises UsageError, StoreError, ValueError.
    """
    endpoint = f"https://{place.account}.blob.core.windows.net"
    if not secret:
        return endpoint, _signed_in(address)
    said = dict(part.partition("=")[::2] for part in secret.split(";"))
    named = {key.lower(): value for key, value in said.items()}
    credential: Any
    if "blobendpoint" in named or "accountname" in named:
        suffix = named.get("endpointsuffix", "core.windows.net")
        protocol = named.get("defaultendpointsprotocol", "https")
        endpoint = named.get("blobendpoint", f"{protocol}://{named.get('accountname')}.blob.{suffix}")
        credential = named.get("sharedaccesssignature")
        if credential is None:
            name = named.get("accountname", place.account)
            credential = _key(name, named.get("accountkey", ""))
    elif secret.startswith("http"):
        url = urlsplit(secret)
        path = url.path.rstrip("/").removesuffix(f"/{place.container}")
        endpoint, credential = f"{url.scheme}://{url.netloc}{path}", url.query
    elif signature_of(secret) is not None:
        credential = secret.lstrip("?")
    else:
        credential = _key(place.account, secret)
    if place.account not in (urlsplit(endpoint).netloc.split(".")[0], urlsplit(endpoint).path.strip("/")):
        raise _unknown(address, "the access is for another storage account", f"it is for {endpoint}")
    return endpoint, credential


def _key(account: str, key: str) -> dict[str, str]:
    """Return the SDK's form of an account's key. Raises ValueError."""
    if len(base64.b64decode(key, validate=True)) < KEY_MIN:
        raise ValueError("this is no key")
    return {"account_name": account, "account_key": key}


def _signed_in(address: str) -> object:
    try:
        from azure.identity import DefaultAzureCredential
    except ImportError:
        raise StoreError(
            "access-missing",
            "no access to the storage account was given",
            subject=address,
            hint="set AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN; a machine may have its "
            "own by `seed access set FILE`; or install offseed[azure] and sign in",
        ) from None
    return DefaultAzureCredential()


def connection_string(client: ContainerClient, token: str) -> str:
    """Return an access that also says where the account is."""
    endpoint = str(client.url).partition("?")[0].rpartition("/")[0]
    return f"BlobEndpoint={endpoint};{SHARED_ACCESS}{token}"


def _unknown(address: str, what: str, hint: str) -> UsageError:
    return UsageError("store-unknown", what, subject=address, hint=hint)


class Retries(ExponentialRetry):
    """A policy that repeats a request while the service is busy or silent, for some seconds.

    The SDK's own policy counts attempts, and gives up at once after the answer "too many requests".
    """

    def __init__(self, patience: float) -> None:
        super().__init__()
        self._patience = min(patience, FIRST_PATIENCE)
        self._later = patience

    def send(self, request: Any) -> Any:
        settings = self.configure_retries(request)
        until = time.monotonic() + self._patience
        for attempt in range(1_000_000):
            wait = min(WAIT_MAX, 0.25 * 2**attempt) * random.uniform(0.7, 1.3)  # noqa: S311  no secret
            late = time.monotonic() + wait > until
            try:
                response = self.next.send(request)
            except (ServiceRequestError, ServiceResponseError) as error:
                if late or any(words in str(error) for words in _FOR_GOOD):
                    raise
            else:
                response.http_response.location_mode = settings["mode"] or LocationMode.PRIMARY
                if response.http_response.status_code not in _AGAIN:
                    self._patience = self._later
                    return response
                if late:
                    return response
                wait = max(wait, min(_asked_to_wait(response), until - time.monotonic()))
            time.sleep(wait)
        raise AssertionError


def _asked_to_wait(response: Any) -> float:
    said = str(response.http_response.headers.get("Retry-After", ""))
    return float(said) if said.isdecimal() else 0.0


class Transport(RequestsTransport):  # type: ignore[misc]  # the SDK's class has no types
    """A transport that sends and receives at the pace of a limiter, if there is one.

    Repeated bytes count again.
    """

    def __init__(self, limiter: Limiter | None, **settings: Any) -> None:
        super().__init__(**settings)
        self._limiter = limiter

    def send(self, request: Any, **options: Any) -> Any:
        if self._limiter is None:
            return super().send(request, **options)
        whole = request.data
        if isinstance(whole, bytes):
            request.data = _Paced(whole, self._limiter)
        try:
            response = super().send(request, **options)
        finally:
            if isinstance(whole, bytes):
                request.data = whole
        _pace(response, self._limiter)
        return response


class _Paced(io.BytesIO):
    """A body that is read no faster than it may travel."""

    def __init__(self, data: bytes, limiter: Limiter) -> None:
        super().__init__(data)
        self._limiter = limiter
        self._size = len(data)

    def __len__(self) -> int:
        return self._size

    def read(self, size: int | None = -1, /) -> bytes:
        part = super().read(PACE if size is None or size < 0 else min(size, PACE))
        self._limiter.take(len(part))
        return part


def _pace(response: Any, limiter: Limiter) -> None:
    """Make the body of a response come from the connection no faster than it may travel."""
    raw = response.internal_response.raw
    read = raw.read

    def paced(amt: int | None = None, **options: Any) -> bytes:
        part: bytes = read(amt=PACE if amt is None else min(amt, PACE), **options)
        limiter.take(len(part))
        return part

    raw.read = paced
