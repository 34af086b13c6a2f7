"""The files that a job server is sent, and the error if it requires a token. No cluster is started."""

from __future__ import annotations

import subprocess
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.artifacts.fingerprint import PACKAGES
from pipeline.errors import UserError
from pipeline.jobs.server import HOME, UPLOAD_EXCLUDES, UPLOADED, _client

NOT_SENT = (
    ".env",
    "pipeline/.env.local",
    "pipeline/__pycache__/x.pyc",
    "data/talk.json",
    "weights/model.bin",
    "runs/demo/record.json",
    "tests/test_x.py",
    "notes.txt",
    "pipeline2/x.py",
)
SENT = (
    "pipeline/plan/plan.py",
    "pipeline/data/x.py",
    "datasets_prep/run.py",
    "training/run.py",
    "evaluation/report/page.jinja",
    "plans/demo.yaml",
    "toy_weights/sam2.safetensors",
    "pyproject.toml",
    "constraints.txt",
)


def packed_files(folder: Path, archive: Path) -> set[str]:
    """Names of the files that Ray packs when it uploads a folder."""
    from ray._private.runtime_env.packaging import create_package

    create_package(str(folder), archive, include_gitignore=True, excludes=list(UPLOAD_EXCLUDES))
    with zipfile.ZipFile(archive) as file:
        return {name for name in file.namelist() if not name.endswith("/")}


def test_only_code_and_plans_are_uploaded(tmp_path: Path):
    for name in (*NOT_SENT, *SENT):
        (tmp_path / "home" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "home" / name).write_text(name)
    assert packed_files(tmp_path / "home", tmp_path / "x.zip") == set(SENT)


def test_all_code_of_the_checkout_is_uploaded(tmp_path: Path):
    listed = subprocess.run(["git", "-C", str(HOME), "ls-files", "-z"], capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("no git checkout")
    tops = {name.partition("/")[0] for name in listed.stdout.split("\0") if name}
    assert set(UPLOADED) <= tops
    code = {n for n in listed.stdout.split("\0") if n.partition("/")[0] in PACKAGES}
    present = {name for name in code if (HOME / name).is_file()}
    assert present <= packed_files(HOME, tmp_path / "x.zip")


class Refuses(BaseHTTPRequestHandler):
    """Answers as a Ray job server does to a request without a token."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.end_headers()
        self.wfile.write(b"Unauthorized: Missing authentication token")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def refusing() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_server_that_requires_a_token_is_a_user_error(refusing: str):
    with pytest.raises(UserError, match="asks for a token") as error:
        _client(refusing)
    assert refusing in error.value.where
    assert "RAY_AUTH_TOKEN" in error.value.fix
