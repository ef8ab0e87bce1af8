"""A vault behind a network: `python -m tests.benchmarks.network [--size MB] [--rounds N] [--seconds N] [--scratch DIR]`.

An import of two disks into a container on a real Azurite, beside `rclone copy` of the same files into another. Then the
throttle: backups and restores at three rates, through a relay that counts the bytes of each direction as they pass.
"""

import argparse
import random
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from azure.storage.blob import generate_container_sas

from tests.azurite import ACCOUNT, KEY, Azurite
from tests.benchmarks.measure import SHARED_MEMORY, scratch_folder
from tests.journeys.containers import ContainerStage
from tests.journeys.stage import backup, disks, to

RATES = {"512kbit": 512_000, "8mbit": 8_000_000, "100mbit": 100_000_000}
FILE = 50_000_000


class Relay:
    """A relay that passes bytes on to a port, both ways, and remembers the time and count of each direction's bytes."""

    def __init__(self, port: int) -> None:
        self._upstream = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.up: list[tuple[float, int]] = []
        self.down: list[tuple[float, int]] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def rate(self, seen: list[tuple[float, int]]) -> tuple[float, float]:
        """Return the bits a second over all but the edges, and the seconds of that span."""
        total = sum(count for _, count in seen)
        passed, begun, inside = 0, 0.0, 0
        for moment, count in seen:
            passed += count
            if passed < total * 0.02:
                begun = moment
            elif passed <= total * 0.98:
                inside += count
                ended = moment
        return 8 * inside / (ended - begun), ended - begun

    def _serve(self) -> None:
        while True:
            client, _ = self._server.accept()
            service = socket.create_connection(("127.0.0.1", self._upstream))
            client.setsockopt(
                socket.SOL_SOCKET, socket.SO_SNDBUF, 32 << 10
            )  # otherwise the kernel is measured
            for source, sink, seen in ((client, service, self.up), (service, client, self.down)):
                threading.Thread(target=_pass, args=(source, sink, seen), daemon=True).start()


def _pass(source: socket.socket, sink: socket.socket, seen: list[tuple[float, int]]) -> None:
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data)
            seen.append((time.monotonic(), len(data)))
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def beside_rclone(azurite: Azurite, folder: Path, size: int, rounds: int) -> None:
    stage = ContainerStage(folder / "stage")
    stage.open()
    source = media(folder / "source", size)
    one, two = disks(stage, 2)
    stage.run("seed", "export", source, *to(one, two), code=None)
    seconds: dict[str, list[float]] = {"import": [], "rclone": []}
    for number in range(rounds):
        for which in ("import", "rclone") if number % 2 else ("rclone", "import"):
            fresh = ContainerStage(folder / f"{which} {number}")
            began = time.monotonic()
            if which == "import":
                fresh.importer_home = stage.importer_home
                stage.container = fresh.container
                stage.run("importer", "vault", "recreate", "Backups", "--at", stage.at, "--region", "here")
                accept(stage, one)
                began = time.monotonic()
                stage.run("importer", "import", one, two, "--vault", stage.at)
            else:
                fresh.client().create_container()
                rclone(azurite, fresh.container, one, two)
            seconds[which].append(time.monotonic() - began)
            stored = sum(b.size for b in fresh.client().list_blobs()) / 1e6
            print(f"{which} {number}: {seconds[which][-1]:.1f} s, {stored:.0f} MB", flush=True)
            fresh.client().delete_container()
    ours, theirs = (statistics.median(seconds[which]) for which in ("import", "rclone"))
    print(f"import {ours:.1f} s, rclone copy {theirs:.1f} s: rclone ÷ import {theirs / ours:.2f}", flush=True)


def accept(stage: ContainerStage, disk: Path) -> None:
    machine = stage.run("seed", "status", "--json").json["machine"]
    shown = "-".join(machine[n : n + 4] for n in range(0, 32, 4))
    stage.run("importer", "machines", "accept", shown, "--vault", stage.at, "--from", disk)


def rclone(azurite: Azurite, container: str, *folders: Path) -> None:
    ends = datetime.now(UTC) + timedelta(hours=2)
    token = generate_container_sas(ACCOUNT, container, account_key=KEY, permission="racwdl", expiry=ends)
    url = f"{azurite.endpoint}/{container}?{token}"
    running = [
        subprocess.Popen(
            [
                "rclone",
                "copy",
                folder / "offseed",
                f":azureblob:{container}/offseed",
                "--azureblob-sas-url",
                url,
                "--config",
                "",
            ]
        )
        for folder in folders
    ]
    assert [one.wait() for one in running] == [0] * len(folders)


def throttled(azurite: Azurite, folder: Path, seconds: int) -> None:
    relay = Relay(azurite.port)
    for name, rate in RATES.items():
        place = folder / name
        stage = ContainerStage(place / "stage")
        stage.open()
        behind = stage.grant().replace(f":{azurite.port}/", f":{relay.port}/")
        source = media(place / "source", rate * seconds // 8)
        stage.run("seed", "throttle", "set", "--work-rate", name, "--other-rate", name)
        relay.up.clear()
        backup(stage, source, code=None, AZURE_STORAGE_CONNECTION_STRING=behind)
        up, up_seconds = relay.rate(relay.up)
        relay.down.clear()
        stage.run(
            "seed",
            "restore",
            "latest",
            "--target",
            place / "restored",
            AZURE_STORAGE_CONNECTION_STRING=behind,
        )
        # Bytes beyond the relay may still lie in the kernel: they have come once the command has ended.
        down_seconds = time.monotonic() - relay.down[0][0]
        down = 8 * sum(count for _, count in relay.down) / down_seconds
        print(
            f"{name}: backup {up / rate:.3f} of the rate over {up_seconds:.1f} s, restore {down / rate:.3f} over "
            f"{down_seconds:.1f} s",
            flush=True,
        )
        shutil.rmtree(place)


def media(folder: Path, size: int) -> Path:
    """Make files that do not compress."""
    folder.mkdir(parents=True)
    for number, start in enumerate(range(0, size, FILE)):
        count = min(FILE, size - start)
        (folder / f"{number}").write_bytes(random.Random(number).randbytes(count))
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.network", description=__doc__)
    parser.add_argument(
        "--size", type=int, default=2000, metavar="MB", help="of the import; default: 2000; 0: none"
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default: 3")
    parser.add_argument(
        "--seconds", type=int, default=30, metavar="N", help="at each rate; default: 30; 0: none"
    )
    parser.add_argument(
        "--scratch", type=Path, default=SHARED_MEMORY, metavar="DIR", help="default: /dev/shm"
    )
    wanted = parser.parse_args()
    azurite = ContainerStage.server = Azurite.start()
    try:
        with scratch_folder(wanted.scratch, "offseed-network-") as folder:
            if wanted.size:
                beside_rclone(azurite, folder, wanted.size * 1_000_000, wanted.rounds)
            if wanted.seconds:
                throttled(azurite, folder, wanted.seconds)
    finally:
        azurite.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
