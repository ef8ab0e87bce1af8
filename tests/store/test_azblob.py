"""A container keeps the contract, and every failure of a storage service has a clear end: on a real Azurite."""

import inspect
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobServiceClient, ContainerClient, StandardBlobTier, generate_container_sas

from formats.errors import (
    NameHeldByOtherError,
    NotFoundError,
    ObstructedError,
    OffseedError,
    StoreError,
    UsageError,
    is_damage,
)
from formats.ids import digest
from formats.layout import archive_name
from formats.store.access import SHARED_ACCESS, Access
from formats.store.address import open_store
from formats.store.azblob import service
from formats.store.azblob.store import AzureStore
from formats.store.contract import Guarded, Store
from formats.store.foreign import Strangers
from tests.azurite import ACCOUNT, KEY, Azurite
from tests.store.between import Between, Fault
from tests.store.contract import ARCHIVE, DATA, LABEL, MANIFEST, StoreContract, race

pytestmark = pytest.mark.needs("azurite")

BUSY = 503
TOO_MANY = 429
MANY = 10**9


def new_address() -> str:
    return f"azblob://{ACCOUNT}/test-{secrets.token_hex(6)}"


def container_of(azurite: Azurite, address: str) -> ContainerClient:
    """Return the container itself, which bypasses the store."""
    service = BlobServiceClient.from_connection_string(azurite.connection_string())
    return service.get_container_client(address.rpartition("/")[2])


@pytest.fixture
def store(azurite: Azurite) -> Iterator[AzureStore]:
    store = AzureStore.open(new_address(), Access(azurite.connection_string()), create=True)
    yield store
    store.close()


@pytest.fixture
def between(azurite: Azurite) -> Iterator[Between]:
    between = Between(azurite.port)
    yield between
    between.close()


class Stopwatch:
    """A clock that advances only during sleeps: patience does not end sooner on a busy machine."""

    def __init__(self) -> None:
        self.passed = 0.0
        self._lock = threading.Lock()

    def monotonic(self) -> float:
        return self.passed

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.passed += seconds


@pytest.fixture
def stopwatch(monkeypatch: pytest.MonkeyPatch) -> Stopwatch:
    """Return the clock that times the repeated requests."""
    stopwatch = Stopwatch()
    monkeypatch.setattr(service, "time", stopwatch)
    return stopwatch


@pytest.fixture
def shaky(azurite: Azurite, between: Between, stopwatch: Stopwatch) -> Iterator[AzureStore]:
    """Return a store behind the misbehaving proxy; it is patient for three seconds."""
    assert stopwatch.passed == 0
    access = Access(azurite.connection_string(between.port), patience=3)
    store = AzureStore.open(new_address(), access, create=True)
    yield store
    store.close()


class TestAzureStore(StoreContract):
    @pytest.fixture
    def store(self, azurite: Azurite) -> Iterator[Store]:
        self.azurite = azurite
        store = AzureStore.open(new_address(), Access(azurite.connection_string()), create=True)
        yield store
        store.close()

    def raw_write(self, store: Store, name: str, data: bytes) -> None:
        container_of(self.azurite, store.address).upload_blob(name, data, overwrite=True)

    def raw_read(self, store: Store, name: str) -> bytes | None:
        try:
            return container_of(self.azurite, store.address).download_blob(name).readall()
        except ResourceNotFoundError:
            return None


VERBS = [name for name, _ in inspect.getmembers(Store, inspect.isfunction) if not name.startswith("_")]
GUARDED = [name for name, _ in inspect.getmembers(Guarded, inspect.isfunction) if not name.startswith("_")]


@pytest.mark.parametrize("verb", VERBS)
def test_signatures_are_the_contracts(verb: str) -> None:
    assert inspect.signature(getattr(AzureStore, verb)) == inspect.signature(getattr(Store, verb))


@pytest.mark.parametrize("verb", GUARDED)
def test_signatures_are_those_of_a_guarded_store(verb: str) -> None:
    assert inspect.signature(getattr(AzureStore, verb)) == inspect.signature(getattr(Guarded, verb))


def test_an_archive_is_one_request_and_carries_its_md5(azurite: Azurite, store: AzureStore) -> None:
    data = secrets.token_bytes(16 << 20)
    name = archive_name(digest(data))
    before = len(azurite.asked(store.address.rpartition("/")[2]))
    assert store.put_new(name, data)
    asked = azurite.asked(store.address.rpartition("/")[2])[before:]
    assert [one.kind for one in asked] == ["Put Blob"]
    found = container_of(azurite, store.address).get_blob_client(name).get_blob_properties()
    assert found.content_settings.content_md5


