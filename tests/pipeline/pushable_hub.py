"""A hub on loopback that takes pushes: the endpoints that the hub's client needs for one commit.

Weights are uploaded as large files (Git LFS) first, then one request makes the commit. The newer way of
uploading (Xet) is a service of its own, which the client uses unless ``HF_HUB_DISABLE_XET`` is set.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

COMMIT = "ab12" * 10


@dataclass
class Taken:
    """What a hub was given. ``fails``: a part of a path whose requests end with an error of the server."""

    fails: str = ""
    tokens: set[str | None] = field(default_factory=set)
    requests: list[str] = field(default_factory=list)
    repos: dict[str, bool] = field(default_factory=dict)  # name -> private
    large: dict[str, bytes] = field(default_factory=dict)  # SHA-256 -> bytes
    files: dict[str, bytes] = field(default_factory=dict)  # of the newest commit
    commits: int = 0
    url: str = ""


class _Hub(BaseHTTPRequestHandler):
    def __init__(self, taken: Taken, *rest: object) -> None:
        self.taken = taken
        super().__init__(*rest)  # type: ignore[arg-type]

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._note()
        names = [{"type": "file", "path": p, "size": 1, "oid": "0"} for p in self.taken.files]
        self._answer(names if "/tree/" in self.path else {"sha": COMMIT, "siblings": []})

    def do_PUT(self) -> None:
        body = self._note()
        if self._may():
            self.taken.large[hashlib.sha256(body).hexdigest()] = body
            self._answer({})

    def do_POST(self) -> None:
        body = self._note()
        if not self._may():
            return
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization')}/{asked['name']}"
            self.taken.repos[name] = asked["visibility"] == "private"
            self._answer({"url": f"{self.taken.url}/{name}"})
        elif self.path == "/api/validate-yaml":  # the header of the card
            self._answer({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            self._answer({"files": [self._mode(f["path"]) for f in json.loads(body)["files"]]})
        elif self.path.endswith("/info/lfs/objects/batch"):
            places = [self._place(item) for item in json.loads(body)["objects"]]
            self._answer({"transfer": "basic", "objects": places})
        else:
            assert "/commit/" in self.path, self.path
            self._commit([json.loads(line) for line in body.splitlines()])

    def _note(self) -> bytes:
        self.taken.requests.append(f"{self.command} {self.path}")
        self.taken.tokens.add(self.headers["Authorization"])
        return self.rfile.read(int(self.headers["Content-Length"] or 0))

    def _may(self) -> bool:
        fails = bool(self.taken.fails) and self.taken.fails in self.path
        if fails:
            self._answer({"error": "broken on purpose"}, 400)
        return not fails

    def _mode(self, path: str) -> dict[str, Any]:
        mode = "lfs" if path.endswith(".safetensors") else "regular"
        return {"path": path, "uploadMode": mode, "shouldIgnore": False}

    def _place(self, item: dict[str, Any]) -> dict[str, Any]:
        upload = {"href": f"{self.taken.url}/upload/{item['oid']}", "header": {}}
        return {"oid": item["oid"], "size": item["size"], "actions": {"upload": upload}}

    def _commit(self, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                self.taken.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.taken.files[value["path"]] = self.taken.large[value["oid"]]
            elif line["key"] == "deletedFile":
                del self.taken.files[value["path"]]
        self.taken.commits += 1
        repo = self.path.removeprefix("/api/models/").partition("/commit/")[0]
        url = f"{self.taken.url}/{repo}/commit/{COMMIT}"
        self._answer({"commitUrl": url, "commitOid": COMMIT, "success": True})

    def _answer(self, content: Any, status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def pushable_hub() -> Iterator[Taken]:
    """Yields what the hub's client in this process pushes, with the token ``hf_secret``."""
    from huggingface_hub import constants

    taken = Taken()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Hub, taken))
    taken.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "ENDPOINT", taken.url)
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setenv("HF_TOKEN", "hf_secret")
        yield taken
    server.shutdown()
    server.server_close()
