"""The meaning of the service's failures for the user, by its answer, or by the way in which it did not answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)

from formats.errors import MediaError, ObstructedError, StoreError
from formats.store.access import signature_of

SKEW_MAX = timedelta(minutes=15)  # beyond it, Azure refuses requests that an account's key signed

_RENEW = (
    "on the machine: `seed access set FILE` with a new one from the operator, or a new credential; at the datacenter: "
    "set AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_SAS_TOKEN anew"
)
_NO_RIGHT = ("AuthorizationPermissionMismatch", "UnauthorizedBlobOverwrite", "InsufficientAccountPermissions")
_NO_SIGNATURE = (
    "AuthenticationFailed", "AuthorizationFailure", "InvalidAuthenticationInfo", "NoAuthenticationInformation"
)  # fmt: skip
# A writer with the right to create can put a blob that readers cannot read: in the archive tier, or under a
# key of its own.
_UNREADABLE = (
    "BlobArchived",
    "BlobBeingRehydrated",
    "BlobUsesCustomerSpecifiedEncryption",
    "BlobCustomerSpecifiedEncryptionMismatch",
)
_LATER = "run the same command again later: it goes on where it ended"


@contextmanager
def told(subject: str, secret: str) -> Iterator[None]:
    """Turn any failure of the SDK inside the block into our error for `subject`."""
    try:
        yield
    except AzureError as error:
        raise meaning(error, subject, secret) from error


def code_of(error: AzureError) -> str:
    """Return the service's own name for the failure; "" if it gave none."""
    response = getattr(error, "response", None)
    said = response.headers.get("x-ms-error-code") if response is not None else None
    return str(said or getattr(getattr(error, "error_code", None), "value", "") or "")


def status_of(error: AzureError) -> int:
    """Return the HTTP status, 0 if there was no answer."""
    return (error.status_code or 0) if isinstance(error, HttpResponseError) else 0


def meaning(error: AzureError, subject: str, secret: str) -> StoreError | MediaError:
    """Return our error for the meaning of `error` for `subject`."""
    status, code = status_of(error), code_of(error)
    if status == 0:
        return _silence(error, subject)
    if status == 407 or (status in (401, 403) and not _is_azures(error)):
        return _proxy(subject)
    if code in ("ContainerNotFound", "ContainerBeingDeleted", "ContainerDisabled", "ResourceNotFound"):
        return StoreError(
            "store-missing", f"there is no such container ({code})", subject=subject,
            hint="check the address; `importer vault create` makes a container that is not there",
        )  # fmt: skip
    if status in (401, 403) or isinstance(error, ClientAuthenticationError):
        return _refused(error, subject, secret, code)
    if code in _UNREADABLE:
        return ObstructedError(f"nobody can read this blob as it is ({code})", subject=subject)
    if status in (429, 500, 502, 503, 504):
        return StoreError(
            "store-busy", f"the storage service was asked again and again, and did not do it ({status} {code})",
            subject=subject, hint=_LATER,
        )  # fmt: skip
    if code in ("Md5Mismatch", "InvalidMd5", "Crc64Mismatch"):
        return MediaError(
            "io-error", "the service received other bytes than were sent", subject=subject, hint=_LATER
        )
    return StoreError(
        "denied", f"the storage service does not do it ({status} {code or error.reason})".rstrip(),
        subject=subject, hint="the code in brackets is Azure's, and its documentation says more",
    ) if isinstance(error, HttpResponseError) else _silence(error, subject)  # fmt: skip


def _refused(error: AzureError, subject: str, secret: str, code: str) -> StoreError:
    """Return the error for a refusal, by its cause.

    The access has expired, lacks the right, or is wrong; or a clock is wrong.
    """
    signature, now = signature_of(secret), _date(error, "Date")
    if signature is not None and now is not None:
        if signature.ends is not None and signature.ends <= now:
            return StoreError(
                "access-expired", f"the access ended at {signature.ends:%Y-%m-%d %H:%M} UTC",
                subject=subject, hint=_RENEW,
            )  # fmt: skip
        if signature.begins is not None and signature.begins > now:
            return StoreError(
                "access-refused", f"the access is valid from {signature.begins:%Y-%m-%d %H:%M} UTC on only",
                subject=subject,
                hint=f"by the service's clock it is {now:%Y-%m-%d %H:%M} UTC: was it made by a clock that is wrong?",
            )  # fmt: skip
    sent = _date(error, "x-ms-date")
    if sent is not None and now is not None and abs(now - sent) > SKEW_MAX:
        return StoreError(
            "access-refused", "the clock of this machine is wrong, so the service refuses its signatures",
            subject=subject,
            hint=f"here it is {sent:%Y-%m-%d %H:%M} UTC, at the service {now:%Y-%m-%d %H:%M}: set the clock right",
        )  # fmt: skip
    if code in _NO_RIGHT:
        return StoreError(
            "denied", "the access does not give the right to do this", subject=subject,
            hint="`seed status` tells which rights it gives; a machine needs create, read and list, an operator all",
        )  # fmt: skip
    if code in _NO_SIGNATURE or not code:
        return StoreError(
            "access-refused", "the storage account does not accept the access: it is wrong, or was revoked",
            subject=subject, hint=_RENEW,
        )  # fmt: skip
    return StoreError(
        "denied", f"the storage account refuses this ({code})", subject=subject,
        hint="the code in brackets is Azure's; the account's firewall, protocol or policy may forbid it",
    )  # fmt: skip


def _is_azures(error: AzureError) -> bool:
    """Return whether the service itself answered, and not something on the way to it."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    return "x-ms-request-id" in headers or "x-ms-error-code" in headers


def _silence(error: AzureError, subject: str) -> StoreError:
    """Return the error for no answer, or for half of one."""
    said = str(error)
    if "407 Proxy" in said:
        return _proxy(subject)
    if "Cannot connect to proxy" in said or "ProxyError" in said:
        what, hint = (
            "the proxy cannot be reached",
            "check it: `seed proxy show`, HTTPS_PROXY in the environment",
        )
    elif any(
        w in said for w in ("Failed to resolve", "Name or service not known", "getaddrinfo", "NameResolution")
    ):
        what, hint = (
            "the name of the storage account cannot be resolved",
            "check the address, and the name service",
        )
    elif "CERTIFICATE_VERIFY_FAILED" in said:
        what = "the service's certificate is not one that this machine trusts"
        hint = "is a proxy in between? Set REQUESTS_CA_BUNDLE to its certificates"
    elif isinstance(error, ServiceRequestError):
        what, hint = "the storage service cannot be reached", "check the network, and a proxy if there is one"
    elif isinstance(error, ServiceResponseError) or type(error) is HttpResponseError:
        what, hint = "the connection to the storage service broke", _LATER
    else:
        what = f"the storage service cannot be used ({type(error).__name__})"
        hint = "sign in again, or give a connection string"
    return StoreError("store-unreachable", what, subject=subject, hint=hint)


def _proxy(subject: str) -> StoreError:
    return StoreError(
        "proxy-refused", "a proxy on the way refuses; it may want another user or password",
        subject=subject, hint="give them by `seed proxy set URL --user U --password-file FILE`",
    )  # fmt: skip


def _date(error: AzureError, header: str) -> datetime | None:
    """Return a time from the answer's headers, or from those of the request that was signed."""
    response = getattr(error, "response", None)
    if response is None:
        return None
    said = response.headers.get(header) or response.request.headers.get(header)
    try:
        return parsedate_to_datetime(said) if said else None
    except ValueError:
        return None
