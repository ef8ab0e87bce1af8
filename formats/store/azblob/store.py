"""A container as a store.

An object is one blob. One request puts it, and fails if a blob of that name exists. A blob is there whole or
not at all, and it is durable once the service has answered. The service checks the body of a request against
an MD5. Readers check by its digest whether an object is the right one.
"""

import os
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Self

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import AccessPolicy, ContainerClient, generate_container_sas

from formats.errors import NameHeldByOtherError, NotFoundError, StoreError
from formats.ids import hex_digest
from formats.layout import check_name, is_name, size_max
from formats.store.access import Access, signature_of
from formats.store.azblob.failures import code_of, meaning, status_of, told
from formats.store.azblob.service import connect, connection_string, parse_address
from formats.store.contract import Octets, check_range, check_whole, folder_of, octets, overlong
from formats.store.foreign import EMPTY, FILE, SET_ASIDE, Foreign, Passed

MACHINE_RIGHTS = "rcl"  # read, create, list
PAGE = 5000  # names in an answer, the maximum
COPY_POLL = 0.5  # seconds
_NAME_MAX = 1024
PROBE = "rights/probe"  # no object ever has this name
_NO_ETAG = '"0x0"'


class _BrokenOffError(Exception):
    """A connection that broke in the middle of an answer."""

    def __init__(self, error: HttpResponseError) -> None:
        super().__init__(str(error))
        self.error = error