def test_a_whole_archive_of_an_export_is_one_request(azurite: Azurite, store: AzureStore) -> None:
    data = bytes(64 << 20)
    before = azurite.counted(store.address.rpartition("/")[2])["Put Blob"]
    store.put_new(ARCHIVE, data)
    assert azurite.counted(store.address.rpartition("/")[2])["Put Blob"] == before + 1
    assert store.get(ARCHIVE) == data


def test_a_range_is_one_request(azurite: Azurite, store: AzureStore) -> None:
    store.put_new(ARCHIVE, secrets.token_bytes(9 << 20))
    container = store.address.rpartition("/")[2]
    before = azurite.counted(container)
    assert len(store.get(ARCHIVE, 5, 6 << 20)) == 6 << 20
    assert azurite.counted(container) - before == {"Get Blob": 1}


@pytest.mark.parametrize("name", [ARCHIVE, LABEL])
def test_races_across_connections(azurite: Azurite, store: AzureStore, name: str) -> None:
    """Let one writer win among clients with different bytes; writers of equal bytes all succeed."""
    access = Access(azurite.connection_string())
    stores = [AzureStore.open(store.address, access) for _ in range(6)]
    datas = [bytes([n]) * 5000 for n in range(6)]
    start = threading.Barrier(6)

    def put(number: int) -> bool | None:
        start.wait()
        try:
            return stores[number].put_new(name, datas[number])
        except NameHeldByOtherError:
            return None

    with ThreadPoolExecutor(6) as threads:
        won = list(threads.map(put, range(6)))
    assert sorted(won, key=str) == [None] * 5 + [True]
    assert store.get(name) == datas[won.index(True)]
    assert None not in race(store, MANIFEST, [b"equal"] * 6)


# Obstacles by users that may create objects.


def test_a_snapshot_keeps_nothing_from_being_deleted_or_set_aside(store: AzureStore) -> None:
    for verb in (store.delete, store.set_aside):
        store.put_new(LABEL, DATA)
        store._client.get_blob_client(LABEL).create_snapshot()
        verb(LABEL)
        assert store.head(LABEL) is None


def test_a_blob_in_the_archive_tier_is_damage_of_that_object(store: AzureStore) -> None:
    store.put_new(LABEL, DATA)
    store._client.upload_blob(ARCHIVE, DATA, standard_blob_tier=StandardBlobTier.ARCHIVE)
    assert list(store.list("")) == [(ARCHIVE, len(DATA)), (LABEL, len(DATA))]
    for call in (lambda: store.get(ARCHIVE), lambda: store.put_new(ARCHIVE, DATA)):
        with pytest.raises(ObstructedError) as caught:
            call()
        assert (caught.value.code, caught.value.subject) == ("obstructed", f"{store.address}/{ARCHIVE}")
        assert is_damage(caught.value)
    store.delete(ARCHIVE)
    assert store.put_new(ARCHIVE, DATA) is True


def test_a_name_as_long_as_names_may_be_is_set_aside(store: AzureStore) -> None:
    for name in ("x" * 1024, "ä\n" * 300):
        store._client.upload_blob(name, DATA)
        place = store.set_aside(name)
        assert store._client.download_blob(place).readall() == DATA
    assert list(store.list("", tally := Strangers())) == []
    assert tally.count == 0


# Rights that are granted, and rights that are refused.


def granted(azurite: Azurite, address: str, rights: str, **times: datetime) -> Access:
    settings: dict[str, Any] = {"expiry": datetime.now(UTC) + timedelta(hours=1), **times}
    container = address.rpartition("/")[2]
    token = generate_container_sas(ACCOUNT, container, account_key=KEY, permission=rights, **settings)
    return Access(f"BlobEndpoint={azurite.endpoint};{SHARED_ACCESS}{token}", patience=2)


def test_a_machine_may_create_read_and_list_and_no_more(azurite: Azurite, store: AzureStore) -> None:
    secret = store.grant(datetime.now(UTC) + timedelta(hours=1))
    assert secret is not None
    machine = AzureStore.open(store.address, Access(secret))
    assert machine.rights() == {"create", "read", "list"}
    assert machine.put_new(ARCHIVE, DATA)
    assert machine.put_new(ARCHIVE, DATA) is False
    with pytest.raises(NameHeldByOtherError):
        machine.put_new(ARCHIVE, DATA + b"x")
    assert machine.get(ARCHIVE) == DATA
    assert list(machine.list("")) == [(ARCHIVE, len(DATA))]
    with pytest.raises(StoreError) as caught:
        machine.delete(ARCHIVE)
    assert caught.value.code == "denied"
    client: Any = machine._client
    attempts: tuple[Callable[[], object], ...] = (
        lambda: client.upload_blob(ARCHIVE, b"other", overwrite=True),
        lambda: client.get_blob_client(ARCHIVE).set_blob_metadata({"a": "b"}),
        lambda: client.delete_blob(ARCHIVE),
    )
    for attempt in attempts:
        with pytest.raises(
            Exception, match=r"AuthorizationPermissionMismatch|UnauthorizedBlobOverwrite|BlobAlready"
        ):
            attempt()
    assert store.get(ARCHIVE) == DATA
    assert machine.grant(datetime.now(UTC) + timedelta(hours=1)) is None


