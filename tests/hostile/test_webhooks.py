"""Attacks by a webhook's server, or by one between: redirects, false certificates, other schemes, no end."""

import datetime
import http.server
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from formats.shell.jobs import notifications
from formats.shell.jobs.notifications import Event, Notify, tell

assert sys.platform != "win32"

EVENT = Event("failure", "web1", "backup failed", {})


class Answering(http.server.ThreadingHTTPServer):
    """A server that counts requests, and answers each one as the test says."""

    def __init__(self, status: int = 200, location: str = "", drip: threading.Event | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.location, self.drip = status, location, drip
        self.asked: list[tuple[str, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Answering

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, body))
        if self.server.drip is not None:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not self.server.drip.wait(0.05):
                try:
                    self.wfile.write(b"x")
                except OSError:
                    return
            return
        self.send_response(self.server.status)
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST  # noqa: N815  the name that the library calls

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def serving(server: Answering) -> Iterator[Answering]:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def told(url: str) -> list[str]:
    return tell(Notify(webhook=url), EVENT)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    """Follow no redirect to another server, or to one that only this machine reaches.

    The notice would not arrive.
    """
    with serving(Answering()) as inner, serving(Answering(status, inner.url)) as hook:
        assert told(hook.url) == [f"the webhook of `notify` was answered by {status}"]
        assert [method for method, _ in hook.asked] == ["POST"]
        assert inner.asked == []


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x"])
def test_another_scheme_is_not_asked(address: str) -> None:
    """Ask no other scheme, even if the file of the home has one; `notify set` takes none."""
    assert told(address) == ["the webhook of `notify` has an address that is not of http or https"]


def test_a_certificate_of_nobody_known_is_refused(tmp_path: Path) -> None:
    with serving(Answering()) as hook:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self_signed(tmp_path))
        hook.socket = context.wrap_socket(hook.socket, server_side=True)
        (wrong,) = told(hook.url.replace("http:", "https:"))
        assert "CERTIFICATE_VERIFY_FAILED" in wrong
        assert hook.asked == []


def test_an_answer_without_end_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop an answer without end, though a byte now and then keeps each read within its time."""
    monkeypatch.setattr(notifications, "PATIENCE", 1.0)
    with serving(Answering(drip=(over := threading.Event()))) as hook:
        began = time.monotonic()
        try:
            assert told(hook.url) == ["the webhook of `notify` did not answer within 1 s"]
        finally:
            over.set()
        assert time.monotonic() - began < 20


def self_signed(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = folder / "certificate.pem"
    kept = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, *kept)
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path
