"""The whole journey with a vault in Azure Blob Storage, on a real Azurite: requests, rights and routes."""

import json
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.storage.blob import ContainerClient, generate_container_sas

from formats.errors import StoreError
from formats.store.access import SHARED_ACCESS, Access
from formats.store.azblob.store import AzureStore
from tests.azurite import ACCOUNT, KEY, Azurite
from tests.commands import PATIENCE
from tests.journeys import moments, trees
from tests.journeys.containers import ContainerStage
from tests.journeys.stage import backup, below, disks, kept, refused, restored, snapshot, to
from tests.pages import text_of_pages
from tests.store.between import Between, Fault

assert sys.platform == "linux"

pytestmark = pytest.mark.needs("azurite")

ATTEMPTS = 5


@pytest.fixture
def stage(room: Path, azurite: Azurite) -> ContainerStage:
    ContainerStage.server = azurite
    return ContainerStage(room / "stage")


@pytest.fixture
def member(stage: ContainerStage) -> ContainerStage:
    """Return a stage with a vault in a container and a machine that joined it by its credential alone."""
    stage.open()
    return stage


@pytest.fixture
def source(room: Path) -> Path:
    return trees.varied_tree(room / "source")


def own_secret(stage: ContainerStage) -> str:
    found: str = json.loads((stage.home / "network.json").read_text())["secret"]
    return found


def change(source: Path, number: int) -> None:
    trees.small_file(source / f"new {number}", trees.incompressible(200_000, 50 + number))
    for path in sorted(source.rglob("*"))[number::40]:
        if path.is_file() and not path.is_symlink() and path.stat().st_nlink == 1:
            path.write_bytes(path.read_bytes() + b" changed")


def test_the_whole_journey(member: ContainerStage, source: Path, room: Path) -> None:
    """Restore every point after two disks, incremental backups and a restore that lacked one disk."""
    one, two = disks(member, 2)
    trees.small_file(source / "large 1", trees.incompressible(40 << 20, 1))
    trees.small_file(source / "large 2", trees.incompressible(40 << 20, 2))
    seeded = member.run("seed", "export", source, *to(one, two), "--json").json
    first = kept(source, room, "first")
    member.run("importer", "import", one, "--vault", member.at)
    change(source, 1)
    second_point = backup(member)["point"]
    second = kept(source, room, "second")
    lacking = member.run(
        "seed", "restore", str(seeded["point"])[:8], "--vault", member.at, "--target", room / "lacking", "--json",
        code=3,
    ).json  # fmt: skip
    assert {f["code"] for f in lacking["findings"]} == {"chunk-missing"}
    change(source, 2)
    third_point = backup(member)["point"]
    member.run("importer", "import", two, "--vault", member.at)
    for point, copy in ((seeded["point"], first), (second_point, second), (third_point, source)):
        found = restored(member, point, room, source)
        assert snapshot(found) == snapshot(copy)
    points = member.run("importer", "points", "--vault", member.at, "--json").json
    assert [p["complete"] for p in points] == [True] * 3
    again = member.run("importer", "import", one, two, "--vault", member.at, "--json").json
    assert [disk["copied"] for disk in again["disks"]] == [0, 0]
    asked = member.server.counted(member.container)
    print("requests by kind:", dict(asked))
    assert set(asked) <= {
        "Put Blob", "Get Blob", "Get Blob Properties", "List Blobs",  # also to make a vault and try rights:
        "PUT metadata", "Delete Blob", "GET properties", "PUT container",
    }  # fmt: skip
    refused_ones = [a for a in member.server.asked(member.container) if a.status >= 400 and a.status != 404]
    assert all(a.blob == "rights/probe" or a.status == 409 for a in refused_ones), refused_ones


def test_an_archive_of_a_backup_is_one_put_of_at_most_16_mib(member: ContainerStage, source: Path) -> None:
    trees.small_file(source / "one file", trees.incompressible(50 << 20, 3))
    backed = backup(member, source)
    blobs = {b.name: b.size for b in member.client().list_blobs(name_starts_with="archives/")}
    assert len(blobs) == backed["archives"]
    assert max(blobs.values()) <= 16 << 20
    puts = [a.blob for a in member.server.asked(member.container) if a.kind == "Put Blob" and a.status == 201]
    assert sorted(p for p in puts if p.startswith("archives/")) == sorted(blobs)
    assert not [a for a in member.server.asked(member.container) if "comp=block" in a.query]