def test_the_accounts_key_may_do_everything(store: AzureStore) -> None:
    assert store.rights() == {"create", "read", "list", "write", "delete"}
    assert list(store.list("")) == [], "trying leaves nothing behind"
    assert store.redundancy() == "geo"  # Azurite says Standard_RAGRS


def test_standing_access_is_revoked_by_its_policy(azurite: Azurite, store: AzureStore) -> None:
    ends = datetime.now(UTC) + timedelta(days=30)
    secret = store.grant(ends, policy="machines")
    other = store.grant(ends, policy="others")
    assert secret is not None
    assert other is not None
    assert AzureStore.open(store.address, Access(secret)).rights() == {"create", "read", "list"}
    assert store.revoke("machines") is True
    assert store.revoke("machines") is False
    with pytest.raises(StoreError) as caught:
        AzureStore.open(store.address, Access(secret))
    assert caught.value.code == "access-refused"
    assert AzureStore.open(store.address, Access(other)).put_new(ARCHIVE, DATA)


@pytest.mark.parametrize(
    ("rights", "hours", "code"),
    [
        ("rcl", {"expiry": -1}, "access-expired"),
        ("rcl", {"start": 1}, "access-refused"),
        ("c", {}, "denied"),
        ("rc", {}, "denied"),
    ],
)
def test_403_is_told_apart(
    azurite: Azurite, store: AzureStore, rights: str, hours: dict[str, int], code: str
) -> None:
    times = {name: datetime.now(UTC) + timedelta(hours=ahead) for name, ahead in hours.items()}
    with pytest.raises(StoreError) as caught:
        AzureStore.open(store.address, granted(azurite, store.address, rights, **times))
    assert caught.value.code == code, caught.value
    assert caught.value.hint


def test_a_wrong_signature_is_no_want_of_rights(azurite: Azurite, store: AzureStore) -> None:
    good = granted(azurite, store.address, "rcl").secret
    with pytest.raises(StoreError) as caught:
        AzureStore.open(store.address, Access(good[:-8] + "AAAA%3D", patience=2))
    assert caught.value.code == "access-refused"


def test_a_clock_that_is_wrong_is_told(azurite: Azurite, between: Between) -> None:
    between.times(MANY, Fault(status=403, code="AuthenticationFailed", date="Sat, 01 Jan 2000 00:00:00 GMT"))
    with pytest.raises(StoreError) as caught:
        AzureStore.open(new_address(), Access(azurite.connection_string(between.port), patience=2))
    assert caught.value.code == "access-refused"
    assert "clock" in caught.value.what
    assert "2000-01-01" in caught.value.hint


def test_no_access_at_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "azure.identity", None)
    with pytest.raises(StoreError) as caught:
        open_store(new_address())
    assert caught.value.code == "access-missing"


@pytest.mark.parametrize(
    ("address", "code"),
    [
        (f"azblob://{ACCOUNT}/Capitals", "store-unknown"),
        (f"azblob://{ACCOUNT}/a", "store-unknown"),
        (f"azblob://{ACCOUNT}/a--b", "store-unknown"),
        (f"azblob://{ACCOUNT}/one/two", "store-unknown"),
        (f"azblob://{ACCOUNT}", "store-unknown"),
        ("azblob://Account/container", "store-unknown"),
        ("azblob://otheraccount/container", "store-unknown"),
        (f"azblob://{ACCOUNT}/not-there", "store-missing"),
    ],
)
def test_addresses_that_name_nothing(azurite: Azurite, address: str, code: str) -> None:
    with pytest.raises(OffseedError) as caught:
        AzureStore.open(address, Access(azurite.connection_string()))
    assert caught.value.code == code
    assert caught.value.hint


@pytest.mark.parametrize(
    "secret", ["AccountName=x", f"AccountName={ACCOUNT};AccountKey=!!!", "BlobEndpoint=http://"]
)
def test_an_access_that_is_none(secret: str) -> None:
    with pytest.raises((UsageError, StoreError)) as caught:
        AzureStore.open(new_address(), Access(secret, patience=0))
    assert caught.value.code in ("access-unreadable", "store-unknown", "access-refused")


