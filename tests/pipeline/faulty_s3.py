"""A proxy in front of an S3 server that makes some of the requests fail."""

from __future__ import annotations

import asyncio
import http.client
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

_HASTE = 30
_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "server", "date"}


class Fault(Enum):
    """How a request fails."""

    SLOW_DOWN = "503"
    INTERNAL = "500"
    REFUSED = "403"
    DROPPED = "dropped"  # the connection ends without an answer
    CUT = "cut"  # it ends in the middle of the answer's body


_CODES = {Fault.SLOW_DOWN: "SlowDown", Fault.INTERNAL: "InternalError", Fault.REFUSED: "AccessDenied"}


@dataclass
class Plan:
    """Which requests fail: those for which ``matches(method, path)`` is true, the first ``times`` of each.

    ``times`` counts requests of the same method and path. The ``faults`` take turns.
    """

    faults: Sequence[Fault]
    times: int
    matches: Callable[[str, str], bool] = lambda method, path: True

    def __post_init__(self) -> None:
        self._seen: dict[str, int] = {}
        self._lock = threading.Lock()
        self.failed = 0

    def fault_of(self, method: str, path: str) -> Fault | None:
        """The fault of this request, None if it gets through; counts it."""
        with self._lock:
            before = self._seen.get(f"{method} {path}", 0)
            if not self.matches(method, path) or before >= self.times:
                return None
            self._seen[f"{method} {path}"] = before + 1
            self.failed += 1
            return self.faults[before % len(self.faults)]


def hasten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the client's pauses between attempts; the number of attempts stays the same."""
    pause = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", lambda delay, *rest: pause(delay / _HASTE, *rest))


@contextmanager
def faulty(server: str, plan: Plan) -> Iterator[str]:
    """The URL of a proxy in front of ``server``."""
    handler = type("Handler", (_Handler,), {"behind": urlsplit(server).netloc, "plan": plan})
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    proxy.daemon_threads = True
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{proxy.server_address[1]}"
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    behind: str
    plan: Plan

    def _answer(self) -> None:
        body = self._body()
        fault = self.plan.fault_of(self.command, self.path)
        if fault is Fault.DROPPED:
            self.close_connection = True
            return
        if fault is not None and fault is not Fault.CUT:
            code = _CODES[fault]
            text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>of the test</Message></Error>"
            self._send(int(fault.value), {"Content-Type": "application/xml"}, text.encode())
            return
        connection = http.client.HTTPConnection(self.behind, timeout=60)
        dropped = ("connection", "transfer-encoding")
        headers = {k: v for k, v in self.headers.items() if k.lower() not in dropped}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        kept = {k: v for k, v in answer.getheaders() if k.lower() not in _HOP}
        length = answer.getheader("Content-Length")
        connection.close()
        self._send(answer.status, kept, content, length, cut=fault is Fault.CUT and self.command == "GET")

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _send(
        self,
        status: int,
        headers: dict[str, str],
        content: bytes,
        length: str | None = None,
        cut: bool = False,
    ) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        content_length = length if self.command == "HEAD" and length is not None else str(len(content))
        self.send_header("Content-Length", content_length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if cut else content)
        self.close_connection = self.close_connection or cut

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _answer

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""