def test_a_restore_reads_ranges_that_lie_together_at_once(
    member: ContainerStage, source: Path, room: Path
) -> None:
    backup(member, source)
    before = member.server.counted(member.container)["Get Blob"]
    member.restore(room / "target")
    assert snapshot(below(room / "target", source)) == snapshot(source)
    archives = sum(1 for _ in member.client().list_blob_names(name_starts_with="archives/"))
    stored = sum(b.size for b in member.client().list_blobs(name_starts_with="archives/"))
    reads = member.server.counted(member.container)["Get Blob"] - before
    assert reads < 30 + 4 * archives + stored // (2 << 20), (
        f"{reads} reads of {archives} archives, {stored} bytes"
    )


def test_the_machines_access_cannot_overwrite_nor_delete(
    member: ContainerStage, source: Path, room: Path
) -> None:
    """Register, announce, back up and restore with a SAS that only creates, reads and lists.

    The server refuses all other operations.
    """
    member.export(source)
    change(source, 1)
    backup(member)
    member.import_()
    member.restore(room / "target")
    assert snapshot(below(room / "target", source)) == snapshot(source)
    status = member.run("seed", "status")
    assert "create, list, read: an attacker on this machine cannot overwrite or delete" in status.stdout
    assert "ends on" in status.stderr
    secret = own_secret(member)
    assert secret.count("sp=rcl") == 1
    machine = AzureStore.open(member.at, Access(secret))
    name, _ = next(machine.list("archives"))
    before = machine.get(name)
    with pytest.raises(StoreError):
        machine.delete(name)
    client: ContainerClient = machine._client
    with pytest.raises(Exception, match=r"AuthorizationPermissionMismatch|UnauthorizedBlobOverwrite"):
        client.upload_blob(name, b"ransom", overwrite=True)
    assert machine.get(name) == before


def test_status_says_when_malware_could_delete(member: ContainerStage) -> None:
    status = member.run("seed", "status", AZURE_STORAGE_CONNECTION_STRING=member.key)
    assert "CAN destroy" in status.stdout
    assert set(member.run("seed", "status", "--json", AZURE_STORAGE_CONNECTION_STRING=member.key).json["rights"]) == {
        "create", "delete", "list", "read", "write",
    }  # fmt: skip


