"""An evaluation on a cluster that grows and shrinks, and one that dies, end with the scores of a calm one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from pipeline.canonical import plain
from pipeline.plan.plan import Plan
from tests.evaluation.tiny_bench import staged
from tests.integration.clusters import WAIT_S, free_port, node, nodes
from tests.integration.mini import environment, until

# With 512 tokens an answer takes long enough for nodes to come and go in the middle.
SLOW = {"max_new_tokens": 512, "batch_size": 1, "batches_ahead": 0, "actors": 2, "cpus_per_actor": 1}


def write_plan(folder: Path, **ray: object) -> tuple[Plan, Path]:
    plan = staged(folder)
    content = plain(plan)
    content["evaluation"] |= SLOW
    content["ray"] |= ray
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return Plan.model_validate(content), path


@contextmanager
def evaluation(path: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "evaluation", "--plan", str(path), "--step", "evaluate-init"]
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, env=environment(), cwd=path.parent, stdout=out, stderr=out, start_new_session=True
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def metrics(folder: Path) -> Any:
    (found,) = (folder / "runs" / "evaluate-init").rglob("metrics.json")  # MLflow has another copy
    return json.loads(found.read_bytes())["metrics"]


def parts(folder: Path) -> set[str]:
    return {path.name for path in (folder / "runs" / "answers").rglob("part-*.parquet")}


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The metrics of a run without faults."""
    folder = tmp_path_factory.mktemp("calm")
    _, path = write_plan(folder)
    with evaluation(path, folder / "log") as process:
        assert process.wait(WAIT_S) == 0, (folder / "log").read_text()
    return metrics(folder)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_evaluation_on_a_growing_and_shrinking_cluster(tmp_path: Path, calm: Any) -> None:
    log = tmp_path / "log"
    with ExitStack() as stack:
        cluster = stack.enter_context(nodes(tmp_path, 1))
        _, path = write_plan(tmp_path, address=cluster.address)
        process = stack.enter_context(evaluation(path, log))
        until(lambda: parts(tmp_path), WAIT_S, "the first answers, by the one actor that has room")
        with ExitStack() as second:
            arguments = [
                f"--address={cluster.address}",
                "--num-cpus=1",
                f"--object-store-memory={100 * 2**20}",
            ]
            arguments.append(f"--dashboard-agent-listen-port={free_port()}")
            lost = second.enter_context(node(tmp_path / "node-2.log", *arguments))
            until(lambda: "an actor has joined; 2 work now" in log.read_text(), WAIT_S, "the second actor")
            assert process.poll() is None, "the evaluation ended before the node did"
            for one in (*psutil.Process(lost.pid).children(recursive=True), psutil.Process(lost.pid)):
                one.kill()
        assert process.wait(WAIT_S) == 0, log.read_text()
    assert "is replaced: its node was lost" in log.read_text()
    assert metrics(tmp_path) == calm


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_evaluation_that_lost_an_actor_and_then_itself(tmp_path: Path, calm: Any) -> None:
    """SIGKILL of an actor, then of the step with everything that it started; the next run goes on."""
    log = tmp_path / "log"
    _, path = write_plan(tmp_path)
    with evaluation(path, log) as process:
        until(lambda: parts(tmp_path), WAIT_S, "the first answers")
        actor = actors_below(process.pid)[0]
        os.kill(actor, signal.SIGKILL)
        until(lambda: "an actor was lost over" in log.read_text(), WAIT_S, "word of the lost actor")
        answered = parts(tmp_path)
        assert process.poll() is None, "the evaluation ended before it was killed"
        os.killpg(process.pid, signal.SIGKILL)
    assert not list((tmp_path / "runs").rglob("metrics.json"))
    with evaluation(path, log) as process:
        assert process.wait(WAIT_S) == 0, log.read_text()
    assert parts(tmp_path) >= answered, "no answer was made twice or lost"
    totals = [int(n) for n in re.findall(r"ask init: \d+/(\d+)", log.read_text())]
    assert 0 < totals[-1] < max(totals), "the second run asked only what was not answered"
    assert metrics(tmp_path) == calm


def actors_below(pid: int) -> list[int]:
    """Processes of Ray actors that descend from a process."""
    import psutil

    return [
        p.pid for p in psutil.Process(pid).children(recursive=True) if "ray::Worker" in " ".join(p.cmdline())
    ]
