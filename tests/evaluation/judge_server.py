"""A judge behind a real HTTP server, whose responses and faults are scripted."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from evaluation.judge.rubric import DIMENSIONS

KEY = "sk-only-in-the-environment-7f3a"
MODEL = "judge-2026-01-01"


@dataclass
class Response:
    """The server's response to one request, faults included."""

    status: int = 200
    content: Any = None  # of the chat message: text, or values that are made JSON
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None  # of the whole response
    cut: bool = False  # close the connection in the middle of the body
    wait_s: float = 0.0
    ended: str = "stop"
    usage: bool = True


def marks(score: object = 4, **fields: object) -> dict[str, Any]:
    """The content of a valid reply; ``fields`` replace scores."""
    return {
        d.field: {"reason": f"because of {d.title}", "score": fields.get(d.field, score)} for d in DIMENSIONS
    }


Script = Callable[[dict[str, Any], int], Response]


@dataclass
class JudgeServer:
    """The running server: its address, and the requests that it received with their times."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    busiest: int = 0  # most requests at once

    def answers(self) -> list[str]:
        """The answers to be judged, one for each request."""
        return [json.loads(r["messages"][1]["content"])["answer"] for r in self.requests]


@contextmanager
def judge_server(script: Script = lambda request, n: Response(content=marks())) -> Iterator[JudgeServer]:
    """Serves while the ``with`` block runs. ``script`` gets a request and how many had its text so far."""
    server, lock, seen, active = JudgeServer(), threading.Lock(), dict[str, int](), [0]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            text = request["messages"][1]["content"]
            with lock:
                n = seen[text] = seen.get(text, 0) + 1
                server.requests.append(request)
                server.headers.append(dict(self.headers))
                server.times.append(time.monotonic())
                active[0] += 1
                server.busiest = max(server.busiest, active[0])
            try:
                self._send(script(request, n))
            finally:
                with lock:
                    active[0] -= 1

        def _send(self, response: Response) -> None:
            time.sleep(response.wait_s)
            body = response.body if response.body is not None else _completion(response)
            try:
                self.send_response(response.status)
                for name, value in response.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if response.cut else body)
            except OSError:  # a client that has given up
                pass
            if response.cut:
                self.close_connection = True

        def log_message(self, *args: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{http.server_port}/v1"
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()


def _completion(response: Response) -> bytes:
    if response.status != 200:
        return json.dumps({"error": {"message": "no", "code": "some_code"}}).encode()
    content = response.content if isinstance(response.content, str) else json.dumps(response.content)
    choice = {
        "index": 0,
        "finish_reason": response.ended,
        "message": {"role": "assistant", "content": content},
    }
    reply: dict[str, Any] = {"id": "x", "model": MODEL, "choices": [choice]}
    if response.usage:
        reply["usage"] = {"prompt_tokens": 100, "completion_tokens": 50}
    return json.dumps(reply).encode()