def test_standing_access_is_issued_set_and_revoked(member: ContainerStage, source: Path, room: Path) -> None:
    file = room / "web1.access"
    issued = member.run("importer", "access", "issue", "--vault", member.at, "--out", file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text().strip() not in issued.stdout
    shown = member.run("seed", "access", "set", file)
    assert "the operator's, until" in shown.stdout
    assert "sig=" not in shown.stdout + shown.stderr
    assert not member.run("seed", "access", "show").stderr
    backup(member, source)
    assert "an attacker on this machine cannot overwrite" in member.run("seed", "status").stdout
    member.run("importer", "access", "revoke", "--vault", member.at)
    ended = member.run("seed", "backup", "--json", code=1)
    refused(ended, "access-refused")
    refused(
        member.run("importer", "access", "revoke", "--vault", member.at, "--json", code=2), "name-invalid"
    )
    soon = room / "soon.access"
    member.run("importer", "access", "issue", "--vault", member.at, "--out", soon, "--days", 10)
    member.run("seed", "access", "set", soon)
    assert "the access to the vault ends on" in member.run("seed", "backup").stderr, "14 days ahead"


def test_a_machine_may_register_with_an_access_of_its_own(stage: ContainerStage, room: Path) -> None:
    """Tell the operator and the machine that a credential opens nothing if it lacks an access.

    Such a credential is issued without the account's key.
    """
    stage.create_vault()
    file = room / "operator.access"
    stage.run("importer", "access", "issue", "--vault", stage.at, "--out", file)
    issued = stage.run(
        "importer", "credentials", "issue", "--vault", stage.at, "--out", stage.credential,
        AZURE_STORAGE_CONNECTION_STRING=file.read_text().strip(),
    )  # fmt: skip
    assert "--access-file" in issued.stderr
    stage.write_secret()
    words = (
        "register", "--credential", stage.credential, "--name", "web1", "--passphrase-file", stage.secret,
    )  # fmt: skip
    offline = stage.run("seed", *words, SEED_HOME=room / "elsewhere", AZURE_STORAGE_CONNECTION_STRING="")
    assert "the request travels on the disk" in offline.stdout
    registered = stage.run("seed", *words, "--access-file", file)
    assert "travels" not in registered.stdout
    assert "active" in stage.run("importer", "machines", "list", "--vault", stage.at).stdout
    assert stage.run("seed", "status", "--json").json["reached"] is True


@pytest.mark.needs("faketime")
def test_a_request_that_came_in_time_is_accepted_late(member: ContainerStage, room: Path) -> None:
    """Accept a request that came in time, even days later: the service knows the time of arrival.

    The importer's clock does not matter.
    """
    listed = subprocess.run(
        ["faketime", "+3 days", *member.command("importer"), "machines", "list", "--vault", member.at],
        env=member.environment(member.bring(("importer",), {})), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "active" in listed.stdout, listed


def test_the_readmes_story_in_azure(stage: ContainerStage, small_tree: Path) -> None:
    from tests.journeys.test_readme import APART, here, places

    (story,) = [t for kind, t in APART.findall(text_of_pages()) if kind == "azblob"]
    stand_for = places(stage, small_tree)
    stand_for["azblob://account/backups"] = stage.at
    lines = [line.split() for line in story.splitlines()]
    assert len(lines) > 8
    for program, *words in lines:
        stage.run(program, *(here(word, stand_for) for word in words))
    target = stage.folder / "restored"
    assert trees.differences(small_tree / "media", below(target, small_tree / "media")) == []


# Faults, and the messages about them.


def expired(stage: ContainerStage) -> str:
    token = generate_container_sas(
        ACCOUNT,
        stage.container,
        account_key=KEY,
        permission="rcl",
        expiry=datetime.now(UTC) - timedelta(days=1),
    )
    return f"BlobEndpoint={stage.server.endpoint};{SHARED_ACCESS}{token}"


def test_an_access_that_has_ended(member: ContainerStage, source: Path, room: Path) -> None:
    file = room / "old.access"
    file.write_text(expired(member) + "\n")
    assert "ended on" in member.run("seed", "access", "set", file).stderr
    refused(member.run("seed", "backup", source, "--json", code=1), "access-expired")
    status = member.run("seed", "status")
    assert "not reached" in status.stdout
    assert "the access ended at" in status.stderr
    member.run("seed", "export", source, "--to", member.disk)  # disks need no network
    offline = member.run("seed", "export", source, "--to", member.disk)
    assert "the access ended at" in offline.stderr


@pytest.mark.parametrize("content", ["", "hello", "two\nlines of it", "\0\1\2"])
def test_an_access_file_that_is_none(member: ContainerStage, room: Path, content: str) -> None:
    file = room / "no.access"
    file.write_text(content)
    before = own_secret(member)
    refused(member.run("seed", "access", "set", file, "--json", code=2), "access-unreadable")
    refused(member.run("seed", "access", "set", room / "nowhere", "--json", code=2), "access-unreadable")
    assert own_secret(member) == before


def test_vaults_that_cannot_be_made(stage: ContainerStage, room: Path) -> None:
    words = ("vault", "create", "Backups", "--region", "here", "--json", "--at")
    wrong = f"azblob://{ACCOUNT}/Backups"
    refused(stage.run("importer", *words, wrong, code=2), "store-unknown")
    differs = stage.run("importer", *words, stage.at, "--redundancy", "local", code=1)
    refused(differs, "redundancy-differs")
    refused(
        stage.run("importer", *words, stage.at, AZURE_STORAGE_CONNECTION_STRING="", code=1), "access-missing"
    )
    few = stage.grant()
    refused(
        stage.run("importer", *words, stage.at, AZURE_STORAGE_CONNECTION_STRING=few, code=1), "rights-missing"
    )
    made = stage.run("importer", *words, stage.at).json
    assert made["redundancy"] == "geo", "as the account says"
    missing = stage.run("importer", "points", "--vault", f"azblob://{ACCOUNT}/not-there", "--json", code=1)
    refused(missing, "vault-missing")


def test_a_vaults_folder_needs_no_access(room: Path) -> None:
    from tests.journeys.stage import Stage

    stage = Stage(room / "folder")
    stage.create_vault()
    ended = stage.run(
        "importer", "access", "issue", "--vault", stage.at, "--out", room / "x", "--json", code=2
    )
    refused(ended, "store-unknown")
    assert not (room / "x").exists()


def test_a_blob_of_the_right_name_and_wrong_content(member: ContainerStage, source: Path, room: Path) -> None:
    """Detect a replaced blob by its digest, and restore the files that do not depend on it.

    The service reports the blob as good.
    """
    trees.small_file(source / "one file", trees.incompressible(20 << 20, 4))
    backup(member, source)
    names = [b.name for b in member.client().list_blobs(name_starts_with="archives/") if b.size > 5 << 20]
    size = member.client().get_blob_client(names[0]).get_blob_properties().size
    member.client().upload_blob(names[0], bytes(size), overwrite=True)
    ended = member.restore(room / "target", code=3)
    assert {f["code"] for f in ended["findings"]} <= {
        "chunk-missing",
        "seal-broken",
        "object-damaged",
        "ARCH-2",
    }
    got, want = snapshot(below(room / "target", source)), snapshot(source)
    assert all(want[name] == content for name, content in got.items())
    assert 0 < len(got) < len(want)


STORM = 30  # requests: two in three are refused, and the client waits for each


def test_a_storm_is_weathered_and_one_without_end_is_told(
    member: ContainerStage, source: Path, room: Path
) -> None:
    between = Between(member.server.port)
    try:
        behind = own_secret(member).replace(f":{member.server.port}/", f":{between.port}/")
        count = [0]

        def judge(method: str, path: str) -> Fault | None:
            count[0] += 1
            if count[0] > STORM or not count[0] % 3:
                return None
            return Fault(status=503 if count[0] % 2 else 429, code="ServerBusy")

        between.judge = judge
        backup(member, source, AZURE_STORAGE_CONNECTION_STRING=behind)
        assert count[0] > STORM
        between.judge = lambda method, path: None
        change(source, 1)
        between.judge = lambda method, path: Fault(status=503, code="ServerBusy") if method == "PUT" else None
        ended = member.run(
            "seed", "backup", "--json", code=1, OFFSEED_PATIENCE="2", AZURE_STORAGE_CONNECTION_STRING=behind
        )
        refused(ended, "store-busy")
        between.judge = lambda method, path: None
        backup(member)
        assert snapshot(restored(member, "latest", room, source)) == snapshot(source)
    finally:
        between.close()


def test_a_backup_that_is_killed_goes_on(member: ContainerStage, source: Path, room: Path) -> None:
    for number in range(6):
        trees.small_file(source / f"large {number}", trees.incompressible(20 << 20, 10 + number))
    kill = moments.at("placed", signal.SIGKILL, member.at, nth=2, store=moments.CONTAINER)
    moments.killed(member, kill, "seed", "backup", source)
    sent = set(member.client().list_blob_names(name_starts_with="archives/"))
    assert len(sent) >= 2
    before = len(member.server.asked(member.container))
    backup(member)
    puts = [a.blob for a in member.server.asked(member.container)[before:] if a.kind == "Put Blob"]
    assert not sent & set(puts), "what was sent is not sent again"
    assert snapshot(restored(member, "latest", room, source)) == snapshot(source)


class InFlight:
    """The number of archives in flight at once, and their names in the order of arrival.

    Each upload waits until `until` holds.
    """

    def __init__(self, between: Between, until: "Callable[[InFlight], bool]") -> None:
        self._until = until
        self.now = self.most = 0
        self.names: list[str] = []
        self._more = threading.Condition()
        between.judge = self._judge

    def _judge(self, method: str, path: str) -> None:
        if method != "PUT" or "/archives/" not in path:
            return
        with self._more:
            self.now += 1
            self.most = max(self.most, self.now)
            self.names.append(path.partition("?")[0].rpartition("/")[2])
            self._more.notify_all()
            self._more.wait_for(lambda: self._until(self), timeout=PATIENCE)
        time.sleep(0.3)  # time for one upload too many: one fails the test, but none is no proof
        with self._more:
            self.now -= 1


def test_disks_are_imported_side_by_side_and_at_most_four_archives_are_in_flight(
    member: ContainerStage, source: Path
) -> None:
    for number in range(8):
        trees.small_file(source / f"file {number}", trees.incompressible(20 << 20, 60 + number))
    between = Between(member.server.port)
    try:
        behind = own_secret(member).replace(f":{member.server.port}/", f":{between.port}/")
        seen = InFlight(between, lambda seen: seen.most >= 4)
        backup(member, source, "--once", AZURE_STORAGE_CONNECTION_STRING=behind)
        assert len(seen.names) > 8
        assert seen.most == 4
        one, two = disks(member, 2)
        member.run("seed", "export", source, "--again", *to(one, two))
        from_one = {path.name for path in one.rglob("archives/*/*")}

        def of_both(seen: InFlight) -> bool:
            return {name in from_one for name in seen.names} == {True, False}

        seen = InFlight(between, of_both)
        key = member.server.connection_string(between.port)
        member.run("importer", "import", one, two, "--vault", member.at, AZURE_STORAGE_CONNECTION_STRING=key)
        first = [name in from_one for name in seen.names[:4]]
        assert set(first) == {True, False}, "of both disks from the beginning"
        assert 2 <= seen.most <= 4
    finally:
        between.close()


# The throttle and the proxy.


def test_a_backup_keeps_to_the_throttle(member: ContainerStage, source: Path) -> None:
    trees.small_file(source / "one file", trees.incompressible(4_000_000, 5))
    shown = member.run("seed", "throttle", "set", "--work-rate", "40mbit", "--other-rate", "40mbit").stdout
    assert "40mbit now" in shown
    began = time.monotonic()
    sent = backup(member, source)["archive_bytes"]
    assert isinstance(sent, int)
    assert time.monotonic() - began > sent / 5_000_000 * 0.9
    assert member.run("seed", "throttle", "off", "--json").json == {"throttle": None}
    refused(
        member.run("seed", "throttle", "set", "--work-rate", "512kb", "--json", code=2), "rate-unreadable"
    )
    refused(member.run("seed", "throttle", "set", "--json", code=2), "usage")


@pytest.fixture
def proxy(room: Path) -> Iterator["Tinyproxy"]:
    proxy = Tinyproxy(room / "proxy")
    yield proxy
    proxy.stop()


class Tinyproxy:
    """A real proxy on loopback that asks for user and password, and logs the connections."""

    user, password = "web1", "pa ss:wörd@/%"

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.log = folder / "log"
        self.password = secrets.token_hex(8)
        config = folder / "tinyproxy.conf"
        for _ in range(ATTEMPTS):  # another process may take a port between its choice and its use
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
            config.write_text(
                f'Port {self.port}\nListen 127.0.0.1\nAllow 127.0.0.1\nLogFile "{self.log}"\nLogLevel Connect\n'
                f"BasicAuth {self.user} {self.password}\nMaxClients 50\nTimeout 60\n"
            )
            self._process = subprocess.Popen(["tinyproxy", "-d", "-c", config], stdout=subprocess.DEVNULL)
            if self._answers():
                return
        raise OSError("tinyproxy does not start")

    def _answers(self) -> bool:
        """Wait until this proxy has logged a connection or has ended, and return whether it answers."""
        until = time.monotonic() + PATIENCE
        while self._process.poll() is None and time.monotonic() < until:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                pass
            if self.log.exists() and "Connect " in self.log.read_text(errors="replace"):
                return True
            time.sleep(0.05)
        return False

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)


@pytest.mark.needs("tinyproxy")
def test_all_traffic_takes_the_proxy(
    stage: ContainerStage, source: Path, room: Path, proxy: Tinyproxy
) -> None:
    stage.create_vault()
    stage.issue()
    stage.write_secret()
    word = room / "proxy.password"
    word.write_text(proxy.password + "\n")
    url = f"http://127.0.0.1:{proxy.port}"
    register = (
        "seed", "register", "--credential", stage.credential, "--name", "web1", "--passphrase-file", stage.secret,
        "--proxy", url, "--proxy-user", proxy.user, "--proxy-password-file", word,
    )  # fmt: skip
    word.write_text("wrong\n")
    refused(stage.run(*register, "--json", code=1), "proxy-refused")
    assert not stage.home.exists()
    word.write_text(proxy.password + "\n")
    registered = stage.run(*register)
    assert "travels" not in registered.stdout
    backup(stage, source)
    log = proxy.log.read_text()
    assert log.count(f"PUT {stage.server.endpoint}/{stage.container}/requests/") == 1
    assert f"PUT {stage.server.endpoint}/{stage.container}/archives/" in log
    shown = stage.run("seed", "proxy", "show")
    assert shown.stdout == f"Proxy: {url}, with user and password\n"
    status = stage.run("seed", "status")
    for output in (registered, shown, status):
        assert proxy.password not in output.stdout + output.stderr
    assert (stage.home / "network.json").stat().st_mode & 0o777 == 0o600

    word.write_text("wrong\n")
    stage.run("seed", "proxy", "set", url, "--user", proxy.user, "--password-file", word)
    refused(stage.run("seed", "backup", "--json", code=1), "proxy-refused")
    stage.run("seed", "proxy", "set", "http://127.0.0.1:1")
    refused(stage.run("seed", "backup", "--json", code=1, OFFSEED_PATIENCE="1"), "store-unreachable")
    refused(stage.run("seed", "proxy", "set", "no proxy", "--json", code=2), "proxy-unreadable")
    stage.run("seed", "proxy", "off")
    backup(stage)
