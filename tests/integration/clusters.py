"""Ray clusters of several nodes on one machine, started outside of the project."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.integration.mini import environment, until

RAY = Path(sys.executable).with_name("ray")
WAIT_S = 240.0  # a bound for a busy machine


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """Where a cluster listens: for drivers, and for jobs."""

    address: str
    jobs_url: str


def free_port() -> int:
    """A port without a listener at the moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def node(out: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """One node on loopback, and the process to which it belongs; its processes end with it."""
    command = [str(RAY), "start", "--block", "--disable-usage-stats", "--node-ip-address=127.0.0.1"]
    variables = environment(RAY_AUTH_MODE="disabled", RAY_agent_register_timeout_ms="100000")
    with out.open("wb") as log:
        process = subprocess.Popen([*command, *arguments], env=variables, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=60)


@contextmanager
def nodes(folder: Path, count: int) -> Iterator[Nodes]:
    """A head and others up to ``count`` nodes, each with one CPU; their logs are in ``folder``."""
    import requests

    port, dashboard = free_port(), free_port()
    cluster = Nodes(address=f"127.0.0.1:{port}", jobs_url=f"http://127.0.0.1:{dashboard}")
    memory = f"--object-store-memory={200 * 2**20}"

    def alive() -> int:
        try:
            answer = requests.get(f"{cluster.jobs_url}/nodes?view=summary", timeout=5).json()
            return sum(n["raylet"].get("state") == "ALIVE" for n in answer["data"]["summary"])
        except (OSError, KeyError, ValueError):
            return 0

    with ExitStack() as stack:
        where = (f"--port={port}", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}")
        stack.enter_context(node(folder / "head.log", "--head", "--num-cpus=1", memory, *where))
        until(lambda: alive() == 1, WAIT_S, "the head's job server")
        for number in range(2, count + 1):
            listen = f"--dashboard-agent-listen-port={free_port()}"
            one = (f"--address={cluster.address}", "--num-cpus=1", memory, listen)
            stack.enter_context(node(folder / f"node-{number}.log", *one))
            until(lambda expected=number: alive() == expected, WAIT_S, f"node {number}")
        yield cluster
