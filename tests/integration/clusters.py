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
_MEMORY = f"--object-store-memory={200 * 2**20}"


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """Where a cluster listens: for drivers, and for jobs."""

    address: str
    jobs_url: str

    def alive(self) -> int:
        """How many nodes the head takes for alive; 0 while it does not answer."""
        import requests

        try:
            answer = requests.get(f"{self.jobs_url}/nodes?view=summary", timeout=5).json()
            return sum(n["raylet"].get("state") == "ALIVE" for n in answer["data"]["summary"])
        except (OSError, KeyError, ValueError):
            return 0


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
def joining(folder: Path, name: str, cluster: Nodes) -> Iterator[subprocess.Popen[bytes]]:
    """One more node with one CPU, once the head has it."""
    before = cluster.alive()
    listen = f"--dashboard-agent-listen-port={free_port()}"
    with node(folder / f"{name}.log", f"--address={cluster.address}", "--num-cpus=1", _MEMORY, listen) as it:
        until(lambda: cluster.alive() == before + 1, WAIT_S, name)
        yield it


@contextmanager
def nodes(folder: Path, count: int) -> Iterator[Nodes]:
    """A head and others up to ``count`` nodes, each with one CPU; their logs are in ``folder``."""
    port, dashboard = free_port(), free_port()
    cluster = Nodes(address=f"127.0.0.1:{port}", jobs_url=f"http://127.0.0.1:{dashboard}")
    with ExitStack() as stack:
        where = (f"--port={port}", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}")
        stack.enter_context(node(folder / "head.log", "--head", "--num-cpus=1", _MEMORY, *where))
        until(lambda: cluster.alive() == 1, WAIT_S, "the head's job server")
        for number in range(2, count + 1):
            stack.enter_context(joining(folder, f"node-{number}", cluster))
        yield cluster
