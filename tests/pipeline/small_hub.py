"""A hub on loopback that serves a folder of models, as far as the hub's client needs to fetch files."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

COMMIT = "f2826a00" * 5


class _Hub(BaseHTTPRequestHandler):
    def __init__(self, folder: Path, fetched: list[str], *rest: object) -> None:
        self._folder, self._asked = folder, fetched
        super().__init__(*rest)  # type: ignore[arg-type]

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].strip("/")
        if path.startswith("api/models/broken/"):
            self.wfile.write(b"this is not HTTP at all\r\n\r\n")
        elif path.startswith("api/models/"):
            org, name, what, *_ = path.removeprefix("api/models/").split("/")
            self._answer(self._info(f"{org}/{name}") if what == "revision" else self._tree(f"{org}/{name}"))
        else:
            org, name, _, _, *file = path.split("/")
            if self.command == "GET":
                self._asked.append("/".join(file))
            self._answer((self._folder / org / name / "/".join(file)).read_bytes())

    def _info(self, repo: str) -> bytes:
        return json.dumps({"id": repo, "sha": COMMIT, "siblings": []}).encode()

    def _tree(self, repo: str) -> bytes:
        files = sorted(p for p in (self._folder / repo).iterdir() if p.is_file())
        entries = [
            {"type": "file", "path": p.name, "size": p.stat().st_size, "oid": _digest(p.read_bytes())}
            for p in files
        ]
        return json.dumps(entries).encode()

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        for name, value in (
            ("Content-Length", str(len(body))),
            ("Content-Type", "application/json"),
            ("ETag", f'"{_digest(body)}"'),
            ("X-Repo-Commit", COMMIT),
        ):
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


def _digest(body: bytes) -> str:
    return hashlib.sha1(body).hexdigest()


@contextmanager
def small_hub(folder: Path, cache: Path) -> Iterator[list[str]]:
    """Serves ``folder/org/name/*`` to the real client in this process; yields the files that it fetches.

    Every model has the one revision ``COMMIT``; requests below ``broken/`` get an answer that is not HTTP.
    """
    from huggingface_hub import constants

    fetched: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Hub, folder, fetched))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "ENDPOINT", url)
        patch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        patch.setattr(constants, "HF_HUB_CACHE", str(cache))
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield fetched
    server.shutdown()
    server.server_close()