# Faults on the way.


@pytest.mark.parametrize("status", [BUSY, TOO_MANY, 500, 408])
def test_a_storm_that_ends_is_waited_for(shaky: AzureStore, between: Between, status: int) -> None:
    between.times(3, Fault(status=status, code="ServerBusy"))
    assert shaky.put_new(ARCHIVE, DATA)
    between.times(3, Fault(status=status, code="ServerBusy"))
    assert shaky.get(ARCHIVE) == DATA
    between.times(3, Fault(status=status, code="ServerBusy"))
    assert list(shaky.list("")) == [(ARCHIVE, len(DATA))]


@pytest.mark.parametrize("status", [BUSY, TOO_MANY])
@pytest.mark.parametrize("verb", ["put", "get", "head", "list", "delete"])
def test_a_storm_without_end_ends(
    shaky: AzureStore, between: Between, stopwatch: Stopwatch, status: int, verb: str
) -> None:
    calls: dict[str, Callable[[], object]] = {
        "put": lambda: shaky.put_new(ARCHIVE, DATA),
        "get": lambda: shaky.get(ARCHIVE),
        "head": lambda: shaky.head(ARCHIVE),
        "list": lambda: list(shaky.list("")),
        "delete": lambda: shaky.delete(ARCHIVE),
    }
    between.times(MANY, Fault(status=status, code="ServerBusy"))
    began = stopwatch.passed
    with pytest.raises(StoreError) as caught:
        calls[verb]()
    assert caught.value.code == "store-busy"
    assert 1 < stopwatch.passed - began < 10
    assert len(between.requests) > 3


def test_a_body_that_breaks_off_is_asked_for_again(shaky: AzureStore, between: Between) -> None:
    data = secrets.token_bytes(1 << 20)
    shaky.put_new(ARCHIVE, data)
    between.times(2, Fault(cut=100_000), "GET")
    assert shaky.get(ARCHIVE) == data
    between.times(MANY, Fault(cut=100_000), "GET")
    with pytest.raises(StoreError) as caught:
        shaky.get(ARCHIVE)
    assert caught.value.code == "store-unreachable"


def test_a_put_whose_answer_is_lost_has_happened(shaky: AzureStore, between: Between) -> None:
    between.times(1, Fault(lost=True), "PUT")
    assert shaky.put_new(ARCHIVE, DATA) is False, "it was there when it was put again"
    assert shaky.get(ARCHIVE) == DATA


def test_a_service_that_went_away(azurite: Azurite, between: Between, shaky: AzureStore) -> None:
    shaky.put_new(ARCHIVE, DATA)
    between.times(MANY, Fault(lost=True))  # the connections that are open
    between.close()
    with pytest.raises(StoreError) as caught:
        shaky.get(ARCHIVE)
    assert caught.value.code == "store-unreachable"


def test_a_name_that_nobody_resolves(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(StoreError) as caught:
        AzureStore.open("azblob://nosuchaccount/vault", Access(KEY, patience=1))
    assert caught.value.code == "store-unreachable"
    assert "name" in caught.value.what


def test_a_container_deleted_meanwhile(azurite: Azurite, store: AzureStore) -> None:
    container_of(azurite, store.address).delete_container()
    for attempt in (lambda: store.get(LABEL), lambda: store.head(LABEL), lambda: store.put_new(LABEL, DATA)):
        with pytest.raises(StoreError) as caught:
            attempt()
        assert not isinstance(caught.value, NotFoundError)
        assert caught.value.code == "store-missing"


# How fast bytes travel.


class Counting:
    """A limiter that lets everything pass, and counts."""

    def __init__(self) -> None:
        self.count = 0
        self.largest = 0

    def take(self, count: int) -> None:
        self.count += count
        self.largest = max(self.largest, count)


def test_a_limiter_sees_every_byte_of_both_directions(azurite: Azurite, between: Between) -> None:
    limiter = Counting()
    access = Access(azurite.connection_string(between.port), limiter=limiter)
    limited = AzureStore.open(new_address(), access, create=True)
    data = secrets.token_bytes(1_000_000)
    limiter.count = 0
    limited.put_new(ARCHIVE, data)
    assert limiter.count == len(data)
    limiter.count = 0
    assert limited.get(ARCHIVE) == data
    assert limiter.count == len(data)
    assert limiter.largest <= 64 << 10
    limiter.count = 0
    between.times(2, Fault(status=BUSY), "PUT")
    limited.put_new(LABEL, data)
    assert limiter.count == 3 * len(data), "what is sent again counts again"
