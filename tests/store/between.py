"""A reverse proxy on loopback: it lies between a client and a storage service, and misbehaves as a test wants."""

import http.client
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Fault(NamedTuple):
    """A fault of one request.

    A `status` replaces the service's answer, and the service gets no request. The answer is cut after `cut` bytes, or
    is `lost`. A `code` of Azure and a `date` go into the answer.
    """

    status: int = 0
    code: str = ""
    cut: int | None = None
    lost: bool = False
    date: str = ""


Judge = Callable[[str, str], Fault | None]


class Between:
    """A proxy that passes everything on to the service at `port`, except as `judge(method, path)` decides."""

    def __init__(self, port: int) -> None:
        self.judge: Judge = lambda method, path: None
        self.requests: list[str] = []
        between = self

        class Handler(_Handler):
            upstream = port

            def decide(self) -> Fault | None:
                between.requests.append(self.command)
                return between.judge(self.command, self.path)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def times(self, count: int, fault: Fault, method: str = "") -> None:
        """Apply the fault to so many requests (of one method), and to none after them."""
        left = [count]

        def judge(asked: str, path: str) -> Fault | None:
            if left[0] <= 0 or (method and asked != method):
                return None
            left[0] -= 1
            return fault

        self.judge = judge

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream = 0

    def decide(self) -> Fault | None:
        raise NotImplementedError

    def do_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.decide() or Fault()
        if fault.status:
            self._answer(fault.status, {"x-ms-error-code": fault.code, "Date": fault.date}, b"")
            return
        service = http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=30)
        service.request(self.command, self.path, body, dict(self.headers.items()))
        response = service.getresponse()
        data = response.read()
        service.close()
        if fault.lost:
            self.close_connection = True
            return
        passed = ("transfer-encoding", "connection", *(("content-length",) if self.command != "HEAD" else ()))
        headers = {k: v for k, v in response.getheaders() if k.lower() not in passed}
        if self.command != "HEAD":
            headers["Content-Length"] = str(len(data))
        if fault.cut is not None:
            data = data[: fault.cut]
            self.close_connection = True
        self._answer(response.status, headers, data)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = do_any  # noqa: N815  their names are given

    def _answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
        self.send_response_only(status)
        if not any(name.lower() == "content-length" for name in headers):
            headers["Content-Length"] = "0"
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Print nothing."""
