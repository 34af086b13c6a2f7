"""A cluster of two nodes that somebody else started: a whole run is sent to it and looked after from afar."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from pipeline.board import survey
from tests.integration.mini import environment, read_mini, ufvideo, until, write_mini

RAY = Path(sys.executable).with_name("ray")
WAIT_S = 240.0  # a bound for a busy machine


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def node(out: Path, *arguments: str) -> Iterator[None]:
    """One node on loopback; it takes its own processes along when it is told to end."""
    command = [str(RAY), "start", "--block", "--disable-usage-stats", "--node-ip-address=127.0.0.1"]
    variables = environment(RAY_AUTH_MODE="disabled", RAY_agent_register_timeout_ms="100000")
    with out.open("wb") as log:
        process = subprocess.Popen([*command, *arguments], env=variables, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


@contextmanager
def two_nodes(folder: Path) -> Iterator[str]:
    """The URL of the job server of a head with one CPU and a second node with one."""
    import requests

    port, dashboard = free_port(), free_port()
    url = f"http://127.0.0.1:{dashboard}"
    memory = f"--object-store-memory={200 * 2**20}"

    def answers() -> bool:
        try:
            nodes = requests.get(f"{url}/nodes?view=summary", timeout=5).json()["data"]["summary"]
            return sum(n["raylet"].get("state") == "ALIVE" for n in nodes) == wanted
        except (OSError, KeyError, ValueError):
            return False

    with ExitStack() as stack:
        where = (f"--port={port}", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}")
        stack.enter_context(node(folder / "head.log", "--head", "--num-cpus=1", memory, *where))
        wanted = 1
        until(answers, WAIT_S, "the head's job server")
        listen = f"--dashboard-agent-listen-port={free_port()}"
        stack.enter_context(
            node(folder / "second.log", f"--address=127.0.0.1:{port}", "--num-cpus=1", memory, listen)
        )
        wanted = 2
        until(answers, WAIT_S, "the second node")
        yield url


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_whole_run_on_another_cluster(tmp_path: Path) -> None:
    pytest.importorskip("requests")
    with two_nodes(tmp_path) as url:
        path = write_mini(tmp_path, str(tmp_path / "store"), f"ray.dashboard={url}")
        sent = ufvideo(tmp_path, "submit", path.name)
        assert sent.returncode == 0, sent.stderr
        job = sent.stdout.strip()
        assert f"ufvideo logs {job} {path.name} --follow" in sent.stderr

        followed = ufvideo(tmp_path, "logs", job, path.name, "--follow", timeout_s=1500)
        assert followed.returncode == 0, followed.stderr
        assert "9 of 9 steps to make" in followed.stdout, followed.stdout
        assert "@@progress" not in followed.stdout
        status = ufvideo(tmp_path, "status", job, path.name)
        assert status.stdout.startswith(f"{job}: succeeded"), followed.stdout

        board = survey(read_mini(path))
        assert all(board.found[spec.name] for spec in board.specs)
        report = board.found["report"]
        assert report is not None
        table = (report.location / "table.txt").read_text()
        assert table.strip() in followed.stdout
        steps = ufvideo(tmp_path, "status", path.name)
        assert steps.stdout.count("done ") >= len(board.specs), steps.stdout

        unknown = ufvideo(tmp_path, "logs", "raysubmit_none", path.name)
        assert unknown.returncode == 2
        assert "does not know it" in unknown.stderr