class AzureStore:
    """A `contract.Store` in a container; it also offers `contract.Guarded`."""

    def __init__(self, client: ContainerClient, address: str, access: Access) -> None:
        self.address = address
        self._client: Any = client
        self._secret = access.secret
        self._patience = access.patience

    @classmethod
    def open(cls, address: str, access: Access, *, create: bool = False) -> Self:
        """Open the store in a container that exists and may be listed; with `create` it is made if need be.

        Raises UsageError store-unknown, access-unreadable; StoreError store-missing, access-missing,
        access-expired, access-refused, denied, store-unreachable, store-busy, proxy-refused.
        """
        place = parse_address(address)
        store = cls(connect(address, access), f"azblob://{place.account}/{place.container}", access)
        try:
            store._knock()
        except StoreError as error:
            if not create or error.code != "store-missing":
                raise
            with told(store.address, store._secret):
                try:
                    store._client.create_container()
                except ResourceExistsError:
                    store._knock()
        return store

    def put_new(self, name: str, data: Octets) -> bool:
        check_name(name)
        with octets(data) as view:
            body = bytes(view)
        with told(self._called(name), self._secret):
            try:
                self._upload(name, body, overwrite=False)
                return True
            except HttpResponseError as error:
                # The service answers 403 for an existing blob without the right to overwrite, and also
                # without any right to write.
                if status_of(error) not in (403, 409, 412):
                    raise
                return self._confirm(name, body, error)

    def get(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        check_name(name)
        check_range(start, length)
        if length == 0:
            if self.head(name) is None:
                raise NotFoundError(name, self.address)
            return b""
        until = time.monotonic() + self._patience
        while True:
            try:
                data = self._get(name, start, size_max(name) + 1 if length is None else length)
                check_whole(name, len(data), length, self.address)
                return data
            except _BrokenOffError as error:  # the SDK asks three times, and no more
                if time.monotonic() > until:
                    raise meaning(error.error, self._called(name), self._secret) from error

    def get_into(self, name: str, buffer: memoryview) -> int:
        data = self.get(name, 0, len(buffer) + 1)
        if len(data) > len(buffer):
            raise overlong(name, self.address)
        buffer[: len(data)] = data
        return len(data)

    def head(self, name: str) -> int | None:
        with told(self._called(check_name(name)), self._secret):
            found = self._properties(name)
        return int(found.size) or None if found is not None else None

    def list(self, prefix: str, passed: Passed | None = None) -> Iterator[tuple[str, int]]:
        folder = folder_of(prefix)
        return self._list(f"{folder}/" if folder else "", passed)

    def delete(self, name: str) -> None:
        with told(self._called(check_name(name)), self._secret):
            try:
                # A writer with the right to create may also take snapshots. A blob with snapshots is
                # only deleted together with them.
                self._client.delete_blob(name, delete_snapshots="include")
            except ResourceNotFoundError as error:
                _only_blob(error)

    def set_aside(self, name: str, kind: str | None = None) -> str:
        folder = f"{SET_ASIDE}/{os.urandom(8).hex()}"
        place = f"{folder}/{name}"
        if len(place) > _NAME_MAX:  # the service allows no longer name
            place = f"{folder}/{hex_digest(name.encode())}"
        old, new = self._client.get_blob_client(name), self._client.get_blob_client(place)
        with told(self._called(name), self._secret):
            try:
                seen = old.get_blob_properties()
                if kind not in (None, FILE if seen.size else EMPTY):
                    raise NotFoundError(name, self.address)
                same = {"etag": seen.etag, "match_condition": MatchConditions.IfNotModified}
                new.start_copy_from_url(old.url)
                self._wait_for_copy(new)
                old.delete_blob(delete_snapshots="include", **same)
            except ResourceNotFoundError as error:
                _only_blob(error)
                raise NotFoundError(name, self.address) from error
        return place

    def _wait_for_copy(self, blob: Any) -> None:
        """Wait until the service has copied a blob. Raises StoreError store-busy."""
        until = time.monotonic() + self._patience
        while (status := blob.get_blob_properties().copy.status) == "pending" and time.monotonic() < until:
            time.sleep(COPY_POLL)
        if status != "success":
            raise StoreError(
                "store-busy", "the storage service did not copy a blob in time", subject=self._called(blob.blob_name),
                hint="run the same command again later",
            )  # fmt: skip

    def close(self) -> None:
        self._client.close()

    def rights(self) -> frozenset[str]:
        """Return the rights, tried on a name that no blob has.

        With a right, the service answers that there is no blob; without it, the service refuses. The right to
        create is believed if a signature states it. A trial of it is not certain: the service may first
        report the impossible condition, or the missing right to overwrite.
        """
        blob = self._client.get_blob_client(PROBE)
        tries = {
            "read": blob.get_blob_properties,
            "list": self._first_page,
            "create": lambda: blob.upload_blob(
                b"x", overwrite=True, etag=_NO_ETAG, match_condition=MatchConditions.IfNotModified
            ),
            "write": lambda: blob.set_blob_metadata({"probe": "x"}),
            "delete": blob.delete_blob,
        }
        signature = signature_of(self._secret)
        said = {"create"} if signature is not None and "c" in (signature.rights or "") else set[str]()
        return frozenset(name for name, attempt in tries.items() if name in said or self._may(attempt))

    def written(self, name: str) -> datetime | None:
        with told(self._called(check_name(name)), self._secret):
            found = self._properties(name)
        return found.creation_time if found is not None else None

    def redundancy(self) -> str | None:
        try:
            kind = str(self._client.get_account_information()["sku_name"])
        except (AzureError, KeyError):
            return None
        return "geo" if "GRS" in kind or "GZRS" in kind else "local"

    def grant(self, ends: datetime, *, policy: str | None = None) -> str | None:
        key = getattr(self._client.credential, "account_key", None)
        if key is None:
            return None
        if policy is not None:
            self._set_policies({**self._policies(), policy: AccessPolicy(permission=MACHINE_RIGHTS)})
        token = generate_container_sas(
            self._client.account_name,
            self._client.container_name,
            account_key=key,
            permission=None if policy else MACHINE_RIGHTS,
            policy_id=policy,
            expiry=ends,
        )
        return connection_string(self._client, token)

    def revoke(self, policy: str) -> bool:
        policies = self._policies()
        if policies.pop(policy, None) is None:
            return False
        self._set_policies(policies)
        return True

    def _policies(self) -> dict[str, Any]:
        with told(self.address, self._secret):
            found = self._client.get_container_access_policy()["signed_identifiers"]
        return {one.id: one.access_policy for one in found}

    def _set_policies(self, policies: dict[str, Any]) -> None:
        with told(self.address, self._secret):
            self._client.set_container_access_policy(signed_identifiers=policies)

    def _called(self, name: str) -> str:
        return f"{self.address}/{name}"

    def _knock(self) -> None:
        with told(self.address, self._secret):
            self._first_page()

    def _first_page(self) -> None:
        next(self._client.list_blobs(name_starts_with="descriptor/", results_per_page=1).by_page(), None)

    def _may(self, attempt: Any) -> bool:
        with told(self.address, self._secret):
            try:
                attempt()
            except HttpResponseError as error:
                if status_of(error) in (401, 403):
                    return False
                if status_of(error) not in (404, 409, 412):
                    raise
        return True

    def _upload(self, name: str, body: bytes, **condition: Any) -> None:
        self._client.upload_blob(
            name, body, length=len(body), validate_content=True, max_concurrency=1, **condition
        )

    def _confirm(self, name: str, body: bytes, refusal: HttpResponseError) -> bool:
        """Return False if the blob that is there is equal.

        A blob without bytes is no object, and is overwritten.
        """
        found = self._properties(name)
        if found is None:
            raise refusal
        if found.size == 0:
            self._upload(
                name, body, overwrite=True, etag=found.etag, match_condition=MatchConditions.IfNotModified
            )
            return True
        if found.size != len(body) or self.get(name) != body:
            raise NameHeldByOtherError(name, self.address)
        return False

    def _properties(self, name: str) -> Any:
        """Return the blob's properties, None if there is no blob. Raises HttpResponseError."""
        try:
            return self._client.get_blob_client(name).get_blob_properties()
        except ResourceNotFoundError as error:
            _only_blob(error)
            return None

    def _get(self, name: str, start: int, length: int | None) -> bytes:
        try:
            stream = self._client.download_blob(name, offset=start, length=length, max_concurrency=1)
            data: bytes = stream.readall()
        except ResourceNotFoundError as error:
            if code_of(error) in ("BlobNotFound", ""):
                raise NotFoundError(name, self.address) from error
            raise meaning(error, self._called(name), self._secret) from error
        except AzureError as error:
            if isinstance(error, HttpResponseError) and not status_of(error):
                raise _BrokenOffError(error) from error
            if status_of(error) != 416:
                raise meaning(error, self._called(name), self._secret) from error
            if self.head(name) is None:
                raise NotFoundError(name, self.address) from error
            return b""  # it ends before the range begins
        return data

    def _list(self, prefix: str, passed: Passed | None) -> Iterator[tuple[str, int]]:
        with told(self._called(prefix), self._secret):
            for blob in self._client.list_blobs(name_starts_with=prefix or None, results_per_page=PAGE):
                if blob.size and is_name(blob.name):
                    yield blob.name, int(blob.size)
                elif passed is not None and not blob.name.startswith(f"{SET_ASIDE}/"):
                    kind, written = (FILE, 0.0) if blob.size else (EMPTY, blob.last_modified.timestamp())
                    passed(Foreign(blob.name, kind, written=written))


def _only_blob(error: ResourceNotFoundError) -> None:
    """Raise the error again if the container itself is missing."""
    if code_of(error) == "ContainerNotFound":
        raise error
